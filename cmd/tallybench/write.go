package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"
)

func runWrite(ctx context.Context, args []string, std stdio) error {
	flags := newFlags("write")
	dir := flags.String("dir", "", "the engine's root `folder`; the log goes below its containers folder")
	id := flags.String("id", "", "the container's `id`; made from the name when empty")
	lines := flags.Uint64("lines", 1000, "how many `lines`")
	size := flags.Int("size", 200, "`bytes` of a line without its line feed")
	name := flags.String("name", "gen", "the source's `name`, without spaces")
	runName := flags.String("run", "1", "the source's `run`, without spaces")
	stderrEvery := flags.Uint64("stderr-every", 0, "every `N`th line is from stderr; 0 means none")
	quotes := flags.Bool("quotes", false, "fill lines with text full of quotes and backslashes")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if *dir == "" {
		fmt.Fprintln(std.err, "-dir is needed")
		return errUsage
	}
	if *id == "" {
		*id = idOf(*name)
	}
	path, err := writeLog(ctx, *dir, *id, *lines, *stderrEvery, newLineMaker(*name, *runName, *size, *quotes))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, path)
	return err
}

// idOf returns a container id that goes with a name.
func idOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// logPath is where an engine keeps the log of a container.
func logPath(root, id string) string {
	return filepath.Join(root, "containers", id, id+"-json.log")
}

// writeLog makes a log of numbered lines, written a microsecond apart until now,
// and returns its path.
func writeLog(ctx context.Context, root, id string, lines, stderrEvery uint64, maker *lineMaker) (path string, err error) {
	path = logPath(root, id)
	if err := os.MkdirAll(filepath.Dir(path), 0o710); err != nil {
		return "", fmt.Errorf("making a log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return "", fmt.Errorf("making a log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Now().Add(-time.Duration(lines) * time.Microsecond)
	var line, encoded []byte
	for seq := uint64(1); seq <= lines; seq++ {
		if seq%4096 == 0 && ctx.Err() != nil {
			return "", ctx.Err()
		}
		at = at.Add(time.Microsecond)
		stream, mark := "stdout", byte('o')
		if stderrEvery > 0 && seq%stderrEvery == 0 {
			stream, mark = "stderr", 'e'
		}
		line = append(maker.appendLine(line[:0], seq, at.UnixNano(), mark), '\n')
		encoded = appendJSONRecord(encoded[:0], line, stream, at)
		if _, err := w.Write(encoded); err != nil {
			return "", fmt.Errorf("writing a log: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return "", fmt.Errorf("writing a log: %w", err)
	}
	return path, nil
}

// appendJSONRecord appends a line as dockerd's json-file driver writes it, to
// the byte. The line has its line feed unless it is a part of a longer one.
func appendJSONRecord(dst, line []byte, stream string, at time.Time) []byte {
	dst = append(dst, '{')
	if len(line) > 0 {
		dst = append(dst, `"log":"`...)
		dst = appendEscaped(dst, line)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"stream":"`...)
	dst = append(dst, stream...)
	dst = append(dst, `","time":"`...)
	dst = at.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, "\"}\n"...)
}

// appendEscaped escapes as dockerd does: only four escapes have a short form,
// HTML's special characters and JavaScript's line ends have a long one, and each
// byte that is not UTF-8 becomes a replacement character.
func appendEscaped(dst, line []byte) []byte {
	const digits = "0123456789abcdef"
	for i := 0; i < len(line); {
		b := line[i]
		if b < utf8.RuneSelf {
			switch {
			case b == '"' || b == '\\':
				dst = append(dst, '\\', b)
			case b == '\n':
				dst = append(dst, '\\', 'n')
			case b == '\r':
				dst = append(dst, '\\', 'r')
			case b < ' ' || b == '<' || b == '>' || b == '&':
				dst = append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
			default:
				dst = append(dst, b)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(line[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, '\\', 'u', '2', '0', '2', digits[r&15])
		default:
			dst = append(dst, line[i:i+size]...)
		}
		i += size
	}
	return dst
}
