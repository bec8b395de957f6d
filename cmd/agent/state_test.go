package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// mount mounts a file system on a new folder until the test ends.
func mount(t *testing.T, fs, options string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tallyman-test", dir, fs, 0, options)
	need(t, !errors.Is(err, syscall.EPERM), "the right to mount a file system")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// TestStateFolderFails: when the state folder is full, read-only or removed, the
// agent goes on delivering, says so once, counts it, and recovers.
func TestStateFolderFails(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	// With early it fails before the agent is started: a file that is open for
	// writing keeps a file system from becoming read-only.
	f := func(name, dir string, early bool, fail, heal func(dir string) error) {
		t.Run(name, func(t *testing.T) {
			d := &docker{t: t, client: d.client, image: d.image}
			sink := newSink(t, "tcp")
			prefix := "state-" + name + "-"
			if early {
				if err := fail(dir); err != nil {
					t.Fatal(err)
				}
			}
			p := startReady(t, dir, "syslog+tcp://"+sink.Address()+"?"+filterLabel(prefix))
			lines := func(i int) {
				t.Helper()
				sink.Expect(fmt.Sprint(prefix, i), "1", 3000)
				d.run(fmt.Sprint(prefix, i), logOptions{"max-size": "100k", "max-file": "9"}, "-lines", "3000", "-rate", "3000")
				wantExact(t, "with a state folder that is "+name, wantComplete(t, sink))
			}
			lines(0)
			saved := func(want float64) func() bool {
				return func() bool { v, _ := p.metric("tallyman_positions_saved"); return v == want }
			}
			if !early {
				p.eventually("positions are saved", saved(1))
				if err := fail(dir); err != nil {
					t.Fatal(err)
				}
			}
			lines(1)
			if heal != nil {
				p.eventually("it is shown that positions are not saved", saved(0))
				if _, body, err := p.get("/health"); err != nil || !strings.Contains(body, "positions cannot be saved") {
					t.Errorf("/health says %q, %v", body, err)
				}
				if n, _ := p.metric("tallyman_positions_save_errors_total"); n < 1 {
					t.Errorf("%v failures are counted", n)
				}
				lines(2)
				if n := strings.Count(p.output.String(), "positions cannot be saved"); n != 1 {
					t.Errorf("it was said %d times", n)
				}
				if err := heal(dir); err != nil {
					t.Fatal(err)
				}
				lines(3)
			}
			p.eventually("positions are saved again", saved(1))
			p.eventually("the file is there", func() bool {
				_, err := os.Stat(filepath.Join(dir, "positions.json"))
				return err == nil
			})
			if code := p.terminate(); code != 0 {
				t.Errorf("the agent exits with %d", code)
			}
		})
	}
	full := mount(t, "tmpfs", "size=256k")
	f("full", full, false, func(dir string) error {
		// All that is left, to the last page.
		file, err := os.Create(filepath.Join(dir, "filler"))
		for err == nil {
			_, err = file.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		return file.Close()
	}, func(dir string) error { return os.Remove(filepath.Join(dir, "filler")) })
	f("read-only", mount(t, "tmpfs", "size=16m"), true,
		func(dir string) error { return syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "") },
		func(dir string) error { return syscall.Mount("", dir, "", syscall.MS_REMOUNT, "") })
	f("removed", filepath.Join(t.TempDir(), "state"), false, os.RemoveAll, nil)
}

// TestCorruptPositions: a position file that cannot be read is put aside and
// said; lines are repeated rather than lost.
func TestCorruptPositions(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("corrupt-")
	p := startReady(t, state, uri)
	const lines = 2000
	sink.Expect("corrupt-0", "1", 2*lines)
	d.run("corrupt-0", nil, "-lines", fmt.Sprint(2*lines), "-burst", fmt.Sprint(lines), "-wait", "1ms", "-rate", "400")
	p.eventually("some lines have come", func() bool { return sink.Lines() >= lines })
	p.kill()
	path := filepath.Join(state, "positions.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	p = startReady(t, state, uri)
	if report := wantComplete(t, sink); report.Missing > 0 {
		t.Fatal(report)
	}
	if n := strings.Count(p.output.String(), "now kept as"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if v, _ := p.metric("tallyman_positions_forgotten"); v != 1 {
		t.Errorf("tallyman_positions_forgotten is %v", v)
	}
	if kept, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(kept) != 1 {
		t.Errorf("kept aside: %q, %v", kept, err)
	}
}

// TestCorruptSpool: a damaged block of the spool costs its own lines, which the
// tally tells exactly.
func TestCorruptSpool(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	if err := sink.Refuse(); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("damaged-")
	p := startReady(t, state, uri)
	const lines = 5000
	id := d.create("damaged-0", &container.HostConfig{LogConfig: container.LogConfig{Type: "local"}}, "-lines", fmt.Sprint(lines))
	d.start(id)
	segments := func() []string {
		found, err := filepath.Glob(filepath.Join(state, "spool", id, "*.seg"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	p.eventually("all is copied", func() bool {
		code, out, _ := tallyman(t.Context(), nil, "spool", "--state-dir", state)
		return code == exitOK && strings.Contains(out, fmt.Sprint(" ", lines, " "))
	})
	p.kill()
	file, err := os.OpenFile(segments()[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("damage"), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if code, out, problems := tallyman(t.Context(), nil, "spool", "verify", "--state-dir", state); code != exitFailed || !strings.Contains(out, segments()[0]) {
		t.Errorf("tallyman spool verify ends with %d: %s\n%s", code, problems, out)
	}
	if err := sink.Accept(); err != nil {
		t.Fatal(err)
	}
	sink.Expect("damaged-0", "1", lines)
	p = startReady(t, state, uri)
	wantTally(t, p, sink, map[string]string{"damaged-0": id}, lines)
	if c := p.tallyOf(id); len(c.Dropped) != 1 || c.Dropped[0].Lines == 0 || c.Dropped[0].Lines > lines/2 {
		t.Errorf("the account is %+v", c)
	}
	if n := strings.Count(p.output.String(), "is damaged and is passed over"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if n, _ := p.metric(`tallyman_spool_errors_total{kind="corrupt"}`); n != 1 {
		t.Errorf("%v damaged blocks are counted", n)
	}
}

// TestDamagedLogFile: broken lines, runs of NUL and a truncation in the engine's
// own file cost what they cover; what follows is delivered.
func TestDamagedLogFile(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	p := startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("broken-"))
	f := func(name, kind string, damage func(path string) error) {
		t.Helper()
		const lines = 1000
		id := d.run(name, nil, "-lines", fmt.Sprint(2*lines), "-burst", fmt.Sprint(lines), "-wait", "1ms", "-rate", "1000")
		before := sink.Lines()
		p.eventually("some lines have come", func() bool { return sink.Lines() >= before+lines })
		info, err := d.client.ContainerInspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(info.LogPath); err != nil {
			t.Fatal(err)
		}
		waitStopped(t.Context(), t, d, id)
		p.eventually("the last line has come", func() bool {
			for _, s := range sink.Report().Sources {
				if s.Source == name+" run=1" {
					return s.Expected == 2*lines
				}
			}
			return false
		})
		if n, _ := p.metric(`tallyman_reader_errors_total{kind="` + kind + `",reader="json-file"}`); n < 1 {
			t.Errorf("%s: %v are counted as %s", name, n, kind)
		}
	}
	appendTo := func(text string) func(string) error {
		return func(path string) error {
			file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString(text)
			return errors.Join(err, file.Close())
		}
	}
	f("broken-line", "broken", appendTo("{\"log\":\"half a rec\n"))
	f("broken-nul", "broken", appendTo(strings.Repeat("\x00", 100_000)+"\n"))
	f("broken-cut", "truncated", func(path string) error { return os.Truncate(path, 0) })
	if n := strings.Count(p.output.String(), "a broken record"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if n := strings.Count(p.output.String(), "was truncated by someone else"); n != 1 {
		t.Errorf("the truncation was said %d times", n)
	}
}
