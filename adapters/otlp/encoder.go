package otlp

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"tallyman/adapters"
	"tallyman/adapters/textenc"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// The fields of ExportLogsServiceRequest and the messages in it
// (opentelemetry-proto, collector/logs/v1, logs/v1, resource/v1 and common/v1).
const (
	requestResourceLogs = 1

	resourceLogsResource  = 1
	resourceLogsScopeLogs = 2

	resourceAttributes = 1

	scopeLogsScope   = 1
	scopeLogsRecords = 2

	scopeName = 1

	recordTime           = 1
	recordSeverityNumber = 2
	recordSeverityText   = 3
	recordBody           = 5
	recordAttributes     = 6
	recordObservedTime   = 11

	keyValueKey   = 1
	keyValueValue = 2

	anyString = 1
	anyArray  = 5

	arrayValues = 1
)

// severities are the numbers of the levels (OpenTelemetry's logs data model,
// appendix B, for syslog).
var severities = [...]uint64{
	level.Trace: 1, level.Debug: 5, level.Info: 9, level.Notice: 10, level.Warning: 13,
	level.Error: 17, level.Critical: 18, level.Alert: 19, level.Emergency: 21,
}

// encoder writes ExportLogsServiceRequests. It implements post.Encoder.
type encoder struct {
	severity string
	hostname string
	labels   []string
	// scope is the field of the scope in each ScopeLogs, streams the attribute
	// of each stream.
	scope   []byte
	streams [record.Streams][]byte

	container *record.Container
	// observed is when the batch was read.
	observed uint64
	// clean is scratch.
	clean []byte
}

func newEncoder(c adapters.Config) *encoder {
	e := &encoder{severity: c.Options["severity"], hostname: c.Hostname}
	for name := range strings.SplitSeq(c.Options["labels"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			e.labels = append(e.labels, name)
		}
	}
	slices.Sort(e.labels)
	e.labels = slices.Compact(e.labels)
	e.scope = appendField(nil, scopeLogsScope, appendField(nil, scopeName, "tallyman"))
	for s := range e.streams {
		e.streams[s] = appendAttribute(nil, recordAttributes, "log.iostream", record.Stream(s).String())
	}
	return e
}

// Begin takes note of the container and of the time.
func (e *encoder) Begin(c *record.Container) {
	e.container = c
	e.observed = uint64(time.Now().UnixNano())
}

// AppendHeader appends the resource of the container.
func (e *encoder) AppendHeader(dst []byte, _ record.Stream) []byte {
	c := e.container
	dst = appendAttribute(dst, resourceAttributes, "container.id", c.ID)
	dst = appendAttribute(dst, resourceAttributes, "container.name", c.Name)
	name, tag := splitImage(c.Image)
	dst = appendAttribute(dst, resourceAttributes, "container.image.name", name)
	if tag != "" {
		value := appendField(nil, anyString, valid(tag))
		list := appendField(nil, anyArray, appendField(nil, arrayValues, value))
		dst = appendKeyValue(dst, resourceAttributes, "container.image.tags", list)
	}
	dst = appendAttribute(dst, resourceAttributes, "host.name", e.hostname)
	dst = appendAttribute(dst, resourceAttributes, "service.name", service(c))
	dst = appendAttribute(dst, resourceAttributes, "service.namespace", c.Label("com.docker.compose.project"))
	for _, label := range e.labels {
		dst = appendAttribute(dst, resourceAttributes, "container.label."+valid(label), c.Label(label))
	}
	return dst
}

// service returns the name of a container's service: Compose's, else Swarm's,
// else the container's own name.
func service(c *record.Container) string {
	for _, label := range []string{"com.docker.compose.service", "com.docker.swarm.service.name"} {
		if name := c.Label(label); name != "" {
			return name
		}
	}
	if c.Name == "" {
		return c.ShortID()
	}
	return c.Name
}

// splitImage returns an image's name and its tag, which is empty where the image
// is named by a digest or by nothing more than its name.
func splitImage(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// Append appends a record as a field of its ScopeLogs.
func (e *encoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	line := r.Line
	if !utf8.Valid(line) {
		e.clean = textenc.AppendUTF8(e.clean[:0], line)
		line = e.clean
	}
	found := e.levelOf(r)
	attribute := e.streams[r.Stream&1]
	body := protowire.SizeTag(anyString) + protowire.SizeBytes(len(line))
	size := 2*(protowire.SizeTag(recordTime)+protowire.SizeFixed64()) +
		protowire.SizeTag(recordBody) + protowire.SizeBytes(body) + len(attribute)
	if found != level.Unknown {
		size += protowire.SizeTag(recordSeverityNumber) + protowire.SizeVarint(severities[found]) +
			protowire.SizeTag(recordSeverityText) + protowire.SizeBytes(len(found.String()))
	}

	dst = protowire.AppendTag(dst, scopeLogsRecords, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, recordTime, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, uint64(r.Time))
	if found != level.Unknown {
		dst = protowire.AppendTag(dst, recordSeverityNumber, protowire.VarintType)
		dst = protowire.AppendVarint(dst, severities[found])
		dst = appendField(dst, recordSeverityText, found.String())
	}
	dst = protowire.AppendTag(dst, recordBody, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(body))
	dst = appendField(dst, anyString, line)
	dst = append(dst, attribute...)
	dst = protowire.AppendTag(dst, recordObservedTime, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, e.observed), nil
}

// levelOf returns the level of a line as the option severity says.
func (e *encoder) levelOf(r *record.Record) level.Level {
	switch {
	case e.severity == never:
		return level.Unknown
	case e.severity == bySearch:
		return level.Detect(r.Line)
	case r.Stream == record.Stderr:
		return level.Error
	default:
		return level.Info
	}
}

// AppendBody appends the ResourceLogs of each container.
func (e *encoder) AppendBody(dst []byte, groups []post.Group) []byte {
	for i := range groups {
		g := &groups[i]
		scopeLogs := len(e.scope) + g.Size
		size := protowire.SizeTag(resourceLogsResource) + protowire.SizeBytes(len(g.Header)) +
			protowire.SizeTag(resourceLogsScopeLogs) + protowire.SizeBytes(scopeLogs)
		dst = protowire.AppendTag(dst, requestResourceLogs, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = appendField(dst, resourceLogsResource, g.Header)
		dst = protowire.AppendTag(dst, resourceLogsScopeLogs, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(scopeLogs))
		dst = append(dst, e.scope...)
		dst = g.AppendFrames(dst)
	}
	return dst
}

// appendField appends a field of bytes.
func appendField[T ~string | ~[]byte](dst []byte, field protowire.Number, value T) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// appendAttribute appends the field of an attribute, nothing where it has no
// value.
func appendAttribute(dst []byte, field protowire.Number, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendKeyValue(dst, field, key, appendField(nil, anyString, valid(value)))
}

// appendKeyValue appends the field of a KeyValue, of which value is an AnyValue.
func appendKeyValue(dst []byte, field protowire.Number, key string, value []byte) []byte {
	pair := appendField(nil, keyValueKey, key)
	return appendField(dst, field, appendField(pair, keyValueValue, value))
}

// valid makes a text UTF-8, as protobuf wants every string.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }
