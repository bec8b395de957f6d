package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"tallyman/collector/record"
)

// The file as encoding/json reads it. It is read once in the agent's life, so
// nothing is to be gained here by a decoder of our own.
type (
	document struct {
		Version    int                      `json:"version"`
		Containers map[string]containerJSON `json:"containers"`
		Routes     map[string]routeJSON     `json:"routes"`
	}
	containerJSON struct {
		Name string    `json:"name"`
		Seen time.Time `json:"seen"`
	}
	routeJSON struct {
		Description string                  `json:"description"`
		First       time.Time               `json:"first"`
		Seen        time.Time               `json:"seen"`
		Positions   map[string]positionJSON `json:"positions"`
	}
	positionJSON struct {
		Inode   uint64    `json:"inode"`
		Len     uint32    `json:"len"`
		Sum     string    `json:"sum"`
		Off     int64     `json:"off"`
		Skip    uint32    `json:"skip"`
		Updated time.Time `json:"updated"`

		Delivered record.Count  `json:"delivered"`
		Filtered  record.Count  `json:"filtered"`
		Dropped   []record.Drop `json:"dropped"`
		Gaps      int64         `json:"gaps"`
	}
)

// load fills an empty store from the content of a file. It fills nothing when
// any of it is wrong: a position that is half right would skip lines.
func (s *Store) load(data []byte) error {
	var d document
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decoding: there is more behind the end")
	}
	if d.Version != version {
		return fmt.Errorf("unknown version %d, want %d", d.Version, version)
	}
	containers := make(map[string]*container, len(d.Containers))
	for id, c := range d.Containers {
		containers[id] = &container{id: id, name: c.Name, seen: c.Seen, written: c.Seen}
	}
	routes := make(map[string]*route, len(d.Routes))
	for identity, j := range d.Routes {
		r := &route{
			identity: identity, description: j.Description,
			first: j.First, seen: j.Seen, written: j.Seen,
		}
		for id, p := range j.Positions {
			position, err := p.decode()
			if err != nil {
				return fmt.Errorf("reading the position of route %q in container %q: %w", identity, id, err)
			}
			c := containers[id]
			if c == nil {
				return fmt.Errorf("reading the position of route %q: container %q is not listed", identity, id)
			}
			c.entries = append(c.entries, &entry{
				route: r, position: position, updated: p.Updated.Unix(),
				account: record.Account{Delivered: p.Delivered, Filtered: p.Filtered, Dropped: p.Dropped, Gaps: p.Gaps},
			})
		}
		routes[identity] = r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers, s.routes, s.ordered = containers, routes, false
	return nil
}

func (p positionJSON) decode() (record.Position, error) {
	if len(p.Sum) != 16 {
		return record.Position{}, fmt.Errorf("bad checksum %q", p.Sum)
	}
	sum, err := strconv.ParseUint(p.Sum, 16, 64)
	if err != nil {
		return record.Position{}, fmt.Errorf("bad checksum %q", p.Sum)
	}
	if p.Off < 0 {
		return record.Position{}, fmt.Errorf("bad offset %d", p.Off)
	}
	return record.Position{
		Gen:  record.Generation{Inode: p.Inode, Len: p.Len, Sum: sum},
		Off:  p.Off,
		Skip: p.Skip,
	}, nil
}
