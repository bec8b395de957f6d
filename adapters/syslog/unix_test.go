package syslog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// rsyslogSocketConfig writes what rsyslogd understood of each message that came
// to its socket. The arguments are a folder and the socket.
const rsyslogSocketConfig = `
global(workDirectory="%[1]s" localHostname="box" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" sysSock.use="off")
template(name="parts" type="string" string="%%pri%% %%timestamp:::date-rfc3164%% %%hostname%% %%programname%% %%procid%%%%msg%%\n")
ruleset(name="all") { action(type="omfile" file="%[1]s/messages" template="parts" flushOnTXEnd="on") }
input(type="imuxsock" socket="%[2]s" ruleset="all" useSysTimeStamp="off" ignoreTimestamp="off")
`

// A local daemon finds the parts of the messages on its socket without any
// option being set, and gets every line in order, though they come faster than it
// reads.
func TestRsyslogSocket(t *testing.T) {
	program := need(t, "rsyslogd")
	folder, socket := t.TempDir(), adaptertest.SocketPath(t)
	s := startServer(t, folder, fmt.Sprintf(rsyslogSocketConfig, folder, socket), program, "-n", "-i", filepath.Join(folder, "pid"), "-f")
	adaptertest.Eventually(t, adaptertest.Patience, "rsyslogd has made its socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	a := newWith(t, resolve(t, "unix", socket, map[string]string{"timezone": "UTC"}), transport.Limits{})
	const batches, size = 50, 100
	var want []byte
	failed := make(chan error, batches)
	for i := range batches {
		lines := make([][]byte, size)
		for j := range lines {
			lines[j] = fmt.Appendf(nil, "line %d %%s <13>\"q\": é", i*size+j)
		}
		b := adaptertest.NewBatch(web(), lines...)
		for j, r := range b.Records {
			want = fmt.Appendf(want, "%d %s box web 4242 %s\n", 14-3*(j%2), time.Unix(0, r.Time).UTC().Format(time.Stamp), r.Line)
		}
		a.Send(t.Context(), b, func(err error) { failed <- err })
	}
	ctx, cancel := context.WithTimeout(t.Context(), adaptertest.Patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for range batches {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	if got := s.waitFor(len(want)); !bytes.Equal(got, want) {
		t.Fatalf("rsyslogd has written\n%.300s\nwant\n%.300s", got, want)
	}
}
