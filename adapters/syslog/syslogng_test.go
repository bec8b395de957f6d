package syslog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// syslogNGConfig writes what syslog-ng understood of each message as JSON. The
// arguments are a folder and the ports of both framings.
const syslogNGConfig = `@version: 3.38
options { keep-hostname(yes); keep-timestamp(yes); chain-hostnames(no); flush-lines(1); stats-freq(0); };
source all {
  network(ip("127.0.0.1") port(%[2]d) transport("tcp") flags(syslog-protocol));
  syslog(ip("127.0.0.1") port(%[3]d) transport("tcp"));
};
destination file {
  file("%[1]s/messages" template("$(format-json priority=$PRI time=$ISODATE host=$HOST app=$PROGRAM pid=$PID msgid=$MSGID id=${.SDATA.docker@32473.id} site=${.SDATA.env@1.site} name=${.SDATA.docker@32473.name} image=${.SDATA.docker@32473.image} service=${.SDATA.docker@32473.com.docker.compose.service} text=$MSG)\n"));
};
log { source(all); destination(file); };
`

// understood is what syslog-ng made of a message.
type understood struct {
	Priority string `json:"priority"`
	Time     string `json:"time"`
	Host     string `json:"host"`
	App      string `json:"app"`
	PID      string `json:"pid"`
	MsgID    string `json:"msgid"`
	ID       string `json:"id"`
	Site     string `json:"site"`
	Name     string `json:"name"`
	Image    string `json:"image"`
	Service  string `json:"service"`
	Text     string `json:"text"`
}

// Another server than rsyslog finds every field, structured data and its escapes
// included.
func TestSyslogNG(t *testing.T) {
	program := need(t, "syslog-ng")
	folder := t.TempDir()
	lf, counted := freePort(t), freePort(t)
	config := fmt.Sprintf(syslogNGConfig, folder, lf, counted)
	in := func(name string) string { return filepath.Join(folder, name) }
	s := startServer(t, folder, config, program, "--foreground", "--no-caps",
		"--persist-file", in("persist"), "--pidfile", in("pid"), "--control", in("control"), "--cfgfile")
	addresses := []string{fmt.Sprint("127.0.0.1:", lf), fmt.Sprint("127.0.0.1:", counted)}
	s.listens(addresses...)

	c := &record.Container{
		ID: strings.Repeat("0123456789abcdef", 4), Name: "web.1", Image: "registry:5000/web@sha256:0123", Hostname: "box", PID: 77,
		Labels: map[string]string{"com.docker.compose.service": `a "b" \c] [d`, "other": "x"},
	}
	texts := []string{"plain", "grüße, 世界", `[not@1 data="here"]`, "- -", "<13>1 in disguise", `"quoted" \ back`}
	// By the stream, but for the fifth, which names a level.
	priorities := []string{"158", "155", "158", "155", "157", "155"}
	var want []understood
	for i, framing := range []string{"traditional", "octet-counted"} {
		a, err := newAdapter(resolve(t, "tcp", addresses[i], map[string]string{
			"framing": framing, "sd": "container", "sd.labels": "com.docker.compose.*", "structured_data": `env@1 site="north"`,
			"facility": "local3", "severity": "level", "timestamp_digits": "6", "timezone": "UTC", "msgid": "{{.Source}}",
		}), transport.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		batch := adaptertest.NewBatch(c)
		for j, text := range texts {
			batch.Records = append(batch.Records, record.Record{Time: oneOClock, Line: []byte(text), Stream: record.Stream(j % 2)})
			want = append(want, understood{
				Priority: priorities[j], Time: "2026-11-21T01:09:08+00:00", Host: "box", App: "web.1", PID: "77",
				MsgID: record.Stream(j % 2).String(), Name: c.Name, Image: c.Image, Service: c.Labels["com.docker.compose.service"],
				Text: text, ID: "0123456789ab", Site: "north",
			})
		}
		var result error
		a.Send(t.Context(), batch, func(err error) { result = err })
		if err := a.Close(t.Context()); err != nil || result != nil {
			t.Fatal(err, result)
		}
		adaptertest.Eventually(t, adaptertest.Patience, "syslog-ng has written all", func() bool {
			return bytes.Count(s.waitFor(0), []byte("\n")) == len(want)
		})
	}
	for i, line := range bytes.Split(bytes.TrimSuffix(s.waitFor(0), []byte("\n")), []byte("\n")) {
		var got understood
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got != want[i] {
			t.Errorf("message %d:\ngot  %+v\nwant %+v", i, got, want[i])
		}
	}
}
