package routes_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestMatchContainer: which containers a filter wants.
func TestMatchContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	c := &record.Container{
		ID: id, Name: "web_1.blue", Image: "registry.example/team/nginx:1.27",
		Labels: map[string]string{"team": "a/b/c", "empty": "", "com.docker.compose.service": "web", "url": "http://x:80/y", "bar": "a|b",
			"com.docker.compose.project": "shop", "com.docker.swarm.service.name": "shop_web"},
	}
	f := func(query string, want bool) {
		t.Helper()
		var filter routes.Filter
		if query != "" {
			for _, part := range strings.Split(query, "&") {
				key, value, _ := strings.Cut(part, "=")
				if err := filter.Set("filter."+key, value); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := filter.MatchContainer(c); got != want {
			t.Errorf("%q wants the container: %v", query, got)
		}
	}
	f("", true)
	f("id="+id[:1], true)
	f("id="+id[:12], true)
	f("id="+id, true)
	f("id=1", false)
	f("id="+id[:63]+"0", false)
	f("name=web_1.blue", true)
	f("name=web", false)
	f("name=web*", true)
	f("name=*", true)
	f("name=w?b_[0-9].*", true)
	f("name=w?b_[^0-9].*", false)
	f("name=WEB*", false)
	f("labels=team", true)
	f("labels=empty", true)
	f("labels=empty:", true)
	f("labels=team:", false)
	f("labels=other", false)
	f("labels=other:*", false)
	f("labels=team:*", true)
	f("labels=team:a*c", true)
	f("labels=team:a/*", true)
	f("labels=team:a?b?c", true)
	f("labels=team:a", false)
	f("labels=team:a/b/c,empty", true)
	f("labels=team:a/b/c,other", false)
	f("labels=com.docker.compose.service:web", true)
	f("labels=url:http://x:80/*", true)
	f("id=0&name=web*&labels=team", true)
	f("id=0&name=db*&labels=team", false)
	f("name=web*&sources=stderr", true)
	// Several names, and exclusion.
	f("name=db*,web*", true)
	f("name=db*,cache", false)
	f("name=!web*", false)
	f("name=!*_test", true)
	f("name=web*,!*blue", false)
	f("name=!*_test,web*,!db", true)
	f("name=!*_test,db", false)
	f("name=", true)
	// Image, project and services.
	f("image=*/nginx:*", true)
	f("image=nginx*", false)
	f("image=!*nginx*", false)
	f("project=shop&service=web,api&swarm=shop_*", true)
	f("project=shop&service=api", false)
	f("project=other", false)
	f("swarm=!shop_*", false)
	// Labels: one of several, and exclusion.
	f("labels=team:x|team:a/*", true)
	f("labels=team:x|empty", true)
	f("labels=team:x | other", false)
	f("labels=team:x|empty,other|url", true)
	f("labels=team:x|empty,other|team:y", false)
	f("labels=!other", true)
	f("labels=!team", false)
	f("labels=!team:x*", true)
	f("labels=!team:a*|!empty", false)
	f("labels=!team:a*|empty", true)
	f(`labels=bar:a\|b`, true)
	f("labels=bar:a[|]b", true)
	f("labels=bar:a|b", false)
}

// TestSources: a route gets the streams it wants and counts the others.
func TestSources(t *testing.T) {
	f := func(query string, want []int, filtered int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			book := newLedger()
			var batches int
			a := &syncAdapter{book: book, answer: func(_ context.Context, lines []string) error {
				if batches++; len(lines) == 0 {
					t.Error("an empty batch is sent")
				}
				return nil
			}}
			table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + query: a})
			l := newLog(t, newContainer("c"))
			for n := range 60 {
				e := entry{text: line("c", n)}
				// Thirty of stdout, then thirty in turn.
				if n >= 30 && n%2 == 1 {
					e.stream = record.Stderr
				}
				l.add(e)
			}
			table.Found(l)
			stop := run(t, table)
			eventually(t, "all is read", func() bool { return table.Routes()[0].Lag().Bytes == 0 })
			stop()
			if !slices.Equal(book.has("c"), want) {
				t.Errorf("%q: lines %v came, want %v", query, book.has("c"), want)
			}
			if n := table.Routes()[0].Tally().Filtered.Lines; n != filtered {
				t.Errorf("%q: %d lines are counted as filtered", query, n)
			}
		})
	}
	odd, rest := []int(nil), []int(nil)
	for n := range 60 {
		if n >= 30 && n%2 == 1 {
			odd = append(odd, n)
		} else {
			rest = append(rest, n)
		}
	}
	f("", numbers(60), 0)
	f("?filter.sources=stdout,stderr", numbers(60), 0)
	f("?filter.sources=stdout", rest, 15)
	f("?filter.sources=stderr", odd, 45)
}
