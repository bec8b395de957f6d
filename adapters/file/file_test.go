package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/cmd/testkit"
	"tallyman/collector/record"
)

// folder is a server that is the file itself.
type folder struct{ path string }

func (f folder) Address() string { return f.path }

func (f folder) Lines() [][]byte {
	text, err := os.ReadFile(f.path)
	if err != nil || len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func (f folder) Count() int { return len(f.Lines()) }

func TestConformance(t *testing.T) {
	for _, sync := range []string{"none", "flush", "always"} {
		t.Run(sync, func(t *testing.T) {
			adaptertest.Run(t, adaptertest.Suite{
				Start: func(t *testing.T, _ adaptertest.Mode) adaptertest.Server {
					return folder{filepath.Join(t.TempDir(), "all.log")}
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					a, err := Description().New(resolve(t, address, map[string]string{"sync": sync}))
					if err != nil {
						t.Fatal(err)
					}
					return a
				},
				// A file has no connection that could be broken off.
				Lossy: true,
			})
		})
	}
}

func TestPaths(t *testing.T) {
	c := &record.Container{ID: "0123456789abcdef", Name: "web", Labels: map[string]string{
		"com.docker.compose.project": "shop", "com.docker.compose.service": "front",
	}}
	f := func(pattern string, c *record.Container, want string) {
		t.Helper()
		p, err := parsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.path(c, record.Stderr); got != want {
			t.Errorf("%s gives %q, want %q", pattern, got, want)
		}
	}
	f("/log/all.log", c, "/log/all.log")
	f("/log/{name}.log", c, "/log/web.log")
	f("/log/{project}/{service}-{id}.{stream}", c, "/log/shop/front-0123456789ab.stderr")
	f("/log//x/../{name}", c, "/log/web")
	f("/log/{project}/{service}.log", &record.Container{Name: "lone"}, "/log/_/lone.log")
	hostile := func(name, want string) {
		t.Helper()
		f("/log/{name}.log", &record.Container{Name: name}, "/log/"+want+".log")
		f("/log/{project}", &record.Container{Labels: map[string]string{"com.docker.compose.project": name}}, "/log/"+want)
	}
	hostile("../../etc/cron.d/x", "_._.._etc_cron.d_x")
	hostile("..", "_.")
	hostile(".", "_")
	hostile("", "_")
	hostile("/etc/passwd", "_etc_passwd")
	hostile("a/b\\c\x00d\ne\x7f", "a_b_c_d_e_")
	hostile("web.log@20261121T103000.000000Z", "web.log_20261121T103000.000000Z")
	hostile("\xff\xfe", "__")
	hostile("{name}", "{name}")
	hostile(strings.Repeat("x", 500), strings.Repeat("x", 100))
	hostile(strings.Repeat("世", 100), strings.Repeat("世", 33))

	// Those that stand in one name share its length.
	long := strings.Repeat("x", 500)
	hog := &record.Container{ID: long, Name: long, Labels: map[string]string{
		"com.docker.compose.project": long, "com.docker.compose.service": long,
	}}
	f("/{project}/{service}/{name}", hog, "/"+long[:100]+"/"+long[:100]+"/"+long[:100])
	f("/{project}-{service}-{name}.log", hog, "/"+long[:69]+"-"+long[:69]+"-"+long[:69]+".log")
	f("/"+long[:50]+"/{service}.{id}.{stream}", hog, "/"+long[:50]+"/"+long[:100]+"."+long[:12]+".stderr")
}

// No container has a name with which its file, or what its rotation makes, cannot
// be made: it would hold up the lines of all others.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("x", 500)
	hog := &record.Container{ID: long, Name: long, Labels: map[string]string{
		"com.docker.compose.project": long, "com.docker.compose.service": long,
	}}
	// A folder is not rotated: its name has all that a name may have.
	path := filepath.Join(t.TempDir(), long[:255], "{project}-{service}-{name}.{stream}.log")
	a := newTest(t, path, map[string]string{"max_size": "10", "compress": "true"})
	for range 3 {
		mustSend(t, a, hog, "0123456789")
	}
	eventually(t, "the rotated files are compressed", func() bool {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"+compressed))
		return err == nil && len(names) == 2
	})
}

