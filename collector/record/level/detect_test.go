package level

import (
	"bytes"
	"strings"
	"testing"
)

// shaped are lines as real programs write them.
var shaped = []struct {
	line string
	want Level
}{
	// JSON: zap, slog, logrus, zerolog, Caddy.
	{`{"level":"info","ts":1763717400.1,"caller":"app/main.go:12","msg":"started"}`, Info},
	{`{"time":"2026-11-21T10:00:00Z","level":"WARN","msg":"slow","took":"3s"}`, Warning},
	{`{"level":"error","msg":"level is \"debug\", not info","time":"2026-11-21T10:00:00Z"}`, Error},
	{`{"msg":"\"level\":\"debug\" was asked for","level":"fatal"}`, Critical},
	{`{"level":"dpanic","msg":"x"}`, Critical},
	{`{ "timestamp" : "2026-11-21", "level" : "DEBUG" }`, Debug},
	// Python's json logger, GCP, Serilog, hclog, ECS, MongoDB.
	{`{"asctime":"2026-11-21 10:00:00,123","levelname":"CRITICAL","message":"x"}`, Critical},
	{`{"severity":"NOTICE","message":"x"}`, Notice},
	{`{"@t":"2026-11-21T10:00:00Z","@mt":"Slow {Path}","@l":"Warning"}`, Warning},
	{`{"@level":"trace","@message":"x","@module":"core"}`, Trace},
	{`{"@timestamp":"2026-11-21T10:00:00Z","log.level":"ERROR","message":"x"}`, Error},
	{`{"@timestamp":"2026-11-21T10:00:00Z","log":{"logger":"a.B","level":"WARN"},"message":"x"}`, Warning},
	{`{"t":{"$date":"2026-11-21T10:00:00.000+00:00"},"s":"I","c":"NETWORK","id":22943,"msg":"Connection accepted"}`, Info},
	{`{"t":{"$date":"2026-11-21T10:00:00.000+00:00"},"s":"D2","c":"QUERY","id":1,"msg":"x"}`, Debug},
	// Bunyan and Pino.
	{`{"level":30,"time":1763717400000,"pid":1,"hostname":"web","msg":"listening"}`, Info},
	{`{"name":"app","hostname":"web","pid":1,"level":50,"err":{"level":"info"},"msg":"x","v":0}`, Error},
	{`{"level":60,"msg":"x"}`, Critical},
	{`{"level":10,"msg":"x"}`, Trace},
	{`{"level":35,"msg":"x"}`, Unknown},
	// JSON that names none.
	{`{"msg":"ERROR: x","user":{"level":"error"},"loglevels":"error","levels":["error"]}`, Unknown},
	{`{"level":{"name":"error"},"msg":"x"}`, Unknown},
	{`{"msg":"level","error":"level"}`, Unknown},
	{`{"level":`, Unknown},
	{`{"level"`, Unknown},
	{`{"level":""}`, Unknown},
	{`{}`, Unknown},
	{`{`, Unknown},
	{`2026-11-21T10:00:00Z {"level":"error","msg":"behind a time"}`, Error},

	// logfmt: logrus, go-kit, slog, dockerd, Grafana.
	{`time="2026-11-21T10:00:00Z" level=warning msg="disk is \" level=debug"`, Warning},
	{`ts=2026-11-21T10:00:00Z caller=main.go:12 level=error component=tsdb err="x"`, Error},
	{`time=2026-11-21T10:00:00.000Z level=INFO msg="level=error"`, Info},
	{`t=2026-11-21T10:00:00+0000 lvl=eror msg="x" logger=sqlstore`, Error},
	{`severity=debug message=x`, Debug},
	{`level="crit" msg=x`, Critical},
	{`water_level=error pressure=12`, Unknown},
	{`level=high msg=x`, Unknown},
	{`PATH=/usr/bin DEBUG=true`, Unknown},

	// glog and klog, etcd, the kernel, syslog.
	{`I1121 10:00:00.123456       1 server.go:152] Starting`, Info},
	{`W1121 10:00:00.123456       1 reflector.go:324] failed to list`, Warning},
	{`E1121 10:00:00.123456       1 leaderelection.go:330] error retrieving`, Error},
	{`F1121 10:00:00.123456       1 main.go:1] x`, Critical},
	{`2026-11-21 10:00:00.123456 W | etcdserver: apply entries took too long`, Warning},
	{`<3>usb 1-1: device not accepting address`, Error},
	{`<6>[    0.000000] Linux version 6.18`, Info},
	{`<14>1 2026-11-21T10:00:00Z host app 1 - - error`, Info},

	// Words in front, with and without a colon.
	{`ERROR: relation "x" does not exist`, Error},
	{`error: could not lock config file`, Error},
	{`Error: Cannot find module 'express'`, Error},
	{`Warning: something is deprecated`, Warning},
	{`panic: runtime error: index out of range [3]`, Emergency},
	{`INFO Starting up`, Info},
	{`WARN  deprecated`, Warning},
	{`FATAL could not bind`, Critical},
	{`[WARN] disk is nearly full`, Warning},
	{`[warn] 12#12: x`, Warning},
	{`[ERROR ] x`, Error},
	{`(INFO) x`, Info},
	{`WARNING:root:careful`, Warning},
	{`ERROR:app.db:lost connection`, Error},
	{`npm ERR! code ENOENT`, Error},
	{`npm warn deprecated x`, Unknown},
	{`SEVERE: Servlet threw exception`, Error},
	{`INFO:     127.0.0.1:5000 - "GET / HTTP/1.1" 200 OK`, Info},
	{`info: Microsoft.Hosting.Lifetime[14]`, Info},
	{`fail: Microsoft.AspNetCore.Server.Kestrel[13]`, Error},
	{`dbug: x`, Debug},
	{`INFO[0000] listening on :80`, Info},
	{`[NOTICE]   (1) : New worker forked`, Notice},

	// Behind a time: logback, log4j, Kafka, Elasticsearch, Spring.
	{`2026-11-21 10:00:00.123  INFO 1 --- [           main] c.e.App : Started`, Info},
	{`10:00:00.123 [main] WARN  c.e.App - slow`, Warning},
	{`2026-11-21 10:00:00,123 ERROR [http-nio-8080-exec-1] c.e.App - x`, Error},
	{`2026-11-21T10:00:00.123Z DEBUG 1 --- [app] [main] c.e.App : x`, Debug},
	{`[2026-11-21 10:00:00,123] INFO [KafkaServer id=0] started (kafka.server.KafkaServer)`, Info},
	{`[2026-11-21T10:00:00,123][WARN ][o.e.n.Node] [node] x`, Warning},
	{`2026-11-21 10:00:00,123 INFO  [org.jboss.as] (MSC service thread 1-2) WFLYSRV0025`, Info},
	{`2026-11-21T10:00:00Z WARN disk is nearly full`, Warning},
	{`[10:00:00] [Server thread/INFO]: Done`, Info},
	{`2026-11-21T10:00:00.000+01:00 ERROR x`, Error},
	{`2026-11-21 10:00:00 +0000 [error]: fluentd says`, Error},
	{`1763717400.123 ERROR x`, Error},
	{`1763717400123 INFO x`, Info},
	// Python, gunicorn, loguru, celery, supervisord.
	{`2026-11-21 10:00:00,123 - app.main - ERROR - x`, Error},
	{`2026-11-21 10:00:00,123 - app - WARNING - x`, Warning},
	{`[2026-11-21 10:00:00 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)`, Info},
	{`2026-11-21 10:00:00.123 | ERROR    | __main__:run:12 - x`, Error},
	{`[2026-11-21 10:00:00,123: WARNING/ForkPoolWorker-1] x`, Warning},
	{`2026-11-21 10:00:00,123 CRIT Supervisor is running as root`, Critical},
	// nginx, Apache, PostgreSQL, MySQL, HAProxy, RabbitMQ, Redis.
	{`2026/11/21 10:00:00 [error] 31#31: *1 open() "/x" failed (2: No such file or directory)`, Error},
	{`2026/11/21 10:00:00 [notice] 1#1: start worker processes`, Notice},
	{`[Sat Nov 21 10:00:00.123456 2026] [core:error] [pid 123:tid 456] AH00126: Invalid URI`, Error},
	{`[Sat Nov 21 10:00:00 2026] [notice] Apache configured`, Notice},
	{`2026-11-21 10:00:00.000 UTC [123] ERROR:  relation "x" does not exist at character 15`, Error},
	{`2026-11-21 10:00:00.000 UTC [123] app@shop FATAL:  password authentication failed`, Critical},
	{`2026-11-21 10:00:00.000 UTC [1] LOG:  database system is ready`, Info},
	{`2026-11-21 10:00:00.000 UTC [1] STATEMENT:  SELECT ERROR FROM x`, Unknown},
	{`2026-11-21T10:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA certificate is self signed.`, Warning},
	{`2026-11-21 10:00:00 0 [Note] mariadbd: ready for connections.`, Notice},
	{`2026-11-21 10:00:00.123 [info] <0.9.0> Server startup complete`, Info},
	{`1:M 21 Nov 2026 10:00:00.123 # Warning: no config file specified`, Warning},
	{`1:M 21 Nov 2026 10:00:00.123 * Ready to accept connections`, Unknown},
	// Go, Rust, Ruby, hashicorp, zap, zerolog.
	{`2026-11-21T10:00:00.123Z [INFO]  agent: started`, Info},
	{`    2026/11/21 10:00:00 [ERR] consul: x`, Error},
	{`2026-11-21T10:00:00.123Z	error	app/main.go:12	x	{"level": "info"}`, Error},
	{`2026-11-21T10:00:00Z INF started`, Info},
	{`10:00AM ERR failed error="x"`, Error},
	{`[2026-11-21T10:00:00Z DEBUG hyper::proto] x`, Debug},
	{`2026-11-21T10:00:00.123456Z  WARN tokio::task: x`, Warning},
	{`W, [2026-11-21T10:00:00.123456 #1]  WARN -- : x`, Warning},
	{`2026/11/21 10:00:00 http: TLS handshake error from 10.0.0.1:1: EOF`, Unknown},
	{`2026-11-21 10:00:00  error  in a column`, Error},
	{`Nov 21 10:00:00 web app[12]: ERROR x`, Error},
	{`Nov 21 10:00:00 web kernel: error words later`, Unknown},

	// Colours.
	{"\x1b[36mINFO\x1b[0m[0000] listening", Info},
	{"\x1b[2m2026-11-21T10:00:00.123456Z\x1b[0m \x1b[33m WARN\x1b[0m \x1b[2mapp\x1b[0m: x", Warning},
	{"\x1b[90m2026-11-21T10:00:00Z\x1b[0m \x1b[31mERR\x1b[0m x", Error},
	{"\x1b[1;31m[error]\x1b[0m x", Error},
	{"\x1b[31", Unknown},
	{"\x1b", Unknown},

	// Lines that name no level.
	{"", Unknown},
	{"   ", Unknown},
	{"GET /index.html 200", Unknown},
	{`10.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET /error HTTP/1.1" 500 12 "-" "ERROR"`, Unknown},
	{"an error occurred while reading", Unknown},
	{"no ERROR here", Unknown},
	{"error in the middle of prose", Unknown},
	{"0 errors, 2 warnings", Unknown},
	{"0 ERROR", Unknown},
	{"12 ERROR lines were found", Unknown},
	{"https://example.com/ERROR: x", Unknown},
	{"/var/log/error.log: ERROR", Unknown},
	{"ERROR_COUNT is 3", Unknown},
	{"errors: 3", Unknown},
	{"information about the process", Unknown},
	{"The level=error was set", Unknown},
	{"debugging is off", Unknown},
	{`"ERROR" is a word`, Unknown},
	{"fine: all went well", Unknown},
	{"Traceback (most recent call last):", Unknown},
	{"	at com.example.ERROR(App.java:12)", Unknown},
	{"<script> ERROR", Unknown},
	{"<999>x", Unknown},
	{"=====", Unknown},
	{"(((([[[[||||", Unknown},
	{strings.Repeat("[x] ", 200) + "[ERROR]", Unknown},
}

