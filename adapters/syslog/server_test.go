package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/cmd/testkit"
	"tallyman/collector/record"
)

// need returns the path of a program. Without it the test is skipped, except in
// continuous integration, where it fails.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	testkit.Need(t, err == nil, program)
	return path
}

// freePort returns a port that nothing listens on, for servers that cannot be
// asked which one they took.
func freePort(t *testing.T) int {
	t.Helper()
	return int(netip.MustParseAddrPort(testkit.FreeAddress(t)).Port())
}

// server is a syslog server that runs as a process of its own.
type server struct {
	t *testing.T
	// file is what it writes.
	file string
	args []string

	command *exec.Cmd
	output  *bytes.Buffer
	ended   chan struct{}
}

// start starts the server, again after stop.
func (s *server) start() {
	s.t.Helper()
	s.output = &bytes.Buffer{}
	s.command = exec.Command(s.args[0], s.args[1:]...)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = command.Wait()
	}(s.command, s.ended)
}

// stop ends the server and waits for it.
func (s *server) stop(signal syscall.Signal) {
	_ = s.command.Process.Signal(signal)
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		_ = s.command.Process.Kill()
		<-s.ended
	}
}

// listens waits until something listens on every address of IPv4. It asks the
// kernel (proc_pid_net(5)): a connection that ends at once has rsyslog 8.2302's
// imrelp close a descriptor twice, which may be another input's by then.
func (s *server) listens(addresses ...string) {
	s.t.Helper()
	for _, address := range addresses {
		port := netip.MustParseAddrPort(address).Port()
		listening := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: [0-9A-F]{8}:%04X 00000000:0000 0A `, port))
		adaptertest.Eventually(s.t, adaptertest.Patience, "the server listens on "+address, func() bool {
			sockets, err := os.ReadFile("/proc/self/net/tcp")
			return err == nil && listening.Match(sockets)
		})
	}
}

// startServer starts a program with a configuration file, whose path is put
// behind the arguments, and has the test's end stop it.
func startServer(t *testing.T, folder, config string, args ...string) *server {
	t.Helper()
	configFile := filepath.Join(folder, "server.conf")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, file: filepath.Join(folder, "messages"), args: append(args, configFile)}
	s.start()
	t.Cleanup(func() {
		s.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the server said: %s", s.output)
		}
	})
	return s
}

// waitFor waits until the server's file is as long as want, and returns it.
func (s *server) waitFor(want int) []byte {
	s.t.Helper()
	adaptertest.Eventually(s.t, adaptertest.Patience, fmt.Sprintf("the server has written %d bytes", want), func() bool {
		info, err := os.Stat(s.file)
		return err == nil && info.Size() >= int64(want)
	})
	got, err := os.ReadFile(s.file)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// compareLines compares what a server wrote with what was sent.
func compareLines(t *testing.T, got, want []byte) {
	t.Helper()
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i, line := range wantLines {
		if i >= len(gotLines) || !bytes.Equal(gotLines[i], line) {
			t.Fatalf("line %d of %d is %q, want %q", i, len(gotLines), gotLines[min(i, len(gotLines)-1)], line)
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%d lines arrived, want %d", len(gotLines), len(wantLines))
	}
}

// deliver sends batches until all are delivered. After an error it waits for all
// that is in flight and sends again what is not settled. It returns how often it
// had to.
func deliver(t *testing.T, a adapters.Adapter, batches []*record.Batch) (retries int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	type result struct {
		batch int
		err   error
	}
	results := make(chan result, len(batches))
	for len(batches) > 0 {
		sent, settled, broken := 0, 0, false
		outcome := make([]error, len(batches))
		take := func(r result) {
			outcome[r.batch] = r.err
			settled++
			broken = broken || r.err != nil
		}
		for i := 0; i < len(batches) && !broken; i++ {
			sent++
			a.Send(ctx, batches[i], func(err error) { results <- result{i, err} })
			for len(results) > 0 {
				take(<-results)
			}
		}
		a.Flush(ctx)
		for settled < sent {
			take(<-results)
		}
		if ctx.Err() != nil {
			t.Fatalf("%d batches are still not delivered: %v", len(batches), errors.Join(outcome...))
		}
		if !broken {
			return retries
		}
		retries++
		batches = undelivered(t, batches, outcome[:sent])
		pause := time.NewTimer(10 * time.Millisecond)
		<-pause.C
	}
	return retries
}

// undelivered returns what is left of batches of which the first were sent. Other
// than a route it sends nothing again that is said to be delivered, so that an
// adapter that says so too soon is found out.
func undelivered(t *testing.T, batches []*record.Batch, outcome []error) (left []*record.Batch) {
	t.Helper()
	for i, err := range outcome {
		var partial *adapters.PartialError
		var rejected *adapters.RejectedError
		switch {
		case errors.As(err, &rejected):
			t.Fatal(err)
		case errors.As(err, &partial):
			rest := *batches[i]
			rest.Records = rest.Records[partial.Settled:]
			left = append(left, &rest)
		case err != nil:
			left = append(left, batches[i])
		}
	}
	return append(left, batches[len(outcome):]...)
}
