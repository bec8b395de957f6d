package jsonfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// openRescuing runs a Root with a rescue folder. end ends it as a kill would:
// no file of the vault is removed by it.
func openRescuing(t *testing.T, dir, vault string, limit int64) (root *Root, end func()) {
	t.Helper()
	root, err := Open(Options{Dir: dir, TempDir: t.TempDir(), Poll: time.Hour, RescueDir: vault, Budget: collector.NewBudget(limit)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		root.Run(ctx)
	}()
	end = func() { cancel(); <-done }
	t.Cleanup(end)
	return root, end
}

func rescuedFiles(t *testing.T, vault string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(vault, "*", "*"+rescuedSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What dockerd has deleted before it was released survives the agent: rotated
// files while the container runs, and all of a removed container.
func TestRescueSurvivesARestart(t *testing.T) {
	for _, compress := range []bool{false, true} {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprintf("compress=%v removed=%v", compress, removed), func(t *testing.T) {
				dir, vault := t.TempDir(), t.TempDir()
				root, end := openRescuing(t, dir, vault, 1<<30)
				w := newWriter(t, dir)
				w.compress = compress
				l := mustLog(t, root, running(w.id))
				r := openReader(t, l, record.Oldest())
				b := record.NewBatch()
				var want []string
				put := func() {
					want = append(want, fmt.Sprintf("line %d", len(want)))
					w.line(want[len(want)-1], record.Stdout)
				}
				put()
				put()
				drain(t, r, b)
				// Delivered as far as the first line only.
				saved := record.Position{Gen: b.Start.Gen, Skip: 1}
				for i := range 6 {
					put()
					w.rotate()
					l.look()
					if i >= 2 {
						waitFor(t, func() bool { return len(rescuedFiles(t, vault)) >= i-1 })
					}
				}
				put()
				if removed {
					w.remove()
					waitFor(t, func() bool { return len(rescuedFiles(t, vault)) == 7 })
				}
				_ = r.Close()
				end()

				root, _ = openRescuing(t, dir, vault, 1<<30)
				orphans := root.Orphans()
				if len(orphans) != 1 || orphans[0].ID != w.id || orphans[0].Name != "web" || len(orphans[0].Env) > 0 {
					t.Fatalf("the orphans are %+v", orphans)
				}
				l = mustLog(t, root, orphans[0])
				l.openedLongAgo()
				r = openReader(t, l, saved)
				got, at, ended := drain(t, r, b)
				wantLines(t, got, want[1:])
				if ended != removed {
					t.Fatalf("the log has ended: %v", ended)
				}
				// Once it is delivered nothing is left of it.
				r.Release(at[len(at)-1])
				_ = r.Close()
				if removed {
					root.drop(w.id)
				}
				waitFor(t, func() bool { return len(rescuedFiles(t, vault)) == 0 && root.vault.used.Load() == 0 })
			})
		}
	}
}

// What an earlier agent has left of a removed container is gone as soon as it is
// delivered, so that the next agent does not deliver it again.
func TestDeliveredCopiesAreRemovedAtOnce(t *testing.T) {
	f := func(toldFirst bool) {
		t.Helper()
		dir, vault := t.TempDir(), t.TempDir()
		root, end := openRescuing(t, dir, vault, 1<<30)
		w := newWriter(t, dir)
		r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
		w.line("last words", record.Stdout)
		w.remove()
		waitFor(t, func() bool { return len(rescuedFiles(t, vault)) == 1 })
		w.must(r.Close())
		end()

		root, _ = openRescuing(t, dir, vault, 1<<30)
		r = openReader(t, mustLog(t, root, root.Orphans()[0]), record.Oldest())
		got, at, ended := drain(t, r, record.NewBatch())
		wantLines(t, got, []string{"last words"})
		if toldFirst {
			root.End(w.id)
		}
		if n := len(rescuedFiles(t, vault)); n != 1 || !ended {
			t.Errorf("%d copies are left before it is delivered", n)
		}
		r.Release(at[0])
		w.must(r.Close())
		if !toldFirst {
			root.End(w.id)
		}
		waitFor(t, func() bool { return len(rescuedFiles(t, vault)) == 0 })
	}
	f(true)
	f(false)
}

// Nothing is copied of what has been delivered, nor of what is still there.
func TestRescueCopiesOnlyWhatIsNeeded(t *testing.T) {
	dir, vault := t.TempDir(), t.TempDir()
	root, _ := openRescuing(t, dir, vault, 1<<30)
	w := newWriter(t, dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	for i := range 10 {
		w.line(fmt.Sprint(i), record.Stdout)
		_, at, _ := drain(t, r, b)
		r.Release(at[len(at)-1])
		w.rotate()
		l.look()
		drain(t, r, b)
	}
	root.rescue(l)
	if files := rescuedFiles(t, vault); len(files) > 0 {
		t.Fatalf("%q was copied", files)
	}
}

// Past the budget the oldest lines are given up: the reader gets them so marked,
// and when it has passed them the space is free.
func TestBudgetGivesUpTheOldest(t *testing.T) {
	for _, rescue := range []bool{true, false} {
		t.Run(fmt.Sprintf("rescue=%v", rescue), func(t *testing.T) {
			const limit = 40 << 10
			dir, vault := t.TempDir(), ""
			if rescue {
				vault = t.TempDir()
			}
			root, _ := openRescuing(t, dir, vault, limit)
			w := newWriter(t, dir)
			l := mustLog(t, root, running(w.id))
			l.openedLongAgo()
			var woken atomic.Int64
			reader, err := l.Reader(record.Oldest(), func() { woken.Add(1) })
			w.must(err)
			r := reader.(*Reader)
			b := &record.Batch{Block: make([]byte, 1<<10)}
			w.line("first", record.Stdout)
			w.must(r.Next(b))
			begin := b.Start
			w.must(r.Seek(begin))
			var want []string
			want = append(want, "first")
			for i := range 12 {
				for n := range 100 {
					want = append(want, fmt.Sprint(i, n))
					w.line(want[len(want)-1], record.Stdout)
				}
				w.rotate()
				l.look()
			}
			waitFor(t, func() bool { return root.Stats().GivenUp.Load() > 0 && root.Held() <= limit })
			if !r.GivenUp(begin) {
				t.Error("the reader is not told that its place is given up")
			}
			before := woken.Load()
			if given := root.GiveUp(100); given != 100 || woken.Load() == before {
				t.Errorf("%d bytes more are given up, the reader is woken: %v", given, woken.Load() != before)
			}
			var got []string
			given, kept := 0, 0
			for {
				err := r.Next(b)
				if errors.Is(err, collector.ErrIdle) {
					break
				}
				w.must(err)
				for _, rec := range b.Records {
					got = append(got, string(rec.Line))
				}
				if n := len(b.Records); b.GivenUp {
					given += n
				} else {
					kept += n
				}
				if b.GivenUp && kept > 0 {
					t.Fatal("younger lines are given up before older ones")
				}
				r.Release(b.End)
			}
			wantLines(t, got, want)
			if given == 0 || kept == 0 {
				t.Errorf("%d lines are given up and %d kept", given, kept)
			}
			// Only the last file that was rotated is still held: the reader has not
			// come to the one after it.
			waitFor(t, func() bool { return root.Held() < limit/3 })
			w.must(r.Close())
		})
	}
}

// A log is looked at every second only while it has more than the file that is
// written to.
func TestStakes(t *testing.T) {
	root, _ := openRescuing(t, t.TempDir(), t.TempDir(), 1<<30)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	f := func(what string, want int) {
		t.Helper()
		waitFor(t, func() bool { return len(root.stakes.list()) == want })
		if len(root.stakes.raised) > 0 {
			waitFor(t, func() bool { return len(root.stakes.raised) == 0 })
		}
		t.Log(what)
	}
	f("a log with one file", 0)
	w.line("first", record.Stdout)
	w.rotate()
	l.look()
	f("one that was rotated, with a reader before", 1)
	w.line("second", record.Stdout)
	w.must(r.Next(b))
	r.Release(b.End)
	w.must(r.Next(b))
	r.Release(b.End)
	f("one whose reader has followed", 0)
	l.End()
	f("one that has ended", 1)
	w.must(r.Close())
	root.drop(w.id)
	f("one that was dropped", 0)
}

// A copy that a crash left unfinished is not taken for a log.
func TestRescueForgetsHalfACopy(t *testing.T) {
	vault := t.TempDir()
	id := fmt.Sprintf("%064x", 7)
	half := filepath.Join(vault, id, fileName(time.Now(), record.Generation{}, 0)+copySuffix)
	if err := errors.Join(os.Mkdir(filepath.Dir(half), 0o700), os.WriteFile(half, []byte("{\"lo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	root, _ := openRescuing(t, t.TempDir(), vault, 1<<20)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the half copy is still there: %v", err)
	}
	if n := root.vault.used.Load(); n != 0 {
		t.Fatalf("%d bytes are counted as used", n)
	}
}

// A reader whose route has not come to read at all needs everything.
func TestRescueForAReaderThatHasNotBegun(t *testing.T) {
	dir, vault := t.TempDir(), t.TempDir()
	root, end := openRescuing(t, dir, vault, 1<<30)
	w := newWriter(t, dir)
	w.must(os.Remove(w.path(0)))
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	w.create()
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprint(i))
		w.line(want[i], record.Stdout)
		w.rotate()
		l.look()
	}
	waitFor(t, func() bool { return len(rescuedFiles(t, vault)) >= 4 })
	_ = r.Close()
	end()
	root, _ = openRescuing(t, dir, vault, 1<<30)
	got, _, _ := drain(t, openReader(t, mustLog(t, root, running(w.id)), record.Oldest()), record.NewBatch())
	wantLines(t, got, want)
}

// A file is put away while its reader is at its first lines, as with a route whose
// destination is down. The race detector is what fails here: nothing but the code
// under test orders the reader before the rescue.
func TestRescueBesideAReader(t *testing.T) {
	dir, vault := t.TempDir(), t.TempDir()
	root, _ := openRescuing(t, dir, vault, 1<<30)
	w := newWriter(t, dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	if err := r.Next(b); !errors.Is(err, collector.ErrIdle) {
		t.Fatalf("an empty file: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if err := r.Next(b); !errors.Is(err, collector.ErrIdle) {
				// The channel would order it before what follows.
				time.Sleep(time.Second)
				ended <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	w.line("0", record.Stdout)
	time.Sleep(50 * time.Millisecond)
	w.rotate()
	l.look()
	waitFor(t, func() bool { return len(rescuedFiles(t, vault)) == 1 })
	if err := <-ended; err != nil || len(b.Records) != 1 {
		t.Fatalf("%d records, %v", len(b.Records), err)
	}
	if b.Start.Gen != b.End.Gen || b.Start.Off != 0 {
		t.Errorf("begins at %+v, ends at %+v: not one file", b.Start, b.End)
	}
}

// Copies and files come in the order of the generations, also where only the rest
// of a younger file was copied and all of them are still in the folder.
func TestRescueKeepsTheOrder(t *testing.T) {
	dir, vault := t.TempDir(), t.TempDir()
	root, end := openRescuing(t, dir, vault, 1<<30)
	w := newWriter(t, dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	w.line("0", record.Stdout)
	_, at, _ := drain(t, r, b)
	w.rotate()
	l.look()
	w.line("1", record.Stdout)
	drain(t, r, b)
	w.line("2", record.Stdout)
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	// The first file is delivered, the second as far as its first line.
	saved := b.Start
	r.Release(at[0])
	r.Release(saved)
	w.rotate()
	l.look()
	w.line("3", record.Stdout)
	// On a slow machine the first file may have been copied as well.
	waitFor(t, func() bool {
		return slices.ContainsFunc(rescuedFiles(t, vault), func(path string) bool {
			text, err := os.ReadFile(path)
			return err == nil && bytes.Contains(text, []byte(`"2\n"`))
		})
	})
	_ = r.Close()
	end()
	root, _ = openRescuing(t, dir, vault, 1<<30)
	l = mustLog(t, root, running(w.id))
	got, _, _ := drain(t, openReader(t, l, saved), b)
	wantLines(t, got, []string{"2", "3"})
	got, _, _ = drain(t, openReader(t, l, record.Oldest()), b)
	wantLines(t, got, []string{"0", "1", "2", "3"})
}

// A file that vanishes without being rotated leaves the older ones where they
// are: none of them is taken for a new one.
func TestLiveFileVanishes(t *testing.T) {
	root, _ := openRescuing(t, t.TempDir(), "", 1<<30)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	w.line("0", record.Stdout)
	w.rotate()
	l.look()
	w.line("1", record.Stdout)
	l.look()
	w.must(os.Remove(w.path(0)))
	w.create()
	w.line("2", record.Stdout)
	l.look()
	got, _, _ := drain(t, r, record.NewBatch())
	wantLines(t, got, []string{"0", "1", "2"})
}