// Whatever a container is called, its file lies in its folder.
func FuzzClean(f *testing.F) {
	for _, text := range []string{"web", "..", "../x", "a/b", "\x00", "\xff", "@", strings.Repeat("世", 50)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text, maxValue)
		path := "/log/" + got
		if filepath.Dir(path) != "/log" || filepath.Clean(path) != path || strings.ContainsAny(got, "/\x00\n@") ||
			len(got) > 2*maxValue {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}

// A configuration that can never work is refused.
func TestBadConfig(t *testing.T) {
	f := func(path string, options map[string]string, want string) {
		t.Helper()
		if _, err := Description().New(resolve(t, path, options)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("x.log", nil, `reading the path "x.log": it is to begin with a slash and to name a file`)
	f("/log/", nil, "to name a file")
	f("/log/{nam}.log", nil, "unknown placeholder {nam}; known are {name}, {id}, {project}, {service}, {stream}")
	f("/log/{name", nil, "unknown placeholder {name}")
	f("/log/name}", nil, "a brace is closed that was not opened")
	f("/log/"+strings.Repeat("x", 214), nil, "a name in it may have 213 bytes")
	f("/log/"+strings.Repeat("x", 198)+"{name}", nil, "the text of each placeholder 16 of them")
	f("/x", map[string]string{"max_size": "many"}, `bad value "many" of option "max_size"; it is a size such as`)
	f("/x", map[string]string{"max_size": "-1"}, `bad value "-1" of option "max_size"`)
	f("/x", map[string]string{"max_age": "1s"}, `bad value "1s" of option "max_age"; it is a duration of a minute or more`)
	f("/x", map[string]string{"max_age": "day"}, `bad value "day" of option "max_age"`)
	f("/x", map[string]string{"max_backups": "-1"}, `bad value "-1" of option "max_backups"; it is a number from 0`)
}

func TestFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "{stream}.log")
	name := func(stream string) string { return strings.Replace(path, "{stream}", stream, 1) }
	lines := []string{"hello", "100%s \"q\" \\ <b>", "tab\t nul\x00 esc\x1b[0m", "bad \xff\xc3 世 \u2028"}
	mustSend(t, newTest(t, path, nil), web(), lines...)
	want(t, name("stdout"), lines[0]+"\n"+lines[2]+"\n")
	want(t, name("stderr"), lines[1]+"\n"+lines[3]+"\n")

	path = filepath.Join(t.TempDir(), "{stream}.json")
	mustSend(t, newTest(t, path, map[string]string{"format": "json"}), web(), lines...)
	for stream, first := range map[string]int{"stdout": 0, "stderr": 1} {
		for i, text := range strings.Split(strings.TrimSuffix(content(t, name(stream)), "\n"), "\n") {
			var got struct {
				Log, Stream, Time string
				Attrs             map[string]string
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			n := first + 2*i
			if line := strings.ToValidUTF8(strings.ReplaceAll(lines[n], "\xff\xc3", "\ufffd\ufffd"), "") + "\n"; got.Log != line {
				t.Errorf("line %d is %q, want %q", n, got.Log, line)
			}
			if want := fmt.Sprintf("2026-11-21T01:09:08.%03dZ", n*7); got.Time != strings.Replace(want, ".000Z", "Z", 1) || got.Stream != stream {
				t.Errorf("line %d has time %s and stream %s, want %s", n, got.Time, got.Stream, want)
			}
			if got.Attrs["name"] != "web.1" || got.Attrs["id"] != web().ID || got.Attrs["image"] != "example/web:1" {
				t.Errorf("line %d has attributes %v", n, got.Attrs)
			}
		}
	}
}

// Each container has its file, of which few are open at a time.
func TestOpenFilesAreBounded(t *testing.T) {
	root := t.TempDir()
	a := newTest(t, filepath.Join(root, "{name}.log"), map[string]string{"sync": "flush"})
	a.maxOpen = 3
	all := adaptertest.Containers(10)
	expected := map[string]string{}
	settled := 0
	for round := range 3 {
		for _, c := range all {
			line := fmt.Sprint(c.Name, " ", round)
			expected[c.Name] += line + "\n"
			a.Send(t.Context(), adaptertest.NewBatch(c, []byte(line)), func(err error) {
				if err != nil {
					t.Error(err)
				}
				settled++
			})
			if n := openBelow(t, root); n > 3 || n != len(a.open) || n != a.order.Len() {
				t.Fatalf("%d files are open, %d known", n, len(a.open))
			}
		}
	}
	a.Flush(t.Context())
	if settled != 30 {
		t.Fatalf("%d batches are settled", settled)
	}
	for name, text := range expected {
		want(t, filepath.Join(root, name+".log"), text)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := openBelow(t, root); n != 0 {
		t.Fatalf("%d files are open after Close", n)
	}
}

// openBelow returns how many files below root this process has open.
func openBelow(t *testing.T, root string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	testkit.Need(t, err == nil, "/proc/self/fd, which tells what files are open")
	n := 0
	for _, entry := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(name, root+"/") {
			n++
		}
	}
	return n
}

// A batch is settled when the disk has it: at once, or at the next pause.
func TestSync(t *testing.T) {
	f := func(sync string, before, after error) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "x.log")
		a := newTest(t, path, map[string]string{"sync": sync})
		var got [2]error
		for i := range got {
			got[i] = errUnsettled
			a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("x")), func(err error) { got[i] = err })
			if got[i] != before { //nolint:errorlint // It is the very same one.
				t.Fatalf("sync=%s: %v before the pause, want %v", sync, got[i], before)
			}
		}
		a.Flush(t.Context())
		if got != [2]error{after, after} {
			t.Fatalf("sync=%s: %v after the pause, want %v", sync, got, after)
		}
		if o := a.open[path]; sync != "none" && o.synced != o.size || o.size != 4 {
			t.Fatalf("sync=%s: %d of %d bytes are on the disk", sync, o.synced, o.size)
		}
	}
	f("none", nil, nil)
	f("flush", errUnsettled, nil)
	f("always", nil, nil)
}

