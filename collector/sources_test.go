package collector

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tallyman/collector/record"
)

// namedSource takes the containers that it names and notes what is asked of it.
type namedSource struct {
	takes  map[string]bool
	err    error
	ended  []string
	swept  int
	orphan *record.Container
}

func (s *namedSource) Log(c *record.Container) (Log, error) {
	if !s.takes[c.ID] {
		return nil, s.err
	}
	return &takenLog{container: c, by: s}, nil
}
func (s *namedSource) Orphans() []*record.Container { return []*record.Container{s.orphan} }
func (s *namedSource) End(id string)                { s.ended = append(s.ended, id) }
func (s *namedSource) Sweep()                       { s.swept++ }
func (s *namedSource) Run(ctx context.Context)      { <-ctx.Done() }

type takenLog struct {
	Log
	container *record.Container
	by        *namedSource
}

func TestSources(t *testing.T) {
	first := &namedSource{takes: map[string]bool{"a": true}, err: errors.New("first"), orphan: &record.Container{ID: "x"}}
	second := &namedSource{takes: map[string]bool{"a": true, "b": true}, err: errors.New("second"), orphan: &record.Container{ID: "y"}}
	s := NewSources(first, second)
	taken := func(id string, want *namedSource) {
		t.Helper()
		log, err := s.Log(&record.Container{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if log.(*takenLog).by != want {
			t.Fatalf("container %q is taken by the wrong source", id)
		}
	}
	taken("a", first)
	taken("b", second)
	// A container stays where it is, whatever the first source says now.
	first.takes["b"] = true
	taken("b", second)
	delete(first.takes, "a")
	if _, err := s.Log(&record.Container{ID: "a"}); err == nil || err.Error() != "first" {
		t.Fatalf("the error is %v, want that of the container's own source", err)
	}
	if _, err := s.Log(&record.Container{ID: "c"}); err == nil || err.Error() != "second" {
		t.Fatalf("the error is %v, want that of the last source", err)
	}
	s.End("b")
	s.End("c")
	if !slices.Equal(second.ended, []string{"b"}) || len(first.ended) > 0 {
		t.Fatalf("ended are %q and %q", first.ended, second.ended)
	}
	// Once it has ended it is anybody's.
	taken("b", first)
	s.Sweep()
	if first.swept != 1 || second.swept != 1 {
		t.Fatal("not every source was swept")
	}
	if got := s.Orphans(); len(got) != 2 {
		t.Fatalf("the orphans are %v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Run(ctx)
}