func TestDetect(t *testing.T) {
	for _, c := range shaped {
		if got := Detect([]byte(c.line)); got != c.want {
			t.Errorf("%s is %s, want %s", c.line, got, c.want)
		}
	}
	if len(shaped) < 60 {
		t.Fatalf("%d lines are too few", len(shaped))
	}
}

// Nothing in a line makes Detect fail, and a level is one of the known.
func FuzzDetect(f *testing.F) {
	for _, c := range shaped {
		f.Add([]byte(c.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		if l := Detect(line); l > Emergency {
			t.Fatalf("%q has level %d", line, l)
		}
		if !bytes.Equal(line, before) {
			t.Fatal("the line was changed")
		}
	})
}

func TestDetectAllocates(t *testing.T) {
	for _, c := range shaped {
		line := []byte(c.line)
		if n := testing.AllocsPerRun(10, func() { Detect(line) }); n != 0 {
			t.Errorf("%s: %v allocations", c.line, n)
		}
	}
}

func BenchmarkDetect(b *testing.B) {
	for name, line := range map[string]string{
		"json":    `{"level":"info","ts":1763717400.1,"caller":"app/main.go:12","msg":"`,
		"json3rd": `{"time":"2026-11-21T10:00:00Z","pid":12,"level":"info","msg":"`,
		"logfmt":  `time="2026-11-21T10:00:00Z" level=warning msg="`,
		"logback": `2026-11-21 10:00:00.123  INFO 1 --- [           main] c.e.App : `,
		"klog":    `I1121 10:00:00.123456       1 server.go:152] `,
		"access":  `10.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "`,
		"prose":   `some text that names no level at all, `,
	} {
		text := []byte(line + strings.Repeat("x", 200-len(line)))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Detect(text)
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		lines := make([][]byte, len(shaped))
		for i := range lines {
			lines[i] = []byte(shaped[i].line)
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, line := range lines {
				Detect(line)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(lines)), "ns/line")
	})
}
