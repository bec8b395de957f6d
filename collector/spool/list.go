package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// Summary is what a log on disk holds.
type Summary struct {
	// Container is the container's ID.
	Container string `json:"container"`
	// Segments and Bytes are its files and their length.
	Segments int   `json:"segments"`
	Bytes    int64 `json:"bytes"`
	// Records counts those that can be read.
	Records uint64 `json:"records"`
	// First and Last are the times of the oldest and the newest, zero when there
	// is none.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Corrupt counts the damaged stretches, and Damages says where they are.
	Corrupt int      `json:"corrupt"`
	Damages []string `json:"damages,omitempty"`
	// Torn is how many bytes at the end of the newest file are no whole block.
	// While an agent writes there this is no damage.
	Torn int64 `json:"torn"`
}

// List returns what a spool's folder holds, going by the headers of its blocks.
// It only reads, and may be called while an agent uses the folder.
func List(dir string) ([]Summary, error) { return summaries(dir, false) }

// Verify is List, but reads every record and compares the checksums.
func Verify(dir string) ([]Summary, error) { return summaries(dir, true) }

func summaries(dir string, check bool) ([]Summary, error) {
	entries, err := diskFiles{}.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the spool: %w", err)
	}
	var all []Summary
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		s, err := summarize(filepath.Join(dir, e.Name()), check)
		if err != nil {
			return all, fmt.Errorf("reading the spooled log of container %q: %w", e.Name(), err)
		}
		s.Container = e.Name()
		all = append(all, s)
	}
	return all, nil
}

func summarize(dir string, check bool) (Summary, error) {
	var s Summary
	list, err := listSegments(diskFiles{}, dir)
	if err != nil {
		return s, err
	}
	for i, from := range list {
		err := s.add(from, i == len(list)-1, check)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It has been delivered meanwhile.
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// add takes a segment into the summary. newest says that no other follows.
func (s *Summary) add(from segmentFile, newest, check bool) error {
	f, err := diskFiles{}.Open(from.path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	s.Segments++
	s.Bytes += from.size
	h, err := readSegmentHeader(f)
	if err != nil {
		s.Corrupt++
		s.Damages = append(s.Damages, fmt.Sprintf("%s: %v", from.path, err))
		return nil
	}
	got, err := scan(f, from.size, h.epoch, check, nil)
	if err != nil {
		return err
	}
	s.Records += got.records
	if got.blocks > 0 {
		if s.First.IsZero() {
			s.First = time.Unix(0, got.firstTime).UTC()
		}
		s.Last = time.Unix(0, got.last.lastTime).UTC()
	}
	for _, d := range got.damages {
		if d.torn && newest {
			s.Torn += d.length
			continue
		}
		s.Corrupt++
		s.Damages = append(s.Damages, fmt.Sprintf("%s: %d bytes at %d", from.path, d.length, d.off))
	}
	return nil
}
