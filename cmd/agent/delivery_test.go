package agent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tallyman/cmd/internal/oracle"
)

// rsyslog runs a real rsyslogd that writes what one of its inputs, imtcp or
// imrelp, gets to a file, and returns its address and the file.
func rsyslog(t *testing.T, input string) (address, file string) {
	t.Helper()
	binary, err := exec.LookPath("rsyslogd")
	if err != nil {
		binary = "/usr/sbin/rsyslogd"
	}
	_, err = os.Stat(binary)
	need(t, err == nil, "rsyslogd")
	dir := t.TempDir()
	address, file = freeAddress(t), filepath.Join(dir, "lines")
	_, port, _ := strings.Cut(address, ":")
	config := fmt.Sprintf(`global(workDirectory=%[1]q maxMessageSize="64k")
module(load=%[2]q)
input(type=%[2]q address="127.0.0.1" port=%[3]q ruleset="lines")
template(name="line" type="string" string="%%rawmsg-after-pri%%\n")
ruleset(name="lines" queue.type="LinkedList" queue.size="500000") {
  action(type="omfile" file=%[4]q template="line")
}
`, dir, input, port, file)
	path := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	output := &lockedBuffer{}
	cmd := exec.Command(binary, "-n", "-f", path, "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rsyslogd said:\n%s", output)
		}
	})
	return address, file
}

