// Package testkit holds what tests of several packages need that start programs of
// this machine. Only tests import it.
package testkit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Need skips a test that the machine cannot run, but fails it in continuous
// integration.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}

// The ports that FreeAddress gives out lie below those that the kernel gives to
// outgoing connections, so that none takes one before it is used.
const firstPort, portRange = 20000, 12000

// lastPort is the last that FreeAddress has tried, less the first of its range.
// It begins anywhere, since tests of several packages run at the same time.
var lastPort = func() *atomic.Int32 {
	var p atomic.Int32
	p.Store(rand.Int32N(portRange))
	return &p
}()

// FreeAddress returns an address of the loopback interface that is free now, each
// time another.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range portRange {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%portRange)
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Buffer is a buffer that a process writes to while the test reads.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what has been written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
