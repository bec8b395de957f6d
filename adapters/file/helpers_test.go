package file

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, path string, options map[string]string) adapters.Config {
	t.Helper()
	d := Description()
	c, err := d.Resolve("", path, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// newTest makes the adapter, and closes it at the end of the test.
func newTest(t testing.TB, path string, options map[string]string) *adapter {
	t.Helper()
	c := resolve(t, path, options)
	a, err := Description().New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(t.Context()) })
	return a.(*adapter)
}

func web() *record.Container { return adaptertest.Containers(1)[0] }

// send sends lines and returns what became of them; errUnsettled when nothing
// did yet.
func send(t testing.TB, a adapters.Adapter, c *record.Container, lines ...string) error {
	t.Helper()
	texts := make([][]byte, len(lines))
	for i, line := range lines {
		texts[i] = []byte(line)
	}
	result := errUnsettled
	calls := 0
	a.Send(t.Context(), adaptertest.NewBatch(c, texts...), func(err error) {
		result = err
		calls++
	})
	if calls > 1 {
		t.Fatalf("done was called %d times", calls)
	}
	return result
}

var errUnsettled = errors.New("the batch is not settled")

func mustSend(t testing.TB, a adapters.Adapter, c *record.Container, lines ...string) {
	t.Helper()
	if err := send(t, a, c, lines...); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func want(t testing.TB, name, text string) {
	t.Helper()
	if got := content(t, name); got != text {
		t.Fatalf("%s holds %.200q, want %.200q", filepath.Base(name), got, text)
	}
}

// backups returns the names of the rotated files of path, oldest first.
func backups(t testing.TB, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + "@*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// all returns what the rotated files of path and the file itself hold.
func all(t testing.TB, path string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range append(backups(t, path), path) {
		text := []byte(content(t, name))
		if strings.HasSuffix(name, compressed) {
			reader, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if text, err = io.ReadAll(reader); err != nil {
				t.Fatal(err)
			}
		}
		b.Write(text)
	}
	return b.String()
}

// eventually polls until condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		<-tick.C
	}
}
