package history

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"tallyman/collector/record"
)

// Cursor is a place in the merged lines of several containers: a time, and for
// some of the containers the position that a collector.Reader takes. It stays
// valid when the agent is restarted and when logs are rotated.
type Cursor struct {
	// Time is that of the line at the cursor, in nanoseconds since the Unix
	// epoch: where a container stands that is not among Places.
	Time   int64
	Places []Place
}

// Place is a position in one container's log.
type Place struct {
	// ID is the beginning of the container's ID, idDigits long.
	ID       string
	Position record.Position
	// Line says that the cursor is that of the line which ends at the position:
	// what comes before the cursor is without it.
	Line bool
}

// idDigits is how much of a container's ID stands in a cursor.
const idDigits = 16

// Short returns what of a container's ID stands in a cursor.
func Short(id string) string { return id[:min(len(id), idDigits)] }

// Find returns the place of a container. It is false where the cursor tells its
// time alone.
func (c *Cursor) Find(id string) (Place, bool) {
	short := Short(id)
	if i := slices.IndexFunc(c.Places, func(p Place) bool { return p.ID == short }); i >= 0 {
		return c.Places[i], true
	}
	return Place{}, false
}

// Set sets the position of a container.
func (c *Cursor) Set(id string, pos record.Position) {
	short := Short(id)
	if i := slices.IndexFunc(c.Places, func(p Place) bool { return p.ID == short }); i >= 0 {
		c.Places[i].Position = pos
		return
	}
	c.Places = append(c.Places, Place{ID: short, Position: pos})
}

// Forget takes out the position of a container.
func (c *Cursor) Forget(id string) {
	short := Short(id)
	c.Places = slices.DeleteFunc(c.Places, func(p Place) bool { return p.ID == short })
}

// cursorVersion begins every cursor.
const cursorVersion = 1

// AppendText appends the cursor as letters that stand in a URL as they are.
func (c *Cursor) AppendText(dst []byte) ([]byte, error) {
	raw := []byte{cursorVersion}
	raw = binary.AppendVarint(raw, c.Time)
	for i := range c.Places {
		p := &c.Places[i]
		id, err := hex.DecodeString(p.ID)
		if err != nil || len(id) != idDigits/2 {
			return dst, fmt.Errorf("a container's ID begins with %q, which is not %d digits of 0-9a-f", p.ID, idDigits)
		}
		raw = append(raw, id...)
		raw = binary.AppendUvarint(raw, p.Position.Gen.Inode)
		raw = binary.AppendUvarint(raw, uint64(p.Position.Gen.Len))
		raw = binary.LittleEndian.AppendUint64(raw, p.Position.Gen.Sum)
		raw = binary.AppendUvarint(raw, uint64(p.Position.Off))
		skip := uint64(p.Position.Skip) << 1
		if p.Line {
			skip |= 1
		}
		raw = binary.AppendUvarint(raw, skip)
	}
	return base64.RawURLEncoding.AppendEncode(dst, raw), nil
}

// String returns what AppendText appends, empty for a cursor that has none.
func (c *Cursor) String() string {
	text, err := c.AppendText(nil)
	if err != nil {
		return ""
	}
	return string(text)
}

var errCursor = errors.New("this is no cursor that the agent has given out")

// ParseCursor reads a cursor.
func ParseCursor(text string) (Cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != cursorVersion {
		return Cursor{}, errCursor
	}
	d := cursorDecoder{rest: raw[1:]}
	var c Cursor
	c.Time = d.varint()
	for len(d.rest) > 0 && !d.bad {
		var p Place
		p.ID = hex.EncodeToString(d.take(idDigits / 2))
		p.Position.Gen.Inode = d.uvarint()
		p.Position.Gen.Len = uint32(d.uvarint())
		if sum := d.take(8); sum != nil {
			p.Position.Gen.Sum = binary.LittleEndian.Uint64(sum)
		}
		p.Position.Off = int64(d.uvarint())
		skip := d.uvarint()
		p.Position.Skip, p.Line = uint32(skip>>1), skip&1 != 0
		c.Places = append(c.Places, p)
		d.bad = d.bad || p.Position.Off < 0
	}
	if d.bad {
		return Cursor{}, errCursor
	}
	return c, nil
}

// cursorDecoder takes numbers off a text. Once something is missing it is bad
// and gives zeros.
type cursorDecoder struct {
	rest []byte
	bad  bool
}

func (d *cursorDecoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *cursorDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *cursorDecoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}
