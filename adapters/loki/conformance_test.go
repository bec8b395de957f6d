package loki

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, transport, address string, options map[string]string) adapters.Config {
	t.Helper()
	return adaptertest.Resolve(t, Description(), transport, address, options)
}

func newTestAdapter(t testing.TB, c adapters.Config) adapters.Adapter {
	t.Helper()
	return adaptertest.New(t, Description(), c)
}

// pushFile describes Loki's messages to Go's own protobuf library.
const pushFile = `
name: "push.proto" package: "logproto" syntax: "proto3"
message_type { name: "PushRequest"
  field { name: "streams" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".logproto.Stream" } }
message_type { name: "Stream"
  field { name: "labels" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "entries" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".logproto.Entry" }
  field { name: "hash" number: 3 label: LABEL_OPTIONAL type: TYPE_UINT64 } }
message_type { name: "Entry"
  field { name: "timestamp" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".logproto.Timestamp" }
  field { name: "line" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "structuredMetadata" number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".logproto.Pair" } }
message_type { name: "Pair"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "Timestamp"
  field { name: "seconds" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 }
  field { name: "nanos" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 } }
`

func pushRequest(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(pushFile), &file); err != nil {
		t.Fatal(err)
	}
	described, err := protodesc.NewFile(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return described.Messages().ByName("PushRequest")
}

// stream is what Loki reads of a stream. The labels are in Prometheus' writing
// or in JSON, as they came.
type stream struct {
	labels  string
	entries []entry
}

type entry struct {
	time     int64
	line     string
	metadata map[string]string
}

// readProto decodes a body with Go's protobuf library, strictly.
func readProto(descriptor protoreflect.MessageDescriptor, body []byte) ([]stream, error) {
	body, err := s2.Decode(nil, body)
	if err != nil {
		return nil, err
	}
	message := dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(body, message); err != nil {
		return nil, err
	}
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		if len(m.GetUnknown()) > 0 {
			err = fmt.Errorf("unknown fields in %s", m.Descriptor().Name())
		}
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	var list []stream
	streams := get(message, "streams").List()
	for i := range streams.Len() {
		m := streams.Get(i).Message()
		s := stream{labels: get(m, "labels").String()}
		entries := get(m, "entries").List()
		for j := range entries.Len() {
			m := entries.Get(j).Message()
			timestamp := get(m, "timestamp").Message()
			e := entry{
				time: get(timestamp, "seconds").Int()*int64(time.Second) + get(timestamp, "nanos").Int(),
				line: get(m, "line").String(), metadata: map[string]string{},
			}
			pairs := get(m, "structuredMetadata").List()
			for k := range pairs.Len() {
				m := pairs.Get(k).Message()
				e.metadata[get(m, "name").String()] = get(m, "value").String()
			}
			s.entries = append(s.entries, e)
		}
		list = append(list, s)
	}
	return list, err
}

// readJSON decodes a body as Loki's API describes it.
func readJSON(body []byte) ([]stream, error) {
	var request struct {
		Streams []struct {
			Stream map[string]string   `json:"stream"`
			Values [][]json.RawMessage `json:"values"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	var list []stream
	for _, one := range request.Streams {
		labels, err := json.Marshal(one.Stream) // Sorted.
		if err != nil {
			return nil, err
		}
		s := stream{labels: string(labels)}
		for _, value := range one.Values {
			var at, line string
			metadata := map[string]string{}
			targets := []any{&at, &line, &metadata}
			if len(value) > len(targets) {
				return nil, fmt.Errorf("a value has %d parts", len(value))
			}
			for i, part := range value {
				if err := json.Unmarshal(part, targets[i]); err != nil {
					return nil, err
				}
			}
			ns, err := strconv.ParseInt(at, 10, 64)
			if err != nil {
				return nil, err
			}
			s.entries = append(s.entries, entry{time: ns, line: line, metadata: maps.Clone(metadata)})
		}
		list = append(list, s)
	}
	return list, nil
}

// reader returns a function that reads the streams of a request.
func reader(t testing.TB) func(r *http.Request, body []byte) ([]stream, error) {
	descriptor := pushRequest(t)
	return func(r *http.Request, body []byte) ([]stream, error) {
		body, err := adaptertest.Unpack(r, body)
		if err != nil {
			return nil, err
		}
		switch kind := r.Header.Get("Content-Type"); kind {
		case "application/x-protobuf":
			return readProto(descriptor, body)
		case "application/json":
			return readJSON(body)
		default:
			return nil, fmt.Errorf("unknown type %q", kind)
		}
	}
}

// oneStream sends all lines as those of one stream: Loki keeps a container's
// streams apart, so that the order of the suite's lines, which alternate, could
// not be seen.
type oneStream struct{ adapters.Adapter }

func (a oneStream) Send(ctx context.Context, b *record.Batch, done func(error)) {
	one := &record.Batch{Container: b.Container, Records: slices.Clone(b.Records)}
	for i := range one.Records {
		one.Records[i].Stream = record.Stdout
	}
	a.Adapter.Send(ctx, one, done)
}

func posting(t *testing.T) *adaptertest.Posting {
	read := reader(t)
	take := func(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error) {
		if r.URL.Path != "/loki/api/v1/push" {
			return nil, fmt.Errorf("unknown path %q", r.URL.Path)
		}
		streams, err := read(r, body)
		var lines [][]byte
		for _, s := range streams {
			for _, e := range s.entries {
				lines = append(lines, []byte(e.line))
			}
		}
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return lines, err
	}
	return &adaptertest.Posting{
		Description: Description(), Take: take,
		Wrap: func(a adapters.Adapter) adapters.Adapter { return oneStream{a} },
	}
}

func TestConformance(t *testing.T) {
	t.Run("http", func(t *testing.T) { posting(t).Run(t, "http", nil, true) })
	t.Run("https json", func(t *testing.T) {
		posting(t).Run(t, "https", map[string]string{"format": "json", "compression": "gzip"}, true)
	})
}

// A server that is restarted misses no line.
func TestRestarts(t *testing.T) { posting(t).Restarts(t, nil) }
