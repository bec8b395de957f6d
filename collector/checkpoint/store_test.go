package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)

func at(inode uint64, offset int64) record.Position {
	return record.Position{Gen: record.Generation{Inode: inode, Len: 512, Sum: 0xfedcba9876543210}, Off: offset}
}

// none is the account of a route that has read nothing.
var none = &record.Account{}

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // A test that cares closes it first.
	return s
}

func mustSave(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if s.Dirty() {
		t.Fatal("dirty after a save")
	}
}

func wantPosition(t testing.TB, s *Store, route, id string, want record.Position) {
	t.Helper()
	got, _, ok := s.Get(route, id)
	if !ok || got != want {
		t.Errorf("position of %s in %s = %+v, %v; want %+v", route, id, got, ok, want)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	odd := "syslog+tcp://h:1?filter.name=\"a\\b\"\n\x01ü\u2028"
	if first := s.Meet(odd, "to the archive", start); !first.Equal(start) {
		t.Errorf("first met at %s, want %s", first, start)
	}
	s.Set(odd, "c1", "web", at(1, 10), none, start)
	s.Set(odd, "c2", "böse\xff", record.End(), none, start)
	s.Set("b", "c1", "web", record.Position{Gen: record.Generation{Inode: 1<<64 - 1, Sum: 1}, Skip: 7}, none, start)
	s.Set("b", "c3", "", record.Oldest(), none, start)
	s.Delete("b", "c3")
	mustSave(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	again := mustOpen(t, dir)
	wantPosition(t, again, odd, "c1", at(1, 10))
	wantPosition(t, again, odd, "c2", record.End())
	wantPosition(t, again, "b", "c1", record.Position{Gen: record.Generation{Inode: 1<<64 - 1, Sum: 1}, Skip: 7})
	for _, missing := range [][2]string{{"b", "c3"}, {"b", "c2"}, {"x", "c1"}} {
		if p, _, ok := again.Get(missing[0], missing[1]); ok {
			t.Errorf("position of %q = %+v, want none", missing, p)
		}
	}
	if first := again.Meet(odd, "to the archive", start.Add(time.Minute)); !first.Equal(start) {
		t.Errorf("first met at %s, want %s", first, start)
	}
	if again.Dirty() {
		t.Error("dirty though nothing changed")
	}
	if name := again.containers["c2"].name; name != "böse\ufffd" {
		t.Errorf("name %q", name)
	}
}

// What has become of the lines up to a position is kept with it.
func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	account := record.Account{
		Read:      record.Count{Lines: 99, Bytes: 999}, // Some of it in flight.
		Delivered: record.Count{Lines: 40, Bytes: 400}, Filtered: record.Count{Lines: 1, Bytes: 10}, Gaps: 2,
	}
	account.Drop("too_long", record.Count{Lines: 3, Bytes: 30})
	account.Drop(`"odd"`, record.Count{Lines: 1})
	s.Set("a", "c", "n", at(1, 1), &account, start)
	want := account.Clone()
	want.Read = record.Count{Lines: 45, Bytes: 440}
	// It was copied.
	account.Drop("too_long", record.Count{Lines: 1})
	check := func(s *Store) {
		t.Helper()
		if _, got, ok := s.Get("a", "c"); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("the account is %+v, want %+v", got, want)
		}
	}
	check(s)
	mustSave(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(mustOpen(t, dir))
}

func TestOnlyChangesAreWritten(t *testing.T) {
	faults := &faultyFiles{}
	s, err := open(t.TempDir(), nil, faults, start)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := func(what string, want bool, change func()) {
		t.Helper()
		mustSave(t, s)
		before := faults.writes
		change()
		if s.Dirty() != want {
			t.Errorf("%s: dirty %v, want %v", what, s.Dirty(), want)
		}
		mustSave(t, s)
		if wrote := faults.writes > before; wrote != want {
			t.Errorf("%s: written %v, want %v", what, wrote, want)
		}
	}
	later := start.Add(seenGrain)
	f("nothing", false, func() {})
	f("a new route", true, func() { s.Meet("a", "d", start) })
	f("the same route", false, func() { s.Meet("a", "d", start.Add(time.Second)) })
	f("another description", true, func() { s.Meet("a", "e", start) })
	f("a new position", true, func() { s.Set("a", "c", "n", at(1, 1), none, start) })
	f("the same position", false, func() { s.Set("a", "c", "n", at(1, 1), none, start.Add(time.Second)) })
	f("another position", true, func() { s.Set("a", "c", "n", at(1, 2), none, start) })
	f("another name", true, func() { s.Set("a", "c", "m", at(1, 2), none, start) })
	f("seen a little later", false, func() { s.Seen(start.Add(time.Minute), []string{"a"}, []string{"c"}) })
	f("a route seen much later", true, func() { s.Seen(later, []string{"a"}, nil) })
	f("a container seen much later", true, func() { s.Seen(later, nil, []string{"c"}) })
	f("seen by nobody who is known", false, func() { s.Seen(later, []string{"x"}, []string{"y"}) })
	f("a clock that went back", false, func() { s.Seen(start, []string{"a"}, []string{"c"}) })
	f("a deleted position", true, func() { s.Delete("a", "c") })
	f("a deleted position that was not there", false, func() { s.Delete("a", "c"); s.Delete("x", "c") })
	f("nothing to forget", false, func() { s.Forget(later, time.Hour, time.Hour) })
}

func TestForget(t *testing.T) {
	const day = 24 * time.Hour
	dir := t.TempDir()
	s := mustOpen(t, dir)
	s.Meet("new", "", start)
	s.Meet("old", "the old one", start)
	for _, id := range []string{"quiet", "gone"} {
		s.Set("new", id, "name of "+id, at(1, 1), none, start)
		s.Set("old", id, "name of "+id, at(1, 1), none, start)
	}
	s.Seen(start.Add(3*day), []string{"new"}, []string{"quiet"})

	got := s.Forget(start.Add(3*day), 2*day, 9*day)
	want := []Forgotten{{Container: "gone", Name: "name of gone", Seen: start, Positions: 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("forgot %+v, want %+v", got, want)
	}
	got = s.Forget(start.Add(3*day), 9*day, 2*day)
	want = []Forgotten{{Route: "old", Description: "the old one", Seen: start, Positions: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("forgot %+v, want %+v", got, want)
	}
	mustSave(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	wantPosition(t, again, "new", "quiet", at(1, 1))
	if len(again.routes) != 1 || len(again.containers) != 1 || len(again.Positions("quiet")) != 1 {
		t.Errorf("after a restart there are %d routes and %d containers", len(again.routes), len(again.containers))
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	const routes, containers, rounds = 4, 20, 200
	var setters, saver sync.WaitGroup
	for r := range routes {
		setters.Go(func() {
			route := fmt.Sprint("route ", r)
			for i := range rounds {
				for c := range containers {
					id := fmt.Sprint("container ", c)
					s.Set(route, id, id, at(uint64(c+1), int64(i)), none, start)
					if p, _, ok := s.Get(route, id); !ok || p.Off != int64(i) {
						t.Errorf("got %+v back, want offset %d", p, i)
						return
					}
				}
				s.Seen(start.Add(time.Duration(i)*time.Hour), []string{route}, []string{"container 1"})
			}
		})
	}
	done := make(chan struct{})
	saver.Go(func() {
		for {
			if err := s.Save(); err != nil {
				t.Error(err)
			}
			s.Forget(start, time.Hour, time.Hour)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	setters.Wait()
	close(done)
	saver.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	for r := range routes {
		for c := range containers {
			wantPosition(t, again, fmt.Sprint("route ", r), fmt.Sprint("container ", c), at(uint64(c+1), rounds-1))
		}
	}
}

// fill gives a store the positions of 1,000 containers in each of 4 routes.
func fill(s *Store) (routes, ids []string) {
	for r := range 4 {
		routes = append(routes, fmt.Sprintf("syslog+tcp://logs-%d.example.com:514", r))
	}
	for c := range 1000 {
		ids = append(ids, fmt.Sprintf("%064x", uint64(c+1)*0x9e3779b97f4a7c15))
	}
	for _, route := range routes {
		for c, id := range ids {
			s.Set(route, id, fmt.Sprintf("shop-service-%d", c), at(uint64(4000000+c), int64(c)*1e6), none, start)
		}
	}
	return routes, ids
}

// content returns what a save would write.
func content(s *Store) []byte {
	var buf bytes.Buffer
	_, _ = s.encode(&buf, nil) // A buffer takes everything.
	return buf.Bytes()
}

func TestEncodingAllocatesNothing(t *testing.T) {
	s := newStore("", nil, nil)
	fill(s)
	buffer, err := s.encode(io.Discard, nil)
	if n := testing.AllocsPerRun(10, func() { buffer, err = s.encode(io.Discard, buffer) }); n > 0 || err != nil {
		t.Errorf("encoding again takes %v allocations, error %v", n, err)
	}
	if lines := bytes.Count(content(s), []byte("\n")); lines < 5000 {
		t.Errorf("the file has %d lines", lines)
	}
}

// TestMemoryOfASave: it takes a piece of the file, however many positions there
// are.
func TestMemoryOfASave(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	fill(s)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mustSave(t, s)
	runtime.ReadMemStats(&after)
	info, err := os.Stat(filepath.Join(s.dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if taken := int64(after.TotalAlloc - before.TotalAlloc); taken > info.Size()/3 {
		t.Errorf("a save of %d bytes takes %d", info.Size(), taken)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSaveWhileContainersCome: a file that is written while positions come and go
// can be read, and the next has the rest.
func TestSaveWhileContainersCome(t *testing.T) {
	s := newStore("", nil, nil)
	routes, ids := fill(s)
	var file []byte
	pieces := 0
	_, err := s.encode(writer(func(piece []byte) (int, error) {
		file = append(file, piece...)
		late := fmt.Sprint("late ", pieces)
		s.Set(routes[0], late, "n", at(1, 2), none, start)
		s.Set("a late route", late, "n", at(1, 2), none, start)
		s.Delete(routes[3], ids[pieces])
		pieces++
		return len(piece), nil
	}), nil)
	if err != nil || pieces < 10 {
		t.Fatalf("%d pieces were written, error %v", pieces, err)
	}
	read, next := newStore("", nil, nil), newStore("", nil, nil)
	if err := errors.Join(read.load(file), next.load(content(s))); err != nil {
		t.Fatal(err)
	}
	wantPosition(t, read, routes[0], ids[7], at(4000007, 7e6))
	wantPosition(t, next, routes[0], "late 0", at(1, 2))
	wantPosition(t, next, "a late route", "late 0", at(1, 2))
	if _, _, ok := next.Get(routes[3], ids[0]); ok {
		t.Error("a position that was forgotten while a file was written is in the next")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// BenchmarkMemory reports what the positions of four routes in 1,000 containers
// take.
func BenchmarkMemory(b *testing.B) {
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := newStore("", nil, nil)
		_, ids := fill(s)
		_, _ = s.encode(io.Discard, nil)
		clear(ids)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/4000, "B/position")
}

func BenchmarkSet(b *testing.B) {
	s := newStore("", nil, nil)
	routes, ids := fill(s)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Set(routes[i%4], ids[i%1000], "n", at(1, int64(i)), none, start)
	}
}

func BenchmarkEncode4000(b *testing.B) {
	s := newStore("", nil, nil)
	fill(s)
	buffer := content(s)
	b.SetBytes(int64(len(buffer)))
	b.ReportAllocs()
	for b.Loop() {
		buffer, _ = s.encode(io.Discard, buffer)
	}
}

func BenchmarkSave4000(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	routes, ids := fill(s)
	mustSave(b, s)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Set(routes[0], ids[0], "n", at(1, int64(i)), none, start)
		mustSave(b, s)
	}
}

func BenchmarkOpen4000(b *testing.B) {
	s := newStore("", nil, nil)
	fill(s)
	data := content(s)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := s.load(data); err != nil {
			b.Fatal(err)
		}
	}
}
