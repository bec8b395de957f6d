package oracle

import (
	"bytes"
	"strconv"
)

// Mark is what a generated line says of itself. In a line it reads
//
//	src=NAME run=R seq=N ts=UNIXNANO io=o
//
// wherever it stands, so that any header may come before it. io is o for stdout
// and e for stderr, and may be missing. seq counts from 1, over both streams.
type Mark struct {
	// Source is "NAME run=R": the numbers of another run are others. It points
	// into the line.
	Source []byte
	// Seq is the line's number.
	Seq uint64
	// Time is when the line was made, in nanoseconds since the Unix epoch; zero
	// when it should not be measured.
	Time int64
	// Stream is 'o', 'e', or 0 when the line does not say.
	Stream byte
}

var (
	sourceKey = []byte("src=")
	runKey    = []byte(" run=")
	seqKey    = []byte(" seq=")
	timeKey   = []byte(" ts=")
	streamKey = []byte(" io=")
)

// AppendMark appends a mark and a space.
func AppendMark(dst []byte, name, run string, seq uint64, time int64, stream byte) []byte {
	dst = append(dst, sourceKey...)
	dst = append(dst, name...)
	dst = append(dst, runKey...)
	dst = append(dst, run...)
	dst = append(dst, seqKey...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, timeKey...)
	dst = strconv.AppendInt(dst, time, 10)
	if stream != 0 {
		dst = append(dst, streamKey...)
		dst = append(dst, stream)
	}
	return append(dst, ' ')
}

// ParseMark finds the mark in a line.
func ParseMark(line []byte) (Mark, bool) {
	for {
		at := bytes.Index(line, sourceKey)
		if at < 0 {
			return Mark{}, false
		}
		line = line[at+len(sourceKey):]
		if m, ok := parseMark(line); ok {
			return m, true
		}
		// A header may hold the key by chance.
	}
}

// parseMark parses what follows the first key.
func parseMark(s []byte) (m Mark, ok bool) {
	name := bytes.IndexByte(s, ' ')
	if name < 1 || !bytes.HasPrefix(s[name:], runKey) {
		return m, false
	}
	run := bytes.IndexByte(s[name+len(runKey):], ' ')
	if run < 1 {
		return m, false
	}
	end := name + len(runKey) + run
	m.Source, s = s[:end], s[end:]
	if !bytes.HasPrefix(s, seqKey) {
		return m, false
	}
	if m.Seq, s, ok = number(s[len(seqKey):]); !ok || m.Seq == 0 || !bytes.HasPrefix(s, timeKey) {
		return m, false
	}
	nanoseconds, s, ok := number(s[len(timeKey):])
	if !ok {
		return m, false
	}
	m.Time = int64(nanoseconds)
	if bytes.HasPrefix(s, streamKey) && len(s) > len(streamKey) {
		if c := s[len(streamKey)]; c == 'o' || c == 'e' {
			m.Stream = c
		}
	}
	return m, true
}

// number reads decimal digits and returns what follows them.
func number(s []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(s) && i < 19 && s[i]-'0' < 10; i++ {
		n = n*10 + uint64(s[i]-'0')
	}
	return n, s[i:], i > 0
}
