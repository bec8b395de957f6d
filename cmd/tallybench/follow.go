package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// followed is a log that floor follows. due says that something has happened to it,
// rotated that there is a new file.
type followed struct {
	path         string
	file         *os.File
	off          int64
	due, rotated bool
}

// follower is the least that shipping live logs can cost. It is woken by inotify,
// gathers, reads what has come and writes it.
type follower struct {
	conn   net.Conn
	events *os.File
	logs   map[int32]*followed
	due    []*followed
	block  []byte
	out    []byte
}

// follow sends what is written to json-file logs from now on, until ctx ends. After
// each time it gathers for delay. When it has connected it watches.
func follow(ctx context.Context, paths []string, address string, delay time.Duration) (err error) {
	f := &follower{logs: make(map[int32]*followed), block: make([]byte, floorBlock)}
	defer f.close()
	if err := f.watch(paths); err != nil {
		return err
	}
	var dialer net.Dialer
	if f.conn, err = dialer.DialContext(ctx, "tcp", address); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { err = errors.Join(err, f.conn.Close()) }()
	// An event that is waited for ends with it.
	defer context.AfterFunc(ctx, func() { _ = f.events.SetReadDeadline(time.Unix(1, 0)) })()

	buf := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n, err := f.events.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return fmt.Errorf("waiting for changes: %w", err)
		}
		// As long as there is something each time, nothing is waited for but the time.
		for n > 0 && ctx.Err() == nil {
			for n > 0 {
				f.collect(buf[:n])
				n = f.more(buf)
			}
			if err := f.send(); err != nil {
				return err
			}
			time.Sleep(delay)
			n = f.more(buf)
		}
	}
	return nil
}

func (f *follower) close() {
	// They were only read.
	for _, l := range f.logs {
		_ = l.file.Close()
	}
	if f.events != nil {
		_ = f.events.Close()
	}
}

// watch opens the logs at their ends.
func (f *follower) watch(paths []string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watching: %w", os.NewSyscallError("inotify_init1", err))
	}
	f.events = os.NewFile(uintptr(fd), "inotify")
	for _, path := range paths {
		wd, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MODIFY|unix.IN_CREATE)
		if err != nil {
			return fmt.Errorf("watching %q: %w", path, os.NewSyscallError("inotify_add_watch", err))
		}
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("opening a log: %w", err)
		}
		l := &followed{path: path, file: file}
		f.logs[int32(wd)] = l
		if l.off, err = file.Seek(0, 2); err != nil {
			return fmt.Errorf("finding the end of a log: %w", err)
		}
	}
	return nil
}

// more takes the events that have come, without waiting.
func (f *follower) more(buf []byte) int {
	n := 0
	conn, err := f.events.SyscallConn()
	if err == nil {
		err = conn.Control(func(fd uintptr) { n, _ = unix.Read(int(fd), buf) })
	}
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func (f *follower) collect(events []byte) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		name := events[unix.SizeofInotifyEvent:][:binary.NativeEndian.Uint32(events[12:])]
		events = events[unix.SizeofInotifyEvent+len(name):]
		l := f.logs[wd]
		if l == nil || string(bytes.TrimRight(name, "\x00")) != filepath.Base(l.path) {
			continue
		}
		l.rotated = l.rotated || mask&unix.IN_CREATE != 0
		if !l.due {
			l.due = true
			f.due = append(f.due, l)
		}
	}
}

// send sends the whole lines that have come in the logs that have changed.
func (f *follower) send() error {
	for _, l := range f.due {
		l.due = false
		f.read(l)
		if !l.rotated {
			continue
		}
		file, err := os.Open(l.path)
		if errors.Is(err, os.ErrNotExist) {
			continue // It is being rotated again.
		}
		if err != nil {
			return fmt.Errorf("opening a log: %w", err)
		}
		_ = l.file.Close() // It was only read.
		l.file, l.off, l.rotated = file, 0, false
		f.read(l)
	}
	f.due = f.due[:0]
	_, err := f.conn.Write(f.out)
	f.out = f.out[:0]
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// read appends the lines that a log has to the output.
func (f *follower) read(l *followed) {
	for n := len(f.block); n == len(f.block); {
		// At its end it tells io.EOF, and other errors show as lines that are missing.
		n, _ = l.file.ReadAt(f.block, l.off)
		rest := f.block[:n]
		if n == len(f.block) && bytes.IndexByte(rest, '\n') < 0 {
			f.block = make([]byte, 2*n)
			n = len(f.block)
			continue
		}
		for end := bytes.IndexByte(rest, '\n'); end >= 0; end = bytes.IndexByte(rest, '\n') {
			f.out = append(f.out, floorHeader...)
			f.out = appendLog(f.out, rest[:end])
			l.off += int64(end) + 1
			rest = rest[end+1:]
		}
	}
}
