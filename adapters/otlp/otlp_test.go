package otlp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport/post"
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

// read decodes a request with the types that OpenTelemetry generates. LogsData
// has the fields of ExportLogsServiceRequest, whose package needs all of gRPC.
func read(r *http.Request, body []byte) (*logspb.LogsData, error) {
	if r.URL.Path != "/v1/logs" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return nil, fmt.Errorf("not the request expected: %s of %q", r.URL, r.Header.Get("Content-Type"))
	}
	body, err := adaptertest.Unpack(r, body)
	if err != nil {
		return nil, err
	}
	request := &logspb.LogsData{}
	return request, proto.Unmarshal(body, request)
}

func take(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error) {
	request, err := read(r, body)
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for _, resource := range request.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, one := range scope.LogRecords {
				lines = append(lines, []byte(one.Body.GetStringValue()))
			}
		}
	}
	// A partial success without rejected records is none.
	return lines, answerPartly(w, 0, "just so")
}

// answerPartly answers with an ExportLogsServiceResponse.
func answerPartly(w http.ResponseWriter, rejected uint64, message string) error {
	partial := protowire.AppendTag(nil, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, rejected)
	partial = protowire.AppendTag(partial, 2, protowire.BytesType)
	partial = protowire.AppendString(partial, message)
	response := protowire.AppendTag(nil, 1, protowire.BytesType)
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, err := w.Write(protowire.AppendBytes(response, partial))
	return err
}

func posting() *adaptertest.Posting {
	return &adaptertest.Posting{Description: Description(), Take: take}
}

func TestConformance(t *testing.T) {
	t.Run("http", func(t *testing.T) { posting().Run(t, "http", nil, true) })
	t.Run("https", func(t *testing.T) {
		posting().Run(t, "https", map[string]string{"compression": "gzip"}, true)
	})
}

// A server that is restarted misses no line.
func TestRestarts(t *testing.T) { posting().Restarts(t, nil) }

// export sends batches to a server and returns the request that it reads.
func export(t *testing.T, options map[string]string, batches ...*record.Batch) *logspb.LogsData {
	t.Helper()
	var got *logspb.LogsData
	server := adaptertest.StartHTTP(t, adaptertest.Serves, nil, func(_ http.ResponseWriter, r *http.Request, body []byte) (lines [][]byte, err error) {
		got, err = read(r, body)
		return nil, err
	})
	a := newTestAdapter(t, resolve(t, "http", server.Address(), options))
	var failure error
	for _, b := range batches {
		a.Send(t.Context(), b, func(err error) { failure = errors.Join(failure, err) })
	}
	if err := a.Close(t.Context()); err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return got
}

// text writes attributes as name=value pairs.
func text(attributes []*commonpb.KeyValue) string {
	var parts []string
	for _, a := range attributes {
		value := a.Value.GetStringValue()
		for _, one := range a.Value.GetArrayValue().GetValues() {
			value += "[" + one.GetStringValue() + "]"
		}
		parts = append(parts, a.Key+"="+value)
	}
	return strings.Join(parts, " ")
}

