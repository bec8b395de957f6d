package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"
)

// floorBlock is how much is read and written at a time.
const floorBlock = 256 << 10

// floorHeader is 60 bytes long, as a syslog header is with short names.
const floorHeader = "<14>1 2026-11-21T01:39:06.000000Z host app 1234567890 - - - "

// floorResult is what floor prints.
type floorResult struct {
	Lines        int64   `json:"lines"`
	Bytes        int64   `json:"bytes"`
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	CPUUsPerLine float64 `json:"cpu_us_per_line"`
}

func runFloor(ctx context.Context, args []string, std stdio) error {
	flags := newFlags("floor")
	var paths []string
	flags.Func("file", "the json-file `log` to read; with -follow it may be repeated", func(path string) error {
		paths = append(paths, path)
		return nil
	})
	address := flags.String("to", "", "the `host:port` to send to")
	delay := flags.Duration("follow", 0, "send what is written from now on until a signal, and gather for this `duration` after each time")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if len(paths) == 0 || *address == "" {
		fmt.Fprintln(std.err, "-file and -to are needed")
		return errUsage
	}
	if *delay > 0 {
		return follow(ctx, paths, *address, *delay)
	}
	if len(paths) > 1 {
		fmt.Fprintln(std.err, "without -follow there is one -file")
		return errUsage
	}
	result, err := floor(ctx, paths[0], *address)
	if err != nil {
		return err
	}
	return json.NewEncoder(std.out).Encode(result)
}

// floor is the least that shipping a log can cost: no positions, no filters, no
// time stamps, no errors to recover from.
func floor(ctx context.Context, path, address string) (result floorResult, err error) {
	f, err := os.Open(path)
	if err != nil {
		return result, fmt.Errorf("opening the log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return result, fmt.Errorf("connecting: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	started := time.Now()
	block, held := make([]byte, floorBlock), 0
	out := make([]byte, 0, 2*floorBlock)
	for ctx.Err() == nil {
		n, readErr := f.Read(block[held:])
		rest := block[:held+n]
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			out = append(out, floorHeader...)
			out = appendLog(out, rest[:end])
			rest = rest[end+1:]
			result.Lines++
			if len(out) >= floorBlock {
				if _, err := conn.Write(out); err != nil {
					return result, fmt.Errorf("sending: %w", err)
				}
				result.Bytes += int64(len(out))
				out = out[:0]
			}
		}
		held = copy(block, rest)
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return result, fmt.Errorf("reading the log: %w", readErr)
		}
		if held == len(block) {
			return result, fmt.Errorf("reading the log: a record is longer than %d bytes", len(block))
		}
	}
	if _, err := conn.Write(out); err != nil {
		return result, fmt.Errorf("sending: %w", err)
	}
	result.Bytes += int64(len(out))
	result.Seconds = time.Since(started).Seconds()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return result, fmt.Errorf("asking for the CPU time: %w", err)
	}
	result.CPUSeconds = cpuOf(&usage).Seconds()
	result.CPUUsPerLine = result.CPUSeconds * 1e6 / float64(max(result.Lines, 1))
	return result, ctx.Err()
}

func cpuOf(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// appendLog appends the text of a json-file record, and a line feed if it has
// none.
func appendLog(dst, record []byte) []byte {
	const prefix = `{"log":"`
	if len(record) < len(prefix) {
		return append(dst, '\n')
	}
	text := record[len(prefix):]
	for {
		special := bytes.IndexByte(text, '\\')
		quote := -1
		if special < 0 {
			quote = bytes.IndexByte(text, '"')
		} else {
			quote = bytes.IndexByte(text[:special], '"')
		}
		if quote >= 0 {
			// A part of a longer line has no line feed.
			return append(append(dst, text[:quote]...), '\n')
		}
		if special < 0 || special+1 >= len(text) {
			return append(dst, '\n')
		}
		dst = append(dst, text[:special]...)
		text = text[special+1:]
		switch text[0] {
		case 'n':
			dst = append(dst, '\n')
			if len(text) > 1 && text[1] == '"' {
				return dst
			}
		case 'r':
			dst = append(dst, '\r')
		case 'u':
			if len(text) < 5 {
				return append(dst, '\n')
			}
			r, err := strconv.ParseUint(string(text[1:5]), 16, 32)
			if err != nil {
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, rune(r))
			text = text[4:]
		default:
			dst = append(dst, text[0])
		}
		text = text[1:]
	}
}
