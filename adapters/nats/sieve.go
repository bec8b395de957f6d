package nats

import (
	"bytes"
	"io"
	"strconv"
	"sync/atomic"
)

// sieveSize is how many bytes are read from a server at a time, as nats.go has
// it.
const sieveSize = 32 << 10

// sieve takes JetStream's acknowledgements out of what a server sends and leaves
// all else to nats.go. There is one for every line, and nats.go makes a message
// of each, wakes the goroutine of the subscription and parses the subject again,
// which together cost about as much as sending the line. What is not exactly what
// the server writes when it has stored a message passes to nats.go and from there
// to the subscription, so that nothing but speed hangs on the sieve.
//
// It is used by the goroutine that reads.
type sieve struct {
	// answers says what to take. While it is nil all passes, and no message may
	// come but lines (NATS client protocol): so the sieve knows where a command
	// begins. A read that began before it was set still passes whole.
	answers atomic.Pointer[answers]

	// buf holds what was read and not passed, from start to end, and err is what
	// comes behind it.
	buf        []byte
	start, end int
	err        error
	// rest is how much of a command passes before the next is looked at, and
	// endless says that one passes as far as its line goes.
	rest    int
	endless bool
	numbers []uint64
}

// answers are acknowledgements to take.
type answers struct {
	// command is how they begin, up to the number in their subject.
	command []byte
	// take is called with the numbers of messages that are stored. They are the
	// sieve's again when it returns.
	take func(numbers []uint64)
}

// read reads what is not for the sieve, as an io.Reader does from r.
func (s *sieve) read(r io.Reader, p []byte) (int, error) {
	a := s.answers.Load()
	if a == nil {
		n, err := r.Read(p)
		if n > 0 {
			s.endless = p[n-1] != '\n'
		}
		return n, err
	}
	if s.buf == nil {
		s.buf = make([]byte, sieveSize)
	}
	for {
		if n := s.pass(a, p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if s.start > 0 {
			s.end = copy(s.buf, s.buf[s.start:s.end])
			s.start = 0
		}
		if s.end == len(s.buf) {
			// The first line of a server that knows many others can be that
			// long; an acknowledgement is not.
			s.endless = true
			continue
		}
		var n int
		n, s.err = r.Read(s.buf[s.end:])
		s.end += n
	}
}

// pass moves what is not to be taken to p, and takes the rest.
func (s *sieve) pass(a *answers, p []byte) int {
	n := 0
	for s.start < s.end && n < len(p) {
		d := s.buf[s.start:s.end]
		switch {
		case s.endless:
			k := bytes.IndexByte(d[:min(len(d), len(p)-n)], '\n') + 1
			if s.endless = k == 0; s.endless {
				k = min(len(d), len(p)-n)
			}
			s.rest = k
		case s.rest == 0:
			number, length, incomplete := a.parse(d)
			if length > 0 {
				s.numbers = append(s.numbers, number)
				s.start += length
				continue
			}
			if !incomplete {
				s.rest = commandLength(d)
			}
		}
		if s.rest == 0 {
			break // Not all of the command's line has come.
		}
		k := copy(p[n:], d[:min(s.rest, len(d))])
		n, s.start, s.rest = n+k, s.start+k, s.rest-k
	}
	if len(s.numbers) > 0 {
		a.take(s.numbers)
		s.numbers = s.numbers[:0]
	}
	return n
}

// commandLength returns the length of the command at the start of data with the
// payload that it announces, 0 while its line is not complete.
func commandLength(data []byte) int {
	line := bytes.IndexByte(data, '\n') + 1
	if line == 0 || !bytes.HasPrefix(data, []byte("MSG ")) && !bytes.HasPrefix(data, []byte("HMSG ")) {
		return line
	}
	head := bytes.TrimRight(data[:line], "\r\n")
	size, err := strconv.ParseUint(string(head[bytes.LastIndexByte(head, ' ')+1:]), 10, 31)
	if err != nil {
		return line // nats.go complains of it.
	}
	return line + int(size) + len("\r\n")
}

// parse returns the number of the acknowledgement at the start of data, and its
// length, which is 0 where there is none: MSG SUBJECT SID SIZE, with the number
// at the subject's end, and what isStored knows. incomplete says that there may
// be one once there are more data.
func (a *answers) parse(data []byte) (number uint64, length int, incomplete bool) {
	if len(data) < len(a.command) {
		return 0, 0, bytes.HasPrefix(a.command, data)
	}
	rest, ok := bytes.CutPrefix(data, a.command)
	if !ok {
		return 0, 0, false
	}
	head, rest, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok {
		return 0, 0, true
	}
	token, head, _ := bytes.Cut(head, []byte(" "))
	_, digits, _ := bytes.Cut(head, []byte(" "))
	number, ok = parseToken(token)
	size, after := splitDigits(digits)
	if !ok || len(size) == 0 || len(size) > 3 || len(after) > 0 {
		return 0, 0, false
	}
	n := 0
	for _, digit := range size {
		n = 10*n + int(digit-'0')
	}
	if len(rest) < n+len("\r\n") {
		return 0, 0, true
	}
	if !isStored(rest[:n]) {
		return 0, 0, false
	}
	return number, len(data) - len(rest) + n + len("\r\n"), false
}

// parseToken reads a number of the base tokenBase, as strconv writes it.
func parseToken(token []byte) (number uint64, ok bool) {
	const most = 12 // Digits that surely fit.
	for _, c := range token {
		digit := uint64(c - '0')
		if c >= 'a' {
			digit = uint64(c-'a') + 10
		}
		if c < '0' || c > '9' && c < 'a' || digit >= tokenBase {
			return 0, false
		}
		number = number*tokenBase + digit
	}
	return number, len(token) > 0 && len(token) <= most
}