// feedFile gives the lines of a file to a sink until it has all that it expects.
func feedFile(t *testing.T, path string, s *oracle.Sink, want int64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	file, err := os.Open(path)
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
		file, err = os.Open(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	var rest []byte
	for s.Lines() < want {
		part, err := lines.ReadBytes('\n')
		rest = append(rest, part...)
		if err == io.EOF {
			if time.Now().After(deadline) {
				t.Fatalf("only %d of %d lines are in the file", s.Lines(), want)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Feed(rest)
		rest = rest[:0]
	}
}

// TestDelivery is the main job on a real engine: 20 containers write 100,000
// lines to both streams; they come through TCP, through a real rsyslog into a
// file, and to a viewer, each line once and in order.
func TestDelivery(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	address, file := rsyslog(t, "imtcp")
	sink, written := newSink(t, "tcp"), newSink(t, "")
	const containers, lines = 20, 5000
	filter := filterLabel("delivery-")
	p := startReady(t, t.TempDir(),
		"syslog+tcp://"+sink.Address()+"?"+filter,
		"syslog+tcp://"+address+"?"+filter)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	viewed := view(ctx, t, p, "/logs")
	for i := range containers {
		name := fmt.Sprintf("delivery-%d", i)
		sink.Expect(name, "1", lines)
		written.Expect(name, "1", lines)
		d.run(name, nil, "-lines", fmt.Sprint(lines), "-stderr-every", "7")
	}
	wantExact(t, "over TCP", wantComplete(t, sink))
	feedFile(t, file, written, containers*lines)
	wantExact(t, "through rsyslog", written.Report())

	p.eventually("the viewer has seen lines of every container", func() bool {
		for i := range containers {
			if !viewed.has(fmt.Sprintf("src=delivery-%d ", i)) {
				return false
			}
		}
		return true
	})
	route := "syslog+tcp://" + sink.Address() + "?filter.labels=" + testLabel + "%3Adelivery-%2A"
	p.eventually("the route's account is right", func() bool {
		n, _ := p.metric(fmt.Sprintf("tallyman_route_lines_total{route=%q}", route))
		lag, _ := p.metric(fmt.Sprintf("tallyman_route_lag_bytes{route=%q}", route))
		return n == containers*lines && lag == 0
	})
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
}

// viewer keeps what a client of /logs gets.
type viewer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (v *viewer) has(text string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return bytes.Contains(v.text.Bytes(), []byte(text))
}

// view reads a stream until ctx ends. It returns when the headers have come.
func view(ctx context.Context, t *testing.T, p *process, path string) *viewer {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	v := &viewer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer response.Body.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := response.Body.Read(buf)
			v.mu.Lock()
			v.text.Write(buf[:n])
			v.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { <-done })
	return v
}

// TestRestart stops and kills the agent while containers write: a stop loses
// and repeats nothing, a kill loses nothing.
func TestRestart(t *testing.T) {
	besideOthers(t)
	f := func(name string, end func(*process), repeats bool) {
		t.Run(name, func(t *testing.T) {
			d := newDocker(t)
			sink := newSink(t, "tcp")
			state := t.TempDir()
			prefix := "restart-" + name + "-"
			uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel(prefix)
			p := startReady(t, state, uri)
			containers, lines, rate, times := size(5, 20), size(6000, 80_000), size(1500, 2000), size(3, 20)
			for i := range containers {
				name := fmt.Sprintf("%s%d", prefix, i)
				sink.Expect(name, "1", uint64(lines))
				d.run(name, logOptions{"max-size": "1m", "max-file": "3"},
					"-lines", fmt.Sprint(lines), "-rate", fmt.Sprint(rate), "-stderr-every", "3")
			}
			for i := range times {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if err := sink.WaitLines(ctx, int64(containers*lines*(i+1)/(times+2))); err != nil {
					t.Fatal(err)
				}
				cancel()
				end(p)
				p = startReady(t, state, uri)
			}
			report := wantComplete(t, sink)
			if report.Missing > 0 || !repeats && !report.Exact() {
				t.Fatalf("after restarts:\n%s", report)
			}
			t.Logf("%d lines, %d repeated", containers*lines, report.Duplicates)
			// A second's lines a kill; a machine that runs other tests too has more.
			most := uint64(times * containers * rate)
			if !soaking() {
				most *= 2
			}
			if report.Duplicates > most {
				t.Fatalf("%d lines were repeated, more than %d", report.Duplicates, most)
			}
		})
	}
	signals := []os.Signal{syscall.SIGTERM, os.Interrupt}
	f("stop", func(p *process) {
		// By turns as a service manager does and as a person at a terminal.
		signals[0], signals[1] = signals[1], signals[0]
		if code := p.stop(signals[0]); code != 0 {
			p.t.Fatalf("the agent exits with %d", code)
		}
	}, false)
	f("kill", (*process).kill, true)
}

// TestDestinationDownAtStart starts a route whose destination comes up later.
func TestDestinationDownAtStart(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	if err := sink.Refuse(); err != nil {
		t.Fatal(err)
	}
	p := startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("down-"))
	const lines = 2000
	sink.Expect("down-0", "1", lines)
	d.run("down-0", nil, "-lines", fmt.Sprint(lines))
	p.eventually("the route is noted as down", func() bool {
		code, body, err := p.get("/health")
		return err == nil && code == http.StatusOK && strings.Contains(body, "down")
	})
	if err := sink.Accept(); err != nil {
		t.Fatal(err)
	}
	wantExact(t, "after the destination came up", wantComplete(t, sink))
	if n := strings.Count(p.output.String(), "cannot be reached or has failed"); n != 1 {
		t.Fatalf("the outage was said %d times:\n%s", n, p.output)
	}
}

// TestBurstOfContainers starts many at once: every one is attached, also those
// that live for a moment and are removed.
func TestBurstOfContainers(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("burst-"))
	containers := size(50, 100)
	ids := make([]string, containers)
	for i := range containers {
		name := fmt.Sprintf("burst-%d", i)
		host := jsonFile(nil)
		host.AutoRemove = i%2 == 0
		ids[i] = d.create(name, host, "-lines", "3", "-unterminated")
		sink.Expect(name, "1", 3)
	}
	var group sync.WaitGroup
	for worker := range 20 {
		group.Go(func() {
			for i := worker; i < containers; i += 20 {
				d.start(ids[i])
			}
		})
	}
	group.Wait()
	wantExact(t, "from containers started at once", wantComplete(t, sink))
}

// TestStartAtTheEnd meets a container that was running before the route: only
// what comes from then on is delivered, or all of it when asked for.
func TestStartAtTheEnd(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	const old = 1000
	first := newSink(t, "tcp")
	all := newSink(t, "tcp")
	d.run("old-0", nil, "-lines", "2000", "-wait", "1ms", "-burst", fmt.Sprint(old), "-rate", "100")
	filter := filterLabel("old-")
	startReady(t, t.TempDir(),
		"syslog+tcp://"+first.Address()+"?"+filter, "syslog+tcp://"+all.Address()+"?backlog=true&"+filter)
	all.Expect("old-0", "1", 2000)
	wantExact(t, "with the backlog", wantComplete(t, all))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := first.WaitLines(ctx, 2000-old); err != nil {
		t.Fatal(err)
	}
	if got := first.Lines(); got != 2000-old {
		t.Fatalf("without the backlog %d lines came, want %d", got, 2000-old)
	}
}