// The disk is asked before too much waits for it.
func TestSyncIsBounded(t *testing.T) {
	a := newTest(t, filepath.Join(t.TempDir(), "x.log"), map[string]string{"sync": "flush"})
	settled, most := 0, 0
	for i := range 1000 {
		a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("x")), func(error) { settled++ })
		most = max(most, i+1-settled)
	}
	if most > maxPending || settled == 0 {
		t.Fatalf("up to %d batches waited", most)
	}
	before := settled
	a.Send(t.Context(), adaptertest.NewBatch(web(), make([]byte, maxUnsynced)), func(error) { settled++ })
	if settled == before {
		t.Fatal("a MiB waits for the disk")
	}
}

// A line costs no allocation.
func TestSendAllocates(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		a := newTest(t, filepath.Join(t.TempDir(), "{name}.log"), map[string]string{"format": format, "max_size": "0"})
		lines := make([][]byte, 1000)
		for i := range lines {
			lines[i] = []byte("some \"line\" of text")
		}
		batch := adaptertest.NewBatch(web(), lines...)
		done := func(error) {}
		// A batch costs a few: the path, and looking at the file.
		const most = 15
		if n := testing.AllocsPerRun(50, func() { a.Send(t.Context(), batch, done) }); n > most {
			t.Errorf("%s: %v allocations a batch of 1000 lines", format, n)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	for _, format := range []string{"text", "json"} {
		for _, length := range []int{80, 200, 1000} {
			b.Run(fmt.Sprintf("%s/%d", format, length), func(b *testing.B) {
				a := newTest(b, filepath.Join(b.TempDir(), "{name}.log"),
					map[string]string{"format": format, "max_size": "64m", "max_backups": "1"})
				const lines = 1000
				texts := make([][]byte, lines)
				for i := range texts {
					texts[i] = bytes.Repeat([]byte("x"), length)
				}
				batch := adaptertest.NewBatch(web(), texts...)
				adaptertest.BenchmarkAdapter(b, batch, a)
			})
		}
	}
}
