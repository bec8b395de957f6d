package history_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tallyman/collector/history"
	"tallyman/collector/record"
)

// BenchmarkSearch goes through a whole log for a word that one line in ten
// thousand has.
func BenchmarkSearch(b *testing.B) {
	dir, list, _ := containers(b, 1, 1, func(int) string { return "first" })
	path := filepath.Join(dir, list[0].ID, list[0].ID+"-json.log")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	const lines = 200000
	var block []byte
	for i := range lines {
		word := "request done"
		if i%10000 == 5000 {
			word = "Upstream TIMEOUT"
		}
		block = fmt.Appendf(block, `{"log":"GET /api/v1/items?limit=50\u0026offset=%d HTTP/1.1 200 5123 - Mozilla/5.0 (X11; Linux x86_64) upstream=10.0.3.17:8080 rt=0.012 %s\n","stream":"stdout","time":"%s"}`+"\n",
			i, word, time.Unix(0, begin+int64(i)*1e6).UTC().Format(time.RFC3339Nano))
	}
	const copies = 6
	for range copies {
		if _, err := file.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, query string
		found       int
	}{{"word", "timeout", copies * 20}, {"case", "TIMEOUT", copies * 20}, {"expression", `upstream \w+out`, copies * 20}, {"two words", `items.*timeout`, copies * 20}, {"common", `get.*0.012 upstream`, copies * 20}, {"none", "no such text", 0}} {
		b.Run(c.name, func(b *testing.B) {
			match, err := history.ParseMatcher(c.query)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(block)) * copies)
			b.ReportAllocs()
			for b.Loop() {
				found, _ := scan(b, dir, []*record.Container{list[0]}, history.Query{Match: []*history.Matcher{match}}, true, noLimit)
				if len(found) != c.found {
					b.Fatalf("%d lines found, want %d", len(found), c.found)
				}
			}
		})
	}
}