func TestRequest(t *testing.T) {
	web := &record.Container{
		ID: "0123456789abcdef", Name: "shop-web-1", Image: "registry:5000/web:1.2",
		Labels: map[string]string{
			"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "team": "a\xff",
		},
	}
	gone := &record.Container{ID: "fedcba9876543210"}
	got := export(t, map[string]string{"labels": "team, none"},
		&record.Batch{Container: web, Records: []record.Record{
			{Time: 1_700_000_000_123_456_789, Line: []byte("ERROR one")},
			{Time: 2, Line: []byte("two \xff"), Stream: record.Stderr},
		}},
		&record.Batch{Container: gone, Records: []record.Record{{Time: 3}}},
		&record.Batch{Container: web, Records: []record.Record{{Time: 4, Line: []byte("three")}}},
	)
	if len(got.ResourceLogs) != 2 {
		t.Fatalf("%d resources", len(got.ResourceLogs))
	}
	f := func(i int, attributes string, want ...string) {
		t.Helper()
		resource := got.ResourceLogs[i]
		if got := text(resource.Resource.Attributes); got != attributes {
			t.Errorf("the attributes are\n%s, want\n%s", got, attributes)
		}
		if len(resource.ScopeLogs) != 1 || resource.ScopeLogs[0].Scope.Name != "tallyman" {
			t.Fatalf("the scopes are %v", resource.ScopeLogs)
		}
		var records []string
		for _, r := range resource.ScopeLogs[0].LogRecords {
			records = append(records, fmt.Sprintf("%d %d %s|%s|%s", r.TimeUnixNano, r.SeverityNumber, r.SeverityText, r.Body.GetStringValue(), text(r.Attributes)))
			if r.ObservedTimeUnixNano == 0 || len(r.ProtoReflect().GetUnknown()) > 0 {
				t.Errorf("a record is %v", r)
			}
		}
		if strings.Join(records, "\n") != strings.Join(want, "\n") {
			t.Errorf("got  %q\nwant %q", records, want)
		}
	}
	f(0, "container.id=0123456789abcdef container.name=shop-web-1 container.image.name=registry:5000/web container.image.tags=[1.2] "+
		"host.name=node7 service.name=web service.namespace=shop container.label.team=a\ufffd",
		"1700000000123456789 17 error|ERROR one|log.iostream=stdout",
		"2 0 |two \ufffd|log.iostream=stderr",
		"4 0 |three|log.iostream=stdout")
	f(1, "container.id=fedcba9876543210 host.name=node7 service.name=fedcba987654", "3 0 ||log.iostream=stdout")
}

func TestSeverity(t *testing.T) {
	f := func(severity, line string, s record.Stream, want logspb.SeverityNumber) {
		t.Helper()
		b := &record.Batch{Container: &record.Container{ID: "1"}, Records: []record.Record{{Line: []byte(line), Stream: s}}}
		got := export(t, map[string]string{"severity": severity}, b).ResourceLogs[0].ScopeLogs[0].LogRecords[0].SeverityNumber
		if got != want {
			t.Errorf("%s of %q on %s is %v, want %v", severity, line, s, got, want)
		}
	}
	f("detect", "WARN x", record.Stdout, logspb.SeverityNumber_SEVERITY_NUMBER_WARN)
	f("detect", "TRACE x", record.Stdout, logspb.SeverityNumber_SEVERITY_NUMBER_TRACE)
	f("detect", "EMERGENCY x", record.Stdout, logspb.SeverityNumber_SEVERITY_NUMBER_FATAL)
	f("detect", "x", record.Stderr, logspb.SeverityNumber_SEVERITY_NUMBER_UNSPECIFIED)
	f("stream", "WARN x", record.Stdout, logspb.SeverityNumber_SEVERITY_NUMBER_INFO)
	f("stream", "WARN x", record.Stderr, logspb.SeverityNumber_SEVERITY_NUMBER_ERROR)
	f("none", "WARN x", record.Stderr, logspb.SeverityNumber_SEVERITY_NUMBER_UNSPECIFIED)
}

func TestSplitImage(t *testing.T) {
	f := func(image, name, tag string) {
		t.Helper()
		if n, v := splitImage(image); n != name || v != tag {
			t.Errorf("%q is %q and %q", image, n, v)
		}
	}
	f("", "", "")
	f("nginx", "nginx", "")
	f("nginx:1", "nginx", "1")
	f("host:5000/nginx", "host:5000/nginx", "")
	f("host:5000/nginx:1@sha256:00", "host:5000/nginx", "1")
	f("sha256:00", "sha256", "00")
}

// What a server left out is counted and not sent again.
func TestPartialSuccess(t *testing.T) {
	server := adaptertest.StartHTTP(t, adaptertest.Serves, nil, func(w http.ResponseWriter, _ *http.Request, _ []byte) ([][]byte, error) {
		return nil, answerPartly(w, 2, "too old")
	})
	a := newTestAdapter(t, resolve(t, "http", server.Address(), nil))
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(&record.Container{ID: "1"}, []byte("a"), []byte("b"), []byte("c")), func(err error) { result <- err })
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rejected, ok := (<-result).(*adapters.RejectedError)
	if !ok || len(rejected.Rejects) != 2 || rejected.Rejects[0].Reason != "rejected" || !strings.HasSuffix(rejected.Rejects[0].Err.Error(), "too old") {
		t.Fatalf("got %v", rejected)
	}
}

