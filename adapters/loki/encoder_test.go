package loki

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// push sends a batch to a server and returns the streams that it reads.
func push(t *testing.T, options map[string]string, b *record.Batch, check func(*http.Request)) []stream {
	t.Helper()
	read := reader(t)
	var got []stream
	server := adaptertest.StartHTTP(t, adaptertest.Serves, nil, func(_ http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error) {
		if check != nil {
			check(r)
		}
		streams, err := read(r, body)
		got = append(got, streams...)
		return nil, err
	})
	a := newTestAdapter(t, resolve(t, "http", server.Address(), options))
	var failure error
	a.Send(t.Context(), b, func(err error) { failure = err })
	if err := a.Close(t.Context()); err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return got
}

func web() *record.Container {
	return &record.Container{
		ID: strings.Repeat("ab", 32), Name: "shop-web-1", Image: "example/web:1",
		Labels: map[string]string{
			"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
			"org.example/team": "a \"quoted\" \xff team",
		},
	}
}

func TestStreams(t *testing.T) {
	b := &record.Batch{Container: web(), Records: []record.Record{
		{Time: 1_700_000_000_000_000_001, Line: []byte("one")},
		{Time: 1_700_000_000_999_999_999, Line: []byte("two \xff"), Stream: record.Stderr},
		{Time: -1, Line: []byte("")},
	}}
	options := map[string]string{"labels": "org.example/team,missing", "label.env": "prod", "tenant": "t1"}
	check := func(r *http.Request) {
		if got := r.Header.Get("X-Scope-OrgID"); got != "t1" {
			t.Errorf("the tenant is %q", got)
		}
	}
	none := map[string]string{}
	out := []entry{{1_700_000_000_000_000_001, "one", none}, {-1, "", none}}
	err := []entry{{1_700_000_000_999_999_999, "two \ufffd", none}}
	const text = `{compose_project="shop", compose_service="web", container="shop-web-1", env="prod", host="node7", org_example_team="a \"quoted\" ` + "\ufffd" + ` team", stream="%s"}`
	want := []stream{{fmt.Sprintf(text, "stdout"), out}, {fmt.Sprintf(text, "stderr"), err}}
	if got := push(t, options, b, check); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	options["format"], options["metadata"] = "json", "true"
	const object = `{"compose_project":"shop","compose_service":"web","container":"shop-web-1","env":"prod","host":"node7","org_example_team":"a \"quoted\" ` + "\ufffd" + ` team","stream":"%s"}`
	metadata := map[string]string{"container_id": b.Container.ID, "image": "example/web:1"}
	for i := range out {
		out[i].metadata = metadata
	}
	err[0].metadata = metadata
	want[0].labels, want[1].labels = fmt.Sprintf(object, "stdout"), fmt.Sprintf(object, "stderr")
	if got := push(t, options, b, check); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}

	want[0].labels, want[1].labels = fmt.Sprintf(text, "stdout"), fmt.Sprintf(text, "stderr")
	options["format"] = "protobuf"
	if got := push(t, options, b, check); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A container that was gone before it could be asked has a label all the same,
// and values are no longer than Loki takes.
func TestOddLabels(t *testing.T) {
	c := &record.Container{ID: strings.Repeat("cd", 32), Labels: map[string]string{"long": strings.Repeat("é", 2000)}}
	b := &record.Batch{Container: c, Records: []record.Record{{Line: []byte("x")}}}
	want := `{container="cdcdcdcdcdcd", host="node7", long="` + strings.Repeat("é", 1024) + `", stream="stdout"}`
	if got := push(t, map[string]string{"labels": "long"}, b, nil); len(got) != 1 || got[0].labels != want {
		t.Fatalf("got %+v", got)
	}
}

