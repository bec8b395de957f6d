package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyman/adapters/all"
	"tallyman/collector"
	"tallyman/collector/checkpoint"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestForgetsOnlyWhatIsDelivered: the position in a removed container's log stays
// while a route has not read that to its end, however long its destination is
// down: without it the container would count as one that was there before.
func TestForgetsOnlyWhatIsDelivered(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	store, err := checkpoint.Open(t.TempDir(), logger)
	must(err)
	defer store.Close()
	table := routes.NewTable(routes.TableConfig{Positions: store, Logger: logger})
	a := &agent{logger: logger, store: store, table: table, collector: collector.New(collector.Config{Logger: logger})}
	catalog := routes.Catalog{Adapters: all.List()}
	d, err := catalog.Parse("raw+tcp://127.0.0.1:1")
	must(err)
	must(table.Add(d))

	dir, id := t.TempDir(), strings.Repeat("ab", 32)
	must(os.Mkdir(filepath.Join(dir, id), 0o700))
	line := `{"log":"line\n","stream":"stdout","time":"2026-11-21T01:05:47.5Z"}` + "\n"
	must(os.WriteFile(filepath.Join(dir, id, id+"-json.log"), []byte(line), 0o600))
	root, err := jsonfile.Open(jsonfile.Options{Dir: dir, TempDir: t.TempDir()})
	must(err)
	log, err := root.Log(&record.Container{ID: id, Name: "web"})
	must(err)
	table.Found(log)
	table.Save()
	table.Gone(id)
	a.forgetUnseen(time.Now().Add(2 * keepContainers))
	if n := len(store.Positions(id)); n != 1 {
		t.Errorf("%d positions are left", n)
	}
	must(table.Apply(nil))
	a.forgetUnseen(time.Now().Add(4 * keepContainers))
	if n := len(store.Positions(id)); n != 0 {
		t.Errorf("%d positions are left of a log that nobody reads", n)
	}
}
