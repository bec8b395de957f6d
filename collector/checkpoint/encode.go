package checkpoint

import (
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"tallyman/collector/record"
)

// version is that of the file's format. A file of another version is not read.
const version = 1

// pieceSize is about how much of the file is made before it is written: a file of
// many positions is large.
const pieceSize = 32 << 10

// encoder makes the file's content, one position a line, so that people can read
// and compare it.
type encoder struct {
	store *Store
	w     io.Writer
	// dst is what is to be written next.
	dst []byte
}

// encode writes the file's content, through buf. The routes and containers are
// those of the beginning, each with what is known of it when it is written: the
// store is not locked while a piece is. The caller holds saving.
func (s *Store) encode(w io.Writer, buf []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orderLocked()
	e := encoder{store: s, w: w, dst: buf[:0]}
	if err := e.allLocked(); err != nil {
		return e.dst, err
	}
	return e.dst, e.flushLocked(0)
}

// flushLocked writes what there is if that is more than so much. The lock is free
// meanwhile.
func (e *encoder) flushLocked(most int) error {
	if len(e.dst) <= most {
		return nil
	}
	e.store.mu.Unlock()
	defer e.store.mu.Lock()
	n, err := e.w.Write(e.dst)
	if err == nil && n < len(e.dst) {
		err = io.ErrShortWrite
	}
	e.dst = e.dst[:0]
	return err
}

func (e *encoder) allLocked() error {
	containers, routes := e.store.containerOrder, e.store.routeOrder
	e.dst = append(e.dst, "{\"version\":"...)
	e.dst = strconv.AppendInt(e.dst, version, 10)
	e.dst = append(e.dst, ",\n\"containers\":{"...)
	for i, c := range containers {
		e.dst = appendContainer(appendKey(e.dst, i == 0, c.id), c)
		if err := e.flushLocked(pieceSize); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, "\n},\n\"routes\":{"...)
	for i, r := range routes {
		e.dst = appendRoute(appendKey(e.dst, i == 0, r.identity), r)
		first := true
		for _, c := range containers {
			p := c.entry(r)
			if p == nil {
				continue
			}
			e.dst = appendEntry(appendKey(e.dst, first, c.id), p)
			first = false
			if err := e.flushLocked(pieceSize); err != nil {
				return err
			}
		}
		e.dst = append(e.dst, "}}"...)
	}
	e.dst = append(e.dst, "\n}}\n"...)
	return nil
}

func appendContainer(dst []byte, c *container) []byte {
	dst = append(dst, "{\"name\":"...)
	dst = appendString(dst, c.name)
	dst = append(dst, ",\"seen\":"...)
	dst = appendTime(dst, c.seen)
	return append(dst, '}')
}

// appendRoute appends a route up to where its positions begin.
func appendRoute(dst []byte, r *route) []byte {
	dst = append(dst, "{\"description\":"...)
	dst = appendString(dst, r.description)
	dst = append(dst, ",\"first\":"...)
	dst = appendTime(dst, r.first)
	dst = append(dst, ",\"seen\":"...)
	dst = appendTime(dst, r.seen)
	return append(dst, ",\"positions\":{"...)
}

func appendEntry(dst []byte, e *entry) []byte {
	dst = appendPosition(dst, e.position)
	dst = appendAccount(dst, &e.account)
	dst = append(dst, ",\"updated\":"...)
	dst = appendTime(dst, time.Unix(e.updated, 0))
	return append(dst, '}')
}

// appendKey appends a key on a line of its own, after a comma unless it is the
// first of its object.
func appendKey(dst []byte, first bool, key string) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = append(dst, '\n')
	dst = appendString(dst, key)
	return append(dst, ':')
}

// appendPosition appends a position without the closing brace. The checksum is
// text, since many readers of JSON cannot hold a number of 64 bits; inodes and
// offsets are far smaller in practice.
func appendPosition(dst []byte, p record.Position) []byte {
	dst = append(dst, "{\"inode\":"...)
	dst = strconv.AppendUint(dst, p.Gen.Inode, 10)
	dst = append(dst, ",\"len\":"...)
	dst = strconv.AppendUint(dst, uint64(p.Gen.Len), 10)
	dst = append(dst, ",\"sum\":\""...)
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[p.Gen.Sum>>shift&15])
	}
	dst = append(dst, "\",\"off\":"...)
	dst = strconv.AppendInt(dst, p.Off, 10)
	if p.Skip > 0 {
		dst = append(dst, ",\"skip\":"...)
		dst = strconv.AppendUint(dst, uint64(p.Skip), 10)
	}
	return dst
}

// appendAccount appends what of an account is not zero. Read is left out: it is
// the sum of the others.
func appendAccount(dst []byte, a *record.Account) []byte {
	dst = appendCount(dst, ",\"delivered\":", a.Delivered)
	dst = appendCount(dst, ",\"filtered\":", a.Filtered)
	if len(a.Dropped) > 0 {
		dst = append(dst, ",\"dropped\":["...)
		for i, d := range a.Dropped {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, "{\"reason\":"...)
			dst = appendString(dst, d.Reason)
			dst = append(dst, ",\"lines\":"...)
			dst = strconv.AppendInt(dst, d.Lines, 10)
			dst = append(dst, ",\"bytes\":"...)
			dst = strconv.AppendInt(dst, d.Bytes, 10)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	if a.Gaps != 0 {
		dst = append(dst, ",\"gaps\":"...)
		dst = strconv.AppendInt(dst, a.Gaps, 10)
	}
	return dst
}

func appendCount(dst []byte, key string, n record.Count) []byte {
	if n == (record.Count{}) {
		return dst
	}
	dst = append(dst, key...)
	dst = append(dst, "{\"lines\":"...)
	dst = strconv.AppendInt(dst, n.Lines, 10)
	dst = append(dst, ",\"bytes\":"...)
	dst = strconv.AppendInt(dst, n.Bytes, 10)
	return append(dst, '}')
}

// appendTime appends a time in whole seconds, which is enough for people and
// for forgetting. A year that RFC 3339 cannot write would make the whole file
// unreadable; a clock that tells one is wrong anyway.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		t = time.Time{}
	}
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, time.RFC3339)
	return append(dst, '"')
}

// appendString appends s as a JSON string. What is not UTF-8 cannot be kept.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b >= ' ' && b != '"' && b != '\\' {
				i++
				continue
			}
			dst = append(dst, s[plain:i]...)
			const digits = "0123456789abcdef"
			if b < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
			} else {
				dst = append(dst, '\\', b)
			}
			i++
			plain = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[plain:i]...)
			dst = append(dst, "\ufffd"...)
			plain = i + 1
		}
		i += size
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}
