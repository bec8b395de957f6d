// Package file appends records to files on this host, one for each container or
// as the path says, and rotates them.
//
// The rotation is its own and not that of gopkg.in/natefinch/lumberjack.v2
// (v2.2.1) or its successor github.com/DeRuina/timberjack (v1.4.10), because a
// line that is told to be delivered has to stay delivered:
//
//   - Both rotate within Write and close the file without an fsync; the lines
//     before the rotation are never asked of the disk. Lumberjack has no Sync at
//     all. Neither syncs the folder after it has made or renamed a file, and both
//     remove a rotated file before its compressed copy is on the disk.
//   - Both hide the file. What a full disk has cut in two cannot be taken back by
//     it, and a new file is opened without O_APPEND: cut off from outside, or by
//     logrotate's copytruncate, it goes on behind a hole of zeros.
//   - Both keep writing to a file that others have renamed or removed, take no
//     lock against a second writer, refuse a line that is longer than the largest
//     file, and count sizes in megabytes. Errors of the goroutine that removes and
//     compresses are thrown away.
//
// A wrapper that decides when to rotate, syncs, looks after the inode and the
// length, and makes a new logger after each error would leave to the library the
// names of rotated files and their removal.
package file

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/docker/go-units"

	"tallyman/adapters"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:    "file",
		Summary: "Appends each line to a file on this host, and rotates the files.",
		Target:  func(string) adapters.Target { return adapters.Target{File: true} },
		Options: []adapters.Option{
			{
				Name: "format", Default: "text", Values: []string{"text", "json"},
				Help: "The line alone, or a JSON object with its time, its stream and its container, as Docker's json-file driver writes it.",
			},
			{
				Name: "max_size", Default: "100m",
				Help: "Size at which a file is rotated, such as 500k, 10m or 1g; 0 for none.",
			},
			{
				Name: "max_age", Default: "0",
				Help: "Length of the spans of time, counted from midnight UTC, that each get a file of their own, such as 1h or 24h; 0 for none.",
			},
			{
				Name: "max_backups", Default: "5",
				Help: "How many rotated files are kept of each file.",
			},
			{
				Name: "compress", Default: "false", Values: []string{"true", "false"},
				Help: "Compress rotated files with gzip.",
			},
			{
				Name: "sync", Default: "none", Values: []string{"none", "flush", "always"},
				Help: "When lines are delivered: with none when the kernel has them; with flush when the disk has them, which is asked " +
					"at each pause and after each MiB; with always the same, after each batch.",
			},
		},
		New: func(c adapters.Config) (adapters.Adapter, error) {
			s, err := read(&c)
			if err != nil {
				return nil, err
			}
			return newAdapter(s), nil
		},
	}
}

// Bounds of one adapter.
const (
	// maxOpen is how many files are open at a time.
	maxOpen = 128
	// chunk is how many bytes are gathered for one write.
	chunk = 256 << 10
	// maxUnsynced and maxPending are after how many bytes and batches the disk
	// is asked, with sync=flush.
	maxUnsynced = 1 << 20
	maxPending  = 256
)

// settings are the options, read.
type settings struct {
	pattern pattern
	json    bool
	// maxSize is in bytes; 0 for none, and so for maxAge.
	maxSize    int64
	maxAge     time.Duration
	maxBackups int
	compress   bool
	// durable says that lines are delivered when the disk has them, always that
	// it is asked after each batch.
	durable, always bool
	maxOpen         int
	logger          *slog.Logger
	now             func() time.Time
}

// read checks the configuration.
func read(c *adapters.Config) (settings, error) {
	s := settings{
		json:     c.Options["format"] == "json",
		compress: c.Options["compress"] == "true",
		durable:  c.Options["sync"] != "none",
		always:   c.Options["sync"] == "always",
		maxOpen:  maxOpen, logger: c.Logger, now: time.Now,
	}
	var err error
	if s.pattern, err = parsePattern(c.Address); err != nil {
		return s, err
	}
	bad := func(name, allowed string) (settings, error) {
		return s, fmt.Errorf("bad value %q of option %q; it is %s", c.Options[name], name, allowed)
	}
	if s.maxSize, err = units.RAMInBytes(c.Options["max_size"]); err != nil || s.maxSize < 0 {
		return bad("max_size", "a size such as 500k, 10m or 1g, or 0")
	}
	if s.maxAge, err = time.ParseDuration(c.Options["max_age"]); err != nil || s.maxAge != 0 && s.maxAge < time.Minute {
		return bad("max_age", "a duration of a minute or more, such as 1h or 24h, or 0")
	}
	if s.maxBackups, err = strconv.Atoi(c.Options["max_backups"]); err != nil || s.maxBackups < 0 {
		return bad("max_backups", "a number from 0")
	}
	return s, nil
}
