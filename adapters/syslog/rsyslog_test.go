package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// rsyslogConfig writes every message as it came, without what frames it.
const rsyslogConfig = `
global(workDirectory="%[1]s" maxMessageSize="64k"
       parser.escapeControlCharactersOnReceive="off")
module(load="imtcp")
module(load="imudp")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="all") { action(type="omfile" file="%[1]s/messages" template="raw" flushOnTXEnd="on") }
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="%[1]s/port" ruleset="all")
input(type="imudp" address="127.0.0.1" port="%[2]d" ruleset="all")
`

// startRsyslog starts rsyslogd and returns its TCP and UDP addresses and the
// file that it writes.
func startRsyslog(t *testing.T) (tcp, udp, file string) {
	t.Helper()
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("rsyslogd is not installed")
		}
		t.Skip("rsyslogd is not installed")
	}
	folder := t.TempDir()
	probe, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udpPort := probe.LocalAddr().(*net.UDPAddr).Port
	_ = probe.Close()
	configFile := filepath.Join(folder, "rsyslog.conf")
	config := fmt.Sprintf(rsyslogConfig, folder, udpPort)
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
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
		case <-time.After(10 * time.Second):
			_ = command.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("rsyslogd said: %s", &output)
		}
	})
	var port string
	adaptertest.Eventually(t, 20*time.Second, "rsyslogd listens", func() bool {
		text, err := os.ReadFile(filepath.Join(folder, "port"))
		port = strings.TrimSpace(string(text))
		return err == nil && port != ""
	})
	return "127.0.0.1:" + port, fmt.Sprint("127.0.0.1:", udpPort), filepath.Join(folder, "messages")
}

// A real rsyslogd gets every message, byte for byte and in order.
func TestRsyslog(t *testing.T) {
	f := func(name, transportName string, lines int, options map[string]string) {
		t.Run(name, func(t *testing.T) {
			tcp, udp, file := startRsyslog(t)
			address := tcp
			if transportName == "udp" {
				address = udp
			}
			config := resolve(t, transportName, address, options)
			a, err := newAdapter(config, transport.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			plain, err := newEncoder(resolve(t, "udp", address, options))
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			result := make(chan error, lines)
			const size = 100
			for i := 0; i < lines; i += size {
				texts := make([][]byte, size)
				for j := range texts {
					texts[j] = fmt.Appendf(nil, "line %d%s %%s \"q\" <é>", i+j, strings.Repeat(" word", j%40))
				}
				b := adaptertest.NewBatch(web(), texts...)
				want = appendBatch(t, plain, want, b)
				a.Send(t.Context(), b, func(err error) { result <- err })
				if transportName == "udp" {
					waitForFile(t, file, want)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := a.Close(ctx); err != nil {
				t.Fatal(err)
			}
			for range lines / size {
				err = errors.Join(err, <-result)
			}
			if err != nil {
				t.Fatal(err)
			}
			waitForFile(t, file, want)
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			compareLines(t, got, want)
		})
	}
	f("tcp", "tcp", 10_000, nil)
	f("tcp octet-counted", "tcp", 10_000, map[string]string{"framing": "octet-counted"})
	f("tcp rfc3164", "tcp", 10_000, map[string]string{"format": "rfc3164"})
	f("udp", "udp", 1000, nil)
}

// waitForFile waits until the file is as long as want.
func waitForFile(t *testing.T, file string, want []byte) {
	t.Helper()
	adaptertest.Eventually(t, 20*time.Second, fmt.Sprintf("rsyslogd has written %d bytes", len(want)), func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() >= int64(len(want))
	})
}

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
