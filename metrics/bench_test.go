package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyman/collector/record"
)

// BenchmarkScrape serves the default set of fixtures' containers, with their
// reading. The files of a fixture cost about what the kernel's do.
func BenchmarkScrape(b *testing.B) {
	f := func(name, base string, n int, headers ...string) {
		b.Run(name, func(b *testing.B) {
			root := b.TempDir()
			copyTree(b, fixture(base), root)
			c := newContainers(b, Options{Containers: always(multiply(b, root, n)...), Root: root})
			handler := NewHandler(nil, nil, c)
			ask(handler, headers...)
			b.ReportAllocs()
			begun := processorTime(b)
			request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			for i := 0; i < len(headers); i += 2 {
				request.Header.Set(headers[i], headers[i+1])
			}
			size := 0
			for b.Loop() {
				client := counting{header: make(http.Header)}
				handler.ServeHTTP(&client, request)
				size = client.size
			}
			b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N)/1e6, "cpu-ms/scrape")
			b.ReportMetric(float64(size), "bytes")
		})
	}
	for _, n := range []int{10, 100, 500} {
		f(fmt.Sprintf("v1/%d/text", n), "v1-cgroupfs", n)
		f(fmt.Sprintf("v1/%d/gzip", n), "v1-cgroupfs", n, "Accept-Encoding", "gzip")
		f(fmt.Sprintf("v2/%d/text", n), "v2-systemd", n)
		f(fmt.Sprintf("v2/%d/gzip", n), "v2-systemd", n, "Accept-Encoding", "gzip")
	}
}

// BenchmarkIdle is a second without a scrape, after one: the CPU time that is used
// nevertheless, and the memory and descriptors that are held.
func BenchmarkIdle(b *testing.B) {
	f := func(n int) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			root := b.TempDir()
			copyTree(b, fixture("v1-cgroupfs"), root)
			list := multiply(b, root, n)
			debug.FreeOSMemory()
			before, none := resident(b), descriptors(b)
			c := newContainers(b, Options{Containers: always(list...), Root: root})
			handler := NewHandler(nil, nil, c)
			handler.ServeHTTP(&counting{header: make(http.Header)}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			memory, files := resident(b)-before, descriptors(b)-none
			begun := processorTime(b)
			for b.Loop() {
				<-time.After(time.Second)
			}
			b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N)/1e6, "cpu-ms/s")
			b.ReportMetric(float64(memory)/(1<<20), "MiB-more")
			b.ReportMetric(float64(files), "files")
		})
	}
	f(100)
	f(500)
}

// resident returns the memory that this process has in use, in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	var pages [2]int64
	content, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(content), &pages[0], &pages[1]); err != nil {
		b.Fatal(err)
	}
	return pages[1] * int64(os.Getpagesize())
}

// processorTime returns the nanoseconds that this process has used.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// counting is a client that counts what it is sent.
type counting struct {
	header http.Header
	size   int
}

func (c *counting) Header() http.Header { return c.header }

func (c *counting) WriteHeader(int) {}

func (c *counting) Write(b []byte) (int, error) {
	c.size += len(b)
	return len(b), nil
}

// multiply makes n containers in a copy of a fixture, each like web.
func multiply(t testing.TB, root string, n int) []*record.Container {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(entry.Name(), limited) {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	process := filepath.Join(root, "proc", map[bool]string{true: "5733", false: "2210"}[strings.Contains(folders[0], "/docker/")])
	member, err := os.ReadFile(filepath.Join(process, "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	var list []*record.Container
	for i := range n {
		container := *web(10000 + i)
		container.ID, container.Name = fmt.Sprintf("%064x", i), fmt.Sprint("web-", i)
		for _, folder := range folders {
			copyTree(t, folder, strings.ReplaceAll(folder, limited, container.ID))
		}
		own := filepath.Join(root, "proc", fmt.Sprint(container.PID))
		copyTree(t, process, own)
		changed := strings.ReplaceAll(string(member), limited, container.ID)
		if err := os.WriteFile(filepath.Join(own, "cgroup"), []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		list = append(list, &container)
	}
	return list
}
