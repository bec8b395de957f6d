package routes_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/routes"
)

// managed is a manager with a table that runs until the test ends.
func managed(t *testing.T, dir string, uris ...string) (*routes.Manager, *routes.Table, *routes.Catalog) {
	t.Helper()
	c := (&factory{book: newLedger()}).catalog()
	table := newTable(t, routes.TableConfig{}, nil)
	m := routes.NewManager(routes.ManagerConfig{Table: table, Catalog: c, Dir: dir, Logger: (&journal{}).logger()})
	if err := m.Load(parseAll(t, c, uris...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, table))
	return m, table, c
}

func put(t *testing.T, m *routes.Manager, s routes.Spec, version string) routes.Entry {
	t.Helper()
	entry, _, err := m.Put(s, version)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// TestManagerKeepsRoutes: what is made is there after a restart, what is deleted
// is not, and what the configuration has comes back.
func TestManagerKeepsRoutes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "later")
	m, table, _ := managed(t, dir, "fake://fixed:1")
	made := put(t, m, routes.Spec{Adapter: "fake", Address: "user:pw@a:1/x", FilterName: "web*", Options: map[string]string{"token": "s3cret"}}, "")
	if len(made.Spec.ID) != 12 || made.Spec.Address != "xxxxx@a:1/x" || made.Spec.Options["token"] != "xxxxx" {
		t.Fatalf("the route is told as %+v", made.Spec)
	}
	path := filepath.Join(dir, made.Spec.ID+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "id": "` + made.Spec.ID + `",
  "filter_name": "web*",
  "adapter": "fake",
  "address": "user:pw@a:1/x",
  "options": {
    "token": "s3cret"
  }
}`
	if string(text) != want {
		t.Fatalf("the file holds %s", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file's mode is %v, %v", info.Mode(), err)
	}
	fixed := m.List()[0].Spec.ID
	if err := m.Delete(fixed, ""); err != nil {
		t.Fatal(err)
	}
	if got := titles(table); len(got) != 1 || !strings.Contains(got[0], "a:1") {
		t.Fatalf("there are %q", got)
	}

	again, table, _ := managed(t, dir, "fake://fixed:1")
	if len(again.List()) != 2 || len(table.Routes()) != 2 {
		t.Fatalf("after a restart there are %q", titles(table))
	}
	if err := again.Delete(made.Spec.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := again.Delete(made.Spec.ID, ""); !errors.Is(err, routes.ErrNoRoute) {
		t.Fatalf("deleting twice says %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Fatalf("%v are left, %v", entries, err)
	}
}

// TestManagerVersions: a change by somebody who has not seen the last one is
// refused.
func TestManagerVersions(t *testing.T) {
	m, table, c := managed(t, t.TempDir(), "fake://fixed:1")
	spec := routes.Spec{ID: "web", Adapter: "fake", Address: "a:1"}
	if _, _, err := m.Put(spec, "*"); !errors.Is(err, routes.ErrChanged) {
		t.Fatalf("changing what is not there says %v", err)
	}
	first := put(t, m, spec, "")
	same := put(t, m, spec, first.Version)
	if same.Version != first.Version {
		t.Fatal("the version is another though nothing has changed")
	}
	spec.Options = map[string]string{"colour": "red"}
	second := put(t, m, spec, first.Version)
	if _, _, err := m.Put(spec, first.Version); !errors.Is(err, routes.ErrChanged) || second.Version == first.Version {
		t.Fatalf("a change of an old version says %v", err)
	}
	if err := m.Delete("web", first.Version); !errors.Is(err, routes.ErrChanged) {
		t.Fatalf("a removal of an old version says %v", err)
	}
	route := table.Routes()[1]
	if err := m.SetFixed(parseAll(t, c, "fake://fixed:2")); err != nil {
		t.Fatal(err)
	}
	if table.Routes()[1] != route {
		t.Fatal("a new configuration has touched a route that is not of it")
	}
	got, err := m.Get("web")
	if err != nil || got.Version != second.Version {
		t.Fatalf("the version is %q, %v, want %q", got.Version, err, second.Version)
	}
	if err := m.Delete("web", "*"); err != nil {
		t.Fatal(err)
	}
}

// TestManagerFails: what cannot be made or stored changes nothing.
func TestManagerFails(t *testing.T) {
	dir := t.TempDir()
	m, table, _ := managed(t, filepath.Join(dir, "routes"), "fake://fixed:1")
	f := func(s routes.Spec, want string) {
		t.Helper()
		_, _, err := m.Put(s, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%+v says %v, which does not hold %q", s, err, want)
		}
		if len(table.Routes()) != 1 || len(m.List()) != 1 {
			t.Fatalf("%+v has changed the routes to %q", s, titles(table))
		}
	}
	f(routes.Spec{}, "bad adapter")
	f(routes.Spec{Adapter: "kafka", Address: "a:1"}, `"kafka"`)
	f(routes.Spec{Adapter: "fake", Address: "a"}, "port")
	f(routes.Spec{Adapter: "fake", Address: "a:1?token=x"}, "question mark")
	f(routes.Spec{Adapter: "fake", Address: "a:1", ID: "../x"}, "bad id")
	f(routes.Spec{Adapter: "fake", Address: "a:1", ID: ".x"}, "bad id")
	f(routes.Spec{Adapter: "fake", Address: "a:1", Options: map[string]string{"filter.name": "x"}}, "filter_name")
	f(routes.Spec{Adapter: "fake", Address: "a:1", Options: map[string]string{"token": "xxxxx"}}, "secret")
	f(routes.Spec{Adapter: "fake", Address: "a:1", Options: map[string]string{"broken": "yes"}}, "broken on purpose")
	f(routes.Spec{Adapter: "fake", Address: "a:1", FilterLabels: []string{"a:1,2"}}, "comma")
	if err := os.WriteFile(filepath.Join(dir, "routes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(routes.Spec{Adapter: "fake", Address: "a:1"}, "storing the route")
	var stored *routes.StoreError
	if _, _, err := m.Put(routes.Spec{Adapter: "fake", Address: "a:1"}, ""); !errors.As(err, &stored) {
		t.Fatalf("the error is %T", err)
	}
}

// TestStoredRoutesThatAreBad: a file that makes no route is named, stays, and
// keeps nobody else from starting.
func TestStoredRoutesThatAreBad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good.v2.json", `{"id":"good.v2","adapter":"fake","address":"a:1","extra":1}`)
	write("noid.json", `{"adapter":"fake","address":"a:2"}`)
	write("torn.json", `{"adapter":"fa`)
	write("bad.json", `{"adapter":"kafka","address":"a:1"}`)
	write("other.json", `{"id":"../good","adapter":"fake","address":"a:1"}`)
	write("README", "no route")
	m, table, _ := managed(t, dir)
	if got := titles(table); len(got) != 2 {
		t.Fatalf("there are %q", got)
	}
	if n := len(m.Problems()); n != 3 {
		t.Fatalf("%d problems are told: %v", n, m.Problems())
	}
	put(t, m, routes.Spec{ID: "bad", Adapter: "fake", Address: "a:3"}, "")
	if n := len(m.Problems()); n != 2 || len(table.Routes()) != 3 {
		t.Fatalf("%d problems and %d routes are left", n, len(table.Routes()))
	}
}

