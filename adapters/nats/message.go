package nats

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters/textenc"
	"tallyman/collector/record"
)

// Headers of a message, besides JetStream's own Nats-Msg-Id.
const (
	headerContainer = "Container-Id"
	headerName      = "Container-Name"
	headerImage     = "Container-Image"
	headerStream    = "Log-Stream"
	headerTime      = "Log-Time"
)

// encoder writes messages as the client protocol has them. nats.go writes a
// header from a map, which costs more than all else that is done for a line. It
// is used by one goroutine at a time.
type encoder struct {
	subject       template
	hostname      string
	json, headers bool
	// ids says that messages have the header that JetStream knows them by.
	ids bool
	// most is the longest message that the server takes, its headers included.
	most int

	cache map[*record.Container]*sources
	// sources are those of the batch's container.
	sources *sources
	// second is the one that clock holds the time of.
	second int64
	clock  []byte
	// header and payload hold the parts of a message whose lengths come first.
	header, payload []byte
}

// sources is what the messages of a container share, for each of its streams.
type sources [record.Streams]source

// source is what the messages of one stream of a container share.
type source struct {
	subject string
	// command is the beginning of the message up to the subject's end, header
	// the beginning of the headers.
	command, header string
	// idStart begins each message's id.
	idStart string
	// fields are the members of a JSON payload that are always the same, with
	// the commas around them.
	fields string
}

// cachedContainers bounds the cache, which is emptied when it is full: it is a
// batch that looks a container up, not a line.
const cachedContainers = 256

func newEncoder(s *settings) *encoder {
	return &encoder{
		subject: s.subject, hostname: s.hostname, json: s.json, headers: s.headers, ids: s.jetstream,
		cache: make(map[*record.Container]*sources),
	}
}

// begin prepares for the records of a container and returns what their messages
// share.
func (e *encoder) begin(c *record.Container) *sources {
	if cap(e.payload) > keepSize {
		e.payload = nil
	}
	known := e.cache[c]
	if known == nil {
		if len(e.cache) >= cachedContainers {
			clear(e.cache)
		}
		known = &sources{}
		for i := range known {
			known[i] = e.newSource(c, record.Stream(i))
		}
		// Containers are immutable, so the pointer stands for all that is in
		// them.
		e.cache[c] = known
	}
	e.sources = known
	return known
}

// append appends the message of a record to dst. Its reply subject is inbox and
// number, none where inbox is empty. It returns the length of a message that is
// too long, which is not appended, else 0.
func (e *encoder) append(dst []byte, r *record.Record, inbox string, number uint64) (_ []byte, tooLong int) {
	s := &e.sources[r.Stream&1]
	payload := r.Line
	if e.json {
		payload = e.appendJSON(e.payload[:0], r, s)
		e.payload = payload
	}
	e.header = e.appendHeader(e.header[:0], r, s)
	total := len(e.header) + len(payload)
	if total > e.most {
		return dst, total
	}
	dst = append(dst, s.command...)
	if inbox != "" {
		dst = append(dst, inbox...)
		dst = strconv.AppendUint(dst, number, tokenBase)
		dst = append(dst, ' ')
	}
	if len(e.header) > 0 {
		dst = strconv.AppendUint(dst, uint64(len(e.header)), 10)
		dst = append(dst, ' ')
	}
	dst = strconv.AppendUint(dst, uint64(total), 10)
	dst = append(dst, "\r\n"...)
	dst = append(dst, e.header...)
	dst = append(dst, payload...)
	return append(dst, "\r\n"...), 0
}

// appendHeader appends the headers; see NATS ADR-4.
func (e *encoder) appendHeader(dst []byte, r *record.Record, s *source) []byte {
	if s.header == "" {
		return dst
	}
	dst = append(dst, s.header...)
	if e.headers {
		dst = append(dst, headerTime+": "...)
		dst = e.appendTime(dst, r.Time)
		dst = append(dst, "\r\n"...)
	}
	if e.ids {
		dst = append(dst, natsgo.MsgIdHdr+": "...)
		dst = append(dst, s.idStart...)
		dst = appendID(dst, r)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func (e *encoder) appendJSON(dst []byte, r *record.Record, s *source) []byte {
	dst = append(dst, `{"time":"`...)
	dst = e.appendTime(dst, r.Time)
	dst = append(dst, s.fields...)
	dst = textenc.AppendJSON(dst, r.Line)
	return append(dst, '}')
}

// appendTime appends a time of nanoseconds since the epoch, always with nine
// digits behind the second, so that times sort as text.
func (e *encoder) appendTime(dst []byte, at int64) []byte {
	second, nanosecond := at/int64(time.Second), at%int64(time.Second)
	if nanosecond < 0 {
		second, nanosecond = second-1, nanosecond+int64(time.Second)
	}
	if second != e.second || len(e.clock) == 0 {
		e.clock = time.Unix(second, 0).UTC().AppendFormat(e.clock[:0], "2006-01-02T15:04:05.")
		e.second = second
	}
	dst = append(dst, e.clock...)
	for unit := int64(time.Second) / 10; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+nanosecond/unit%10))
	}
	return append(dst, 'Z')
}

// tokenBase is the base of numbers in ids and reply subjects.
const tokenBase = 32

// appendID appends what tells a record from all others of its container, the
// same whenever the record is read again: its time, and the place behind it.
// The time stands for the generation of the place too, for no other has records
// of that time. The generation's own name would not do: it has an inode, which
// changes when the engine compresses the file.
func appendID(dst []byte, r *record.Record) []byte {
	dst = strconv.AppendUint(dst, uint64(r.Time), tokenBase)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(r.Resume), tokenBase)
	if r.Skip > 0 {
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(r.Skip), tokenBase)
	}
	return dst
}

func (e *encoder) newSource(c *record.Container, stream record.Stream) source {
	s := source{subject: e.subject.subject(c, scope{host: e.hostname, stream: stream})}
	s.command = "PUB " + s.subject + " "
	if e.headers || e.ids {
		s.command, s.header = "H"+s.command, "NATS/1.0\r\n"
	}
	if e.headers {
		for _, h := range [][2]string{
			{headerContainer, c.ID}, {headerName, c.Name}, {headerImage, c.Image}, {headerStream, stream.String()},
		} {
			s.header += h[0] + ": " + strings.Map(headerRune, h[1]) + "\r\n"
		}
	}
	// The subject belongs to the id, for two routes may send the same line to
	// two subjects of one stream.
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(c.ID + " " + s.subject))
	s.idStart = strconv.FormatUint(hash.Sum64(), tokenBase) + "."

	fields := append([]byte(nil), `","source":"`+stream.String()+`","host":`...)
	fields = textenc.AppendJSON(fields, e.hostname)
	fields = textenc.AppendJSON(append(fields, `,"id":`...), c.ID)
	fields = textenc.AppendJSON(append(fields, `,"name":`...), c.Name)
	fields = textenc.AppendJSON(append(fields, `,"image":`...), c.Image)
	s.fields = string(append(fields, `,"line":`...))
	return s
}

// headerRune keeps a value from ending its header.
func headerRune(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
