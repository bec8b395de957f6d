package nats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
)

// Statuses and codes of JetStream's refusals (nats-server, server/errors.json).
const (
	statusNoResponders = "503"
	codeTooLong        = 10054 // The message exceeds the stream's max_msg_size.
)

// refusal is what JetStream answers to a message that it does not store.
type refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("JetStream does not store: %s (error %d)", r.Description, r.Code)
}

// errNoStream says that nobody answers on a subject.
var errNoStream = errors.New("no stream takes the subject")

// errNotAck says that an answer was not one of JetStream's.
var errNotAck = errors.New("the answer is no acknowledgement of JetStream: somebody else answers on the subject")

// parseAck returns nil where an answer to a message says that it is stored, or
// was before: {"stream":"LOGS","seq":1,"duplicate":true}. Else it returns
// errNoStream, errNotAck or a refusal.
func parseAck(m *natsgo.Msg) error {
	if m.Header != nil {
		if m.Header.Get("Status") == statusNoResponders {
			return errNoStream
		}
		return errNotAck
	}
	if isStored(m.Data) {
		return nil
	}
	var ack struct {
		Error  *refusal `json:"error"`
		Stream string   `json:"stream"`
		Seq    uint64   `json:"seq"`
	}
	switch err := json.Unmarshal(m.Data, &ack); {
	case err != nil:
		return errNotAck
	case ack.Error != nil:
		return ack.Error
	case ack.Stream == "" || ack.Seq == 0:
		return errNotAck
	}
	return nil
}

// isStored reports whether an answer is the one that nearly always comes, which
// the server makes without an encoder: {"stream":"LOGS","seq":1}, with a domain
// between the two where the server has one.
func isStored(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return false
	}
	name, rest, _ := bytes.Cut(rest, []byte(`"`))
	if behind, ok := bytes.CutPrefix(rest, []byte(`,"domain":"`)); ok {
		var domain []byte
		domain, rest, _ = bytes.Cut(behind, []byte(`"`))
		if bytes.ContainsFunc(domain, illegalInName) {
			return false
		}
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`,"seq":`))
	digits, after := splitDigits(rest)
	return ok && len(name) > 0 && !bytes.ContainsFunc(name, illegalInName) &&
		len(digits) > 0 && digits[0] != '0' && string(after) == "}"
}

// illegalInName reports whether a character would be escaped in JSON.
func illegalInName(r rune) bool { return r < ' ' || r == '\\' || r >= 0x7f }

// splitDigits returns the digits at the start of text, as many as a sequence
// surely has, and the rest.
func splitDigits(text []byte) (digits, rest []byte) {
	const most = 19
	n := 0
	for n < len(text) && n < most && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return text[:n], text[n:]
}