func TestJudge(t *testing.T) {
	f := func(status int, kind, body string, want post.Verdict, text string) {
		t.Helper()
		got := judge(&post.Answer{Status: status, Header: http.Header{"Content-Type": {kind}}, Body: []byte(body), Lines: 10})
		if (got.Err == nil) != (text == "") || got.Err != nil && !strings.HasSuffix(got.Err.Error(), text) {
			t.Errorf("%d: the error is %v, want %s", status, got.Err, text)
		}
		if got.Err = nil; got != want {
			t.Errorf("%d is %+v, want %+v", status, got, want)
		}
	}
	const protobuf = "application/x-protobuf; x=y"
	retry := post.Verdict{Retry: true}
	f(200, "", "", post.Verdict{}, "")
	f(200, protobuf, "", post.Verdict{}, "")
	f(200, protobuf, "\x0a\x02\x08\x03", post.Verdict{Rejected: 3, Reason: "rejected"}, "200 OK")
	f(200, protobuf, "\x0a\x03\x08\x80\x01", post.Verdict{Rejected: 10, Reason: "rejected"}, "200 OK")
	f(200, protobuf, "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", post.Verdict{}, "")
	f(200, "application/json", "\x0a\x02\x08\x03", post.Verdict{}, "")
	for _, status := range []int{302, 429, 502, 503, 504} {
		v := judge(&post.Answer{Status: status, Header: http.Header{}, Lines: 10})
		if v.Err = nil; v != retry {
			t.Errorf("%d is %+v", status, v)
		}
	}
	f(503, protobuf, "\x12\x04busy", retry, ": busy")
	f(413, "", "", post.Verdict{Split: true}, "Large")
	for _, status := range []int{400, 401, 404, 408, 500, 501} {
		v := judge(&post.Answer{Status: status, Header: http.Header{}, Lines: 10})
		if v.Rejected != 10 || v.Retry || v.Reason != fmt.Sprint("http_", status) {
			t.Errorf("%d is %+v", status, v)
		}
	}
	f(400, protobuf, "\x08\x03\x12\x03bad", post.Verdict{Rejected: 10, Reason: "http_400"}, ": bad")
}

// No answer of a server does harm.
func FuzzJudge(f *testing.F) {
	f.Add(200, []byte("\x0a\x02\x08\x03"))
	f.Add(400, []byte("\x12\x03bad"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		v := judge(&post.Answer{Status: status, Header: http.Header{"Content-Type": {"application/x-protobuf"}}, Body: body, Lines: 10})
		if v.Rejected < 0 || v.Rejected > 10 || (v.Rejected > 0 || v.Retry || v.Split) != (v.Err != nil) {
			t.Fatalf("the verdict is %+v", v)
		}
	})
}

// One round is 1,000 lines: encoded, posted over the loopback and acknowledged.
func BenchmarkExport(b *testing.B) {
	for _, severity := range []string{never, bySearch} {
		b.Run("severity="+severity, func(b *testing.B) {
			adaptertest.BenchmarkHTTP(b, adaptertest.AccessLog(&record.Container{ID: "1"}, 1000), func(address string) adapters.Adapter {
				return newTestAdapter(b, resolve(b, "http", address, map[string]string{"severity": severity}))
			})
		})
	}
}

// The encoding of a line allocates nothing.
func TestAppendAllocatesNothing(t *testing.T) {
	batch := adaptertest.AccessLog(&record.Container{ID: "1"}, 1000)
	batch.Records[7].Line = []byte("not \xff UTF-8")
	batch.Records[8].Line = []byte(`{"level":"warn","msg":"slow"}`)
	batch.Records[9].Line = []byte("2026-11-21 01:09:08 ERROR main - no")
	for _, severity := range []string{never, byStream, bySearch} {
		e := newEncoder(resolve(t, "http", "127.0.0.1:1", map[string]string{"severity": severity}))
		dst := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(10, func() {
			e.Begin(batch.Container)
			dst = dst[:0]
			for i := range batch.Records {
				dst, _ = e.Append(dst, &batch.Records[i])
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", severity, n)
		}
	}
}
