package relp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of a frame. The first two are the protocol's own ("RELP frame"); the
// longest data is what this client takes from a server, which has nothing long
// to say.
const (
	maxDigits  = 9
	maxCommand = 32
	maxData    = 8 << 10
)

// maxTxnr is the highest transaction number; 1 follows it.
const maxTxnr = 999_999_999

// The commands that this client sends or takes.
const (
	commandOpen        = "open"
	commandSyslog      = "syslog"
	commandClose       = "close"
	commandResponse    = "rsp"
	commandServerClose = "serverclose"
)

// frame is one frame as it came from the server. Its slices point into the
// memory that was parsed.
type frame struct {
	txnr          uint32
	command, data []byte
}

// appendFrame appends a frame. The data must be shorter than 1 GB.
func appendFrame(dst []byte, txnr uint32, command string, data []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(txnr), 10)
	dst = append(dst, ' ')
	dst = append(dst, command...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(len(data)), 10)
	if len(data) > 0 {
		dst = append(dst, ' ')
		dst = append(dst, data...)
	}
	return append(dst, '\n')
}

// parseFrame reads the frame at the start of p and returns it with its length,
// which is 0 while the frame is not complete. An error says that no frame can
// begin so, which is known without waiting for more.
func parseFrame(p []byte) (f frame, length int, err error) {
	txnr, rest, ok, err := cutNumber(p)
	if !ok || err != nil {
		return frame{}, 0, err
	}
	f.txnr = txnr
	if f.command, rest, ok, err = cutCommand(rest); !ok || err != nil {
		return frame{}, 0, err
	}
	size, rest, ok, err := cutNumber(rest)
	if !ok || err != nil {
		return frame{}, 0, err
	}
	if size > maxData {
		return frame{}, 0, fmt.Errorf("a frame of %d bytes, where at most %d are taken", size, maxData)
	}
	if size > 0 {
		if rest[0] != ' ' {
			return frame{}, 0, errors.New("a frame without its data")
		}
		if rest = rest[1:]; len(rest) < int(size) {
			return frame{}, 0, nil
		}
		f.data, rest = rest[:size], rest[size:]
	}
	// Some servers put a space behind the length of no data.
	if size == 0 && rest[0] == ' ' {
		rest = rest[1:]
	}
	switch {
	case len(rest) == 0:
		return frame{}, 0, nil
	case rest[0] != '\n':
		return frame{}, 0, fmt.Errorf("a frame that ends with %q in place of a newline", rest[0])
	}
	return f, len(p) - len(rest) + 1, nil
}

// cutNumber takes the number at the start of p. It is not ok while the byte
// behind it, with which the rest begins, is not there.
func cutNumber(p []byte) (n uint32, rest []byte, ok bool, err error) {
	i := 0
	for ; i < len(p) && p[i] >= '0' && p[i] <= '9'; i++ {
		if i == maxDigits {
			return 0, nil, false, fmt.Errorf("a number of more than %d digits", maxDigits)
		}
		n = n*10 + uint32(p[i]-'0')
	}
	switch {
	case i == len(p):
		return 0, nil, false, nil
	case i == 0 || p[i] != ' ' && p[i] != '\n':
		return 0, nil, false, fmt.Errorf("%q where a number is due", p[i])
	}
	return n, p[i:], true, nil
}

// cutCommand takes a command with the spaces around it.
func cutCommand(p []byte) (command, rest []byte, ok bool, err error) {
	if p[0] != ' ' {
		return nil, nil, false, errors.New("a frame without a command")
	}
	p = p[1:]
	for i, c := range p {
		switch {
		case c == ' ' && i > 0:
			return p[:i], p[i+1:], true, nil
		case (c|0x20) < 'a' || (c|0x20) > 'z':
			return nil, nil, false, fmt.Errorf("%q within a command", c)
		case i == maxCommand:
			return nil, nil, false, fmt.Errorf("a command of more than %d letters", maxCommand)
		}
	}
	return nil, nil, false, nil
}

// codeOK is the response code of success; all others are errors.
const codeOK = 200

// response is the data of a frame "rsp": a code, a text for people, and what
// depends on the command that it responds to.
type response struct {
	code       int
	text, data []byte
}

// parseResponse reads the data of a frame "rsp".
func parseResponse(p []byte) (response, error) {
	line, data, _ := bytes.Cut(p, []byte("\n"))
	digits, text, _ := bytes.Cut(line, []byte(" "))
	if len(digits) != 3 {
		return response{}, fmt.Errorf("a response that begins with %q in place of a code", short(digits))
	}
	r := response{text: text, data: data}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return response{}, fmt.Errorf("a response with the code %q", digits)
		}
		r.code = r.code*10 + int(c-'0')
	}
	return r, nil
}

// short bounds what is shown of a server's words.
func short(text []byte) []byte { return text[:min(len(text), 200)] }