func TestBadOptions(t *testing.T) {
	f := func(options map[string]string, want string) {
		t.Helper()
		_, err := Description().New(resolve(t, "http", "127.0.0.1:3100", options))
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	f(map[string]string{"labels": "a.b,a-b"}, `the label "a_b" is there twice`)
	f(map[string]string{"label.host": "x"}, `the label "host" is there twice`)
	f(map[string]string{"label.a-b": "x"}, `bad option "label.a-b": the name of a label is made of letters, digits and _, no digit first`)
	f(map[string]string{"label.a": ""}, `bad value "" of option "label.a"; it is any text`)
	f(map[string]string{"labels": "a,b,c,d,e,f,g,h,i,j,k"}, "16 labels; Loki takes 15, and 5 are always there")
	f(map[string]string{"compression": "gzip"}, `bad value "gzip" of option "compression": a body of protobuf is compressed by snappy; gzip is for format=json`)
	f(map[string]string{"linger": "x"}, `bad value "x" of option "linger"; it is a time such as 500ms or 2s, from 0s to 1m0s`)
}

// The texts are Loki's own.
func TestJudge(t *testing.T) {
	f := func(status int, text string, want post.Verdict) {
		t.Helper()
		got := judge(&post.Answer{Status: status, Body: []byte(text), Lines: 100})
		if got.Err != nil && !strings.Contains(got.Err.Error(), fmt.Sprint(status)) {
			t.Errorf("the error is %v", got.Err)
		}
		if got.Err = nil; got != want {
			t.Errorf("%d %q is %+v, want %+v", status, text, got, want)
		}
	}
	refused := func(n int, reason string) post.Verdict { return post.Verdict{Rejected: n, Reason: reason} }
	f(204, "", post.Verdict{})
	f(429, "Ingestion rate limit exceeded for user fake", post.Verdict{Retry: true})
	f(500, "", post.Verdict{Retry: true})
	f(413, "", post.Verdict{Split: true})
	f(401, "no org id", refused(100, "http_401"))
	f(400, "couldn't parse push request", refused(100, "http_400"))
	f(400, "3 errors like: Max entry size '256' bytes exceeded for stream '{a=\"b\"}' while adding an entry with length '300' bytes", refused(3, "too_long"))
	f(400, "2 errors like: entry for stream '{}' has timestamp too old: x, 1 errors like: entry for stream '{}' has timestamp too new: y", refused(3, "too_old"))
	f(400, "1 errors like: entry for stream '{}' has timestamp too new: y", refused(1, "too_new"))
	f(400, "entry with timestamp x ignored, reason: 'entry too far behind, entry timestamp is: x',\nuser 'fake', total ignored: 7 out of 90 for stream: {}", refused(7, "too_far_behind"))
	f(400, "entry with timestamp x ignored, reason: 'entry out of order',\ntotal ignored: 900 out of 900 for stream: {}", refused(100, "out_of_order"))
	f(400, "99999999999999999999 errors like: x", refused(100, "http_400"))
}

// A 400 that names some lines settles all of them, and counts those.
func TestPartlyRefused(t *testing.T) {
	server := adaptertest.StartHTTP(t, adaptertest.Serves, nil, func(w http.ResponseWriter, _ *http.Request, _ []byte) ([][]byte, error) {
		http.Error(w, "1 errors like: entry for stream '{}' has timestamp too old: x", http.StatusBadRequest)
		return nil, nil
	})
	a := newTestAdapter(t, resolve(t, "http", server.Address(), nil))
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("a"), []byte("b"), []byte("c")), func(err error) { result <- err })
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	rejected, ok := (<-result).(*adapters.RejectedError)
	if !ok || len(rejected.Rejects) != 1 || rejected.Rejects[0].Reason != "too_old" {
		t.Fatalf("got %v", rejected)
	}
}

// One round is 1,000 lines: encoded, compressed, posted over the loopback and
// acknowledged.
func BenchmarkPush(b *testing.B) {
	for _, format := range []string{"protobuf", "json"} {
		b.Run(format, func(b *testing.B) {
			adaptertest.BenchmarkHTTP(b, adaptertest.AccessLog(web(), 1000), func(address string) adapters.Adapter {
				return newTestAdapter(b, resolve(b, "http", address, map[string]string{"format": format}))
			})
		})
	}
}

// The encoding of a line allocates nothing.
func TestAppendAllocatesNothing(t *testing.T) {
	batch := adaptertest.AccessLog(web(), 1000)
	batch.Records[7].Line = []byte("not \xff UTF-8")
	l, err := newLabels(resolve(t, "http", "127.0.0.1:1", nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []post.Encoder{&protoEncoder{labels: l, metadata: true}, &jsonEncoder{labels: l, metadata: true}} {
		dst := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(10, func() {
			e.Begin(batch.Container)
			dst = dst[:0]
			for i := range batch.Records {
				dst, _ = e.Append(dst, &batch.Records[i])
			}
		}); n != 0 {
			t.Errorf("%T: %v allocations", e, n)
		}
	}
}
