package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// composed is the answer about a container as Compose makes them.
func composed(t *testing.T, id string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "cmd", "tallybench", "answer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("{id}", id, `"{pid}"`, "7").Replace(compact.String())
}

// TestAnswerIsWhole: what comes out of a packed answer is what the library makes
// of the engine's, whichever the first was.
func TestAnswerIsWhole(t *testing.T) {
	plain, err := os.ReadFile(filepath.Join("testdata", "inspect.json"))
	if err != nil {
		t.Fatal(err)
	}
	answers := []string{
		composed(t, "composed"), string(plain), "{}\n",
		// Twice as long as what is packed at once.
		`{"Args": ["` + strings.Repeat("x y ", 20_000) + `"]}`,
	}
	fake := newFake(t)
	fake.ping()
	for i, text := range answers {
		fake.HandleFunc(fmt.Sprintf("/containers/%d/json", i), answer(text))
	}
	for first := range answers {
		c := newClient(t, engine.Options{Host: fake.host})
		for n := range answers {
			i := (first + n) % len(answers)
			var want container.InspectResponse
			if err := json.Unmarshal([]byte(answers[i]), &want); err != nil {
				t.Fatal(err)
			}
			got, err := c.Inspect(t.Context(), fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			for _, unpack := range []func() any{got.Inspect.Unpack, got.Inspect.Keep, got.Inspect.Keep, got.Inspect.Unpack} {
				if got := unpack(); !reflect.DeepEqual(got, want) {
					t.Fatalf("answer %d after %d is\n%+v, want\n%+v", i, first, got, want)
				}
			}
		}
	}
}

// TestAnswersTakeLittle: of many containers the answers are kept small, and what
// is equal in them once.
func TestAnswersTakeLittle(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		answer(composed(t, r.PathValue("id")))(w, r)
	})
	c := newClient(t, engine.Options{Host: fake.host})
	const count, limit = 500, 3 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // What pools keep goes with the second.
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := make([]*record.Container, count)
	before := heap()
	for i := range all {
		var err error
		if all[i], err = c.Inspect(t.Context(), fmt.Sprintf("%064x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if each := int64(heap()-before) / count; each > limit {
		t.Errorf("a container takes %d bytes, more than %d", each, limit)
	} else {
		t.Logf("a container takes %d bytes", each)
	}
	runtime.KeepAlive(all)
}
