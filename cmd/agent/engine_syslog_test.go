package agent

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"tallyman/adapters/adaptertest"
)

// The engine's own syslog driver and a route say the same of the same container,
// but for the process id, the driver's being the engine's own, and for the time,
// the driver's being that of sending.
func TestEngineSyslogDriverSaysTheSame(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	info, err := d.client.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	whole := adaptertest.Format{Split: adaptertest.SplitNewline, Line: bytes.Clone}
	theirs := adaptertest.StartTCP(t, adaptertest.Serves, nil, whole)
	ours := adaptertest.StartTCP(t, adaptertest.Serves, nil, whole)

	name := fmt.Sprint("syslog-driver-", os.Getpid())
	options := url.Values{
		"facility": {"local3"}, "hostname": {info.Name}, "tag": {"{{slice .Container.Name 1}}"},
		"msgid": {"{{.ContainerName}}"}, "timestamp_digits": {"6"},
	}
	agent := startReady(t, t.TempDir(), "syslog+tcp://"+ours.Address()+"?"+options.Encode()+"&"+filterLabel(name))

	const lines, perError = 40, 4
	d.start(d.create(name, &container.HostConfig{
		LogConfig: container.LogConfig{Type: "syslog", Config: map[string]string{
			"syslog-address": "tcp://" + theirs.Address(), "syslog-format": "rfc5424micro", "syslog-facility": "local3",
			"tag": "{{.Name}}",
		}},
	}, "-lines", fmt.Sprint(lines), "-stderr-every", fmt.Sprint(perError), "-quotes", "-hold", "1m"))

	agent.eventually("the engine's messages have come", func() bool { return theirs.Count() == lines })
	agent.eventually("the route's messages have come", func() bool { return ours.Count() == lines })
	for _, priority := range []string{"<158>1", "<155>1"} {
		got, want := agreeing(t, ours.Lines(), priority), agreeing(t, theirs.Lines(), priority)
		if len(want) < lines/perError || len(got) != len(want) {
			t.Fatalf("%d messages with %s, the engine has %d", len(got), priority, len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("message %d:\ngot  %s\nwant %s", i, got[i], want[i])
			}
		}
	}
}

// agreeing returns the messages of a priority without their process id, and with
// no more of the time than how it is written.
func agreeing(t *testing.T, messages [][]byte, priority string) (list []string) {
	t.Helper()
	for _, message := range messages {
		fields := strings.SplitN(string(message), " ", 8)
		if len(fields) != 8 {
			t.Fatalf("%q has %d fields", message, len(fields))
		}
		if fields[0] != priority {
			continue
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", fields[1]); err != nil {
			t.Error(err)
		}
		fields[1], fields[4] = fmt.Sprint(len(fields[1]), " characters"), "process"
		list = append(list, strings.Join(fields, " "))
	}
	return list
}
