package raw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/cmd/testkit"
)

// rsyslogConfig has rsyslogd take datagrams from a Unix socket and write what
// came to a file.
const rsyslogConfig = `
global(workDirectory="%[1]s" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" sysSock.use="off")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="all") { action(type="omfile" file="%[1]s/messages" template="raw" flushOnTXEnd="on") }
input(type="imuxsock" socket="%[2]s" ruleset="all" useSpecialParser="off" parseHostname="off")
`

// startRsyslog starts rsyslogd and returns the path of its socket and of the
// file that it writes.
func startRsyslog(t *testing.T) (socket, file string) {
	t.Helper()
	program, err := exec.LookPath("rsyslogd")
	testkit.Need(t, err == nil, "rsyslogd")
	folder, socket := t.TempDir(), adaptertest.SocketPath(t)
	configFile := filepath.Join(folder, "rsyslog.conf")
	if err := os.WriteFile(configFile, fmt.Appendf(nil, rsyslogConfig, folder, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	command := exec.Command(program, "-n", "-f", configFile, "-i", filepath.Join(folder, "pid"))
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = command.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("rsyslogd said: %s", &output)
		}
	})
	adaptertest.Eventually(t, adaptertest.Patience, "rsyslogd has made its socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket, filepath.Join(folder, "messages")
}

// A real rsyslogd gets every line through its socket, in order, though they come
// faster than it reads.
func TestRsyslogSocket(t *testing.T) {
	socket, file := startRsyslog(t)
	a, err := newAdapter(resolve(t, "unix", socket, nil), transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	const batches, size = 100, 100
	var want []byte
	result := make(chan error, batches)
	for i := range batches {
		lines := make([][]byte, size)
		for j := range lines {
			lines[j] = fmt.Appendf(nil, "line %d %%s \"q\" <é>", i*size+j)
			want = append(append(want, lines[j]...), '\n')
		}
		a.Send(t.Context(), adaptertest.NewBatch(adaptertest.Containers(1)[0], lines...),
			func(err error) { result <- err })
	}
	ctx, cancel := context.WithTimeout(t.Context(), adaptertest.Patience)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for range batches {
		err = errors.Join(err, <-result)
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	adaptertest.Eventually(t, adaptertest.Patience, "rsyslogd has written all", func() bool {
		got, _ = os.ReadFile(file)
		return len(got) >= len(want)
	})
	if !bytes.Equal(got, want) {
		t.Fatalf("rsyslogd has written %d bytes that are not the %d sent", len(got), len(want))
	}
}