// TestSpec: a route's URI and its JSON say the same, and the ID of one without a
// name does not change with its options.
func TestSpec(t *testing.T) {
	c := (&factory{book: newLedger()}).catalog()
	f := func(uri, id, want string) {
		t.Helper()
		d, err := c.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if id == "" {
			id = d.ID()
		}
		text, err := json.Marshal(d.Spec(false))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(text); got != strings.Replace(want, "ID", id, 1) {
			t.Fatalf("%s is %s, want %s", uri, got, want)
		}
		again, err := c.DefineAs(d.Spec(true))
		if err != nil || again.String() != d.String() || again.Identity() != d.Identity() || again.ID() != d.ID() {
			t.Fatalf("%s comes back as %s with the identity %s, %v", uri, again.String(), again.Identity(), err)
		}
	}
	f("fake://a:1", "", `{"id":"ID","adapter":"fake","address":"a:1"}`)
	f("fake://u:p@a:1/p%20q?name=web&token=x&colour=red&since=1h", "web",
		`{"id":"ID","adapter":"fake","address":"xxxxx@a:1/p%20q","options":{"colour":"red","since":"1h","token":"xxxxx"}}`)
	f("fake://a:1?filter.id=ab&filter.name=w*&filter.sources=stderr&filter.labels=a:b,c&backlog=true", "",
		`{"id":"ID","filter_id":"ab","filter_name":"w*","filter_sources":["stderr"],"filter_labels":["a:b","c"],"adapter":"fake","address":"a:1","options":{"backlog":"true"}}`)
	all := parseAll(t, c, "fake://a:1", "fake://a:1?colour=red", "fake://b:1")
	ids := []string{all[0].ID(), all[1].ID(), all[2].ID()}
	if ids[0] != ids[1] || ids[0] == ids[2] || slices.Contains(ids, "") {
		t.Fatalf("the IDs are %q", ids)
	}
}

// TestManagerAnswersMeanwhile: while a change waits for a route that ends slowly,
// routes can be looked at, and it is one change after another.
func TestManagerAnswersMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := adapters.Description{Name: "slow", New: func(adapters.Config) (adapters.Adapter, error) { return new(slowAdapter), nil }}
		table := newTable(t, routes.TableConfig{}, nil)
		m := routes.NewManager(routes.ManagerConfig{
			Table: table, Catalog: &routes.Catalog{Adapters: []adapters.Description{slow}}, Dir: t.TempDir(), Logger: (&journal{}).logger(),
		})
		defer run(t, table)()
		synctest.Wait() // Until it runs.
		put(t, m, routes.Spec{ID: "a", Adapter: "slow", Address: "a:1"}, "")
		synctest.Wait()
		deleted := make(chan error)
		go func() { deleted <- m.Delete("a", "") }()
		synctest.Wait()
		begun := time.Now()
		if list := m.List(); len(list) != 1 || len(m.Problems()) > 0 {
			t.Errorf("the list is %+v", list)
		}
		if _, err := m.Get("a"); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited > 0 {
			t.Errorf("looking has taken %v", waited)
		}
		if err := <-deleted; err != nil || time.Since(begun) == 0 {
			t.Errorf("the route was deleted after %v: %v", time.Since(begun), err)
		}
		if _, err := m.Get("a"); !errors.Is(err, routes.ErrNoRoute) {
			t.Errorf("the error is %v", err)
		}
	})
}

// slowAdapter takes as long to close as it is given.
type slowAdapter struct{ syncAdapter }

func (*slowAdapter) Close(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
