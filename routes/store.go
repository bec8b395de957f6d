package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// StoreError says that a route could not be stored or removed from the folder.
type StoreError struct{ err error }

func (e *StoreError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *StoreError) Unwrap() error { return e.err }

// folder is where the routes that are made over HTTP are stored, each in a file
// of JSON, ID.json, as Logspout has them.
type folder string

const storedSuffix = ".json"

// Stored returns the routes of a folder, in the order of their IDs, and by ID why
// others could not be read or made. A folder that is not there has none.
func Stored(c *Catalog, dir string) (definitions []Definition, problems map[string]error) {
	problems = make(map[string]error)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		problems[""] = fmt.Errorf("reading the stored routes: %w", err)
	}
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), storedSuffix)
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		path := folder(dir).path(id)
		s, err := readSpec(path)
		switch {
		case err != nil:
		case s.ID != "" && s.ID != id:
			err = fmt.Errorf("its id %q is not the name of the file", s.ID)
		default:
			s.ID = id
			var d Definition
			if d, err = c.DefineAs(s); err == nil {
				definitions = append(definitions, d)
			}
		}
		if err != nil {
			problems[id] = fmt.Errorf("stored route %q: %w", path, err)
		}
	}
	slices.SortFunc(definitions, func(a, b Definition) int { return strings.Compare(a.ID(), b.ID()) })
	return definitions, problems
}

// readSpec reads a stored route. Fields that are not known are passed over, as
// Logspout does.
func readSpec(path string) (s Spec, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// path returns the file of a route whose ID was checked.
func (f folder) path(id string) string { return filepath.Join(string(f), id+storedSuffix) }

// write stores a route. It is on disk when write returns.
func (f folder) write(s Spec) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("storing the route %q: %w", s.ID, err)
		}
	}()
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	// A route may hold secrets; a temporary file is readable by its owner only.
	temporary, err := os.CreateTemp(string(f), ".route-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), f.path(s.ID))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return f.sync()
}

// remove removes a stored route; one that is not there is no error.
func (f folder) remove(id string) error {
	if !goodID.MatchString(id) {
		return nil // It was never stored.
	}
	err := os.Remove(f.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.sync()
	}
	if err != nil {
		return fmt.Errorf("removing the stored route %q: %w", id, err)
	}
	return nil
}

func (f folder) sync() error {
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
