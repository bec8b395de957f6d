package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tallyman/collector/record"
)

// BenchmarkScrape reads and gathers 100 containers of a fixture, without the
// rendering of the text.
func BenchmarkScrape(b *testing.B) {
	f := func(name, base string) {
		b.Run(name, func(b *testing.B) {
			root := b.TempDir()
			copyTree(b, fixture(base), root)
			c := newContainers(b, Options{Containers: always(multiply(b, root, 100)...), Root: root})
			registry := prometheus.NewRegistry()
			registry.MustRegister(c)
			count := 0
			b.ReportAllocs()
			for b.Loop() {
				families, err := registry.Gather()
				if err != nil {
					b.Fatal(err)
				}
				count = 0
				for _, family := range families {
					count += len(family.GetMetric())
				}
			}
			b.ReportMetric(float64(count), "series")
		})
		b.Run(name+"/read", func(b *testing.B) {
			root := b.TempDir()
			copyTree(b, fixture(base), root)
			list := multiply(b, root, 100)
			c := newContainers(b, Options{Containers: always(list...), Root: root})
			b.ReportAllocs()
			for b.Loop() {
				c.scrape(list)
			}
		})
	}
	f("v1", "v1-cgroupfs")
	f("v2", "v2-systemd")
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
