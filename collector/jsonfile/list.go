package jsonfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tallyman/collector/record"
)

// RescuedSummary is what has been rescued of one container's log.
type RescuedSummary struct {
	// Container is the container's ID.
	Container string
	// Files and Bytes are the copies and their length.
	Files int
	Bytes int64
	// Records counts those that can be read, parts of long lines each by itself,
	// Broken those that cannot.
	Records uint64
	Broken  int
	// First and Last are the times of the oldest and the newest, zero when there
	// is none.
	First, Last time.Time
}

// ListRescued reads all that is in a folder of rescued logs. It only reads, and
// may be called while an agent uses the folder. A folder that is not there holds
// nothing.
func ListRescued(dir string) ([]RescuedSummary, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing rescued logs: %w", err)
	}
	var all []RescuedSummary
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		paths, err := filepath.Glob(filepath.Join(dir, e.Name(), "*"+rescuedSuffix))
		if err != nil {
			return all, fmt.Errorf("listing rescued logs: %w", err)
		}
		s := RescuedSummary{Container: e.Name()}
		for _, path := range paths {
			err := s.add(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // It may have been delivered meanwhile.
				return all, fmt.Errorf("reading a rescued log: %w", err)
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// add takes a copy into the summary.
func (s *RescuedSummary) add(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	s.Files++
	reader := bufio.NewReaderSize(file, 2*headMax)
	var d decoder
	for {
		line, err := reader.ReadSlice('\n')
		s.Bytes += int64(len(line))
		var r record.Record
		if text, whole := bytes.CutSuffix(line, []byte{'\n'}); whole {
			if _, bad := d.decode(text, &r); bad != nil {
				s.Broken++
			} else {
				s.see(time.Unix(0, r.Time).UTC())
			}
		} else if len(line) > 0 {
			s.Broken++
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (s *RescuedSummary) see(at time.Time) {
	s.Records++
	if s.First.IsZero() || at.Before(s.First) {
		s.First = at
	}
	if at.After(s.Last) {
		s.Last = at
	}
}
