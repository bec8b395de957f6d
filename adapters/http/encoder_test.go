package httppost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// capture sends a batch to a server and returns the last request and its body.
func capture(t *testing.T, options map[string]string, b *record.Batch, change func(*adapters.Config)) (*http.Request, string) {
	t.Helper()
	var request *http.Request
	var text string
	server := adaptertest.StartHTTP(t, adaptertest.Serves, nil, func(_ http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error) {
		request, text = r, string(body)
		return nil, nil
	})
	c := resolve(t, "http", server.Address(), options)
	if change != nil {
		change(&c)
	}
	a := newTestAdapter(t, c)
	var failure error
	a.Send(t.Context(), b, func(err error) { failure = err })
	if err := a.Close(t.Context()); err != nil || failure != nil {
		t.Fatal(err, failure)
	}
	return request, text
}

func web() *record.Container {
	return &record.Container{
		ID: "0123456789abcdef", Name: "web", Image: "example/web:1",
		Labels: map[string]string{"team": "a\"b", "app": "shop", "x": ""},
	}
}

func twoLines() *record.Batch {
	return &record.Batch{Container: web(), Records: []record.Record{
		{Time: 1_700_000_000_000_000_042, Line: []byte("one \"\xff\"\n")},
		{Time: 1_700_000_000_999_999_999, Line: []byte("two"), Stream: record.Stderr},
	}}
}

func TestBodies(t *testing.T) {
	f := func(options map[string]string, kind, want string) {
		t.Helper()
		r, got := capture(t, options, twoLines(), nil)
		if got != want {
			t.Errorf("%v:\ngot  %s\nwant %s", options, got, want)
		}
		if got := r.Header.Get("Content-Type"); got != kind {
			t.Errorf("%v: the type is %q, want %q", options, got, kind)
		}
	}
	const object = `{"time":"%s","stream":"%s","message":"%s","container_id":"0123456789abcdef","container_name":"web","image":"example/web:1","host":"node7"%s}`
	one := func(labels string) string {
		return fmt.Sprintf(object, "2023-11-14T22:13:20.000000042Z", "stdout", `one \"`+"\ufffd"+`\"\n`, labels)
	}
	two := func(labels string) string {
		return fmt.Sprintf(object, "2023-11-14T22:13:20.999999999Z", "stderr", "two", labels)
	}
	f(nil, "application/x-ndjson", one("")+"\n"+two("")+"\n")
	f(map[string]string{"format": "json"}, "application/json", "["+one("")+","+two("")+"]")
	f(map[string]string{"format": "text"}, "text/plain; charset=utf-8", "one \"\xff\" \ntwo\n")
	some := `,"labels":{"app":"shop","team":"a\"b"}`
	f(map[string]string{"labels": "team, app,none,app"}, "application/x-ndjson", one(some)+"\n"+two(some)+"\n")
	all := `,"labels":{"app":"shop","team":"a\"b","x":""}`
	f(map[string]string{"labels": "*"}, "application/x-ndjson", one(all)+"\n"+two(all)+"\n")
	f(map[string]string{"header.content-type": "application/stream+json"}, "application/stream+json", one("")+"\n"+two("")+"\n")
}

func TestRequest(t *testing.T) {
	f := func(options map[string]string, change func(*adapters.Config), url string, header map[string]string) {
		t.Helper()
		r, _ := capture(t, options, twoLines(), change)
		if r.Method != http.MethodPost || r.URL.String() != url {
			t.Errorf("%v: the request is %s %s, want POST %s", options, r.Method, r.URL, url)
		}
		for name, want := range header {
			got := r.Header.Get(name)
			if name == "Host" {
				got = r.Host
			}
			if got != want {
				t.Errorf("%v: the header %s is %q, want %q", options, name, got, want)
			}
		}
	}
	f(nil, nil, "/", map[string]string{"User-Agent": "tallyman", "Authorization": "", "Content-Encoding": ""})
	f(map[string]string{"query": "_msg_field=message&a=%20", "compression": "gzip"},
		func(c *adapters.Config) { c.Path = "/insert/jsonline" },
		"/insert/jsonline?_msg_field=message&a=%20", map[string]string{"Content-Encoding": "gzip"})
	f(nil, func(c *adapters.Config) { c.User = url.UserPassword("ann", "p:w") }, "/",
		map[string]string{"Authorization": "Basic YW5uOnA6dw=="})
	f(map[string]string{"token": "t0k"}, nil, "/", map[string]string{"Authorization": "Bearer t0k"})
	f(map[string]string{"header.x-tenant": "a b", "header.Host": "example.com", "header.Authorization": "Splunk x"}, nil, "/",
		map[string]string{"X-Tenant": "a b", "Host": "example.com", "Authorization": "Splunk x"})
}

// What is malformed is refused, and no secret is shown.
func TestBadOptions(t *testing.T) {
	const secret = "s3cret"
	f := func(options map[string]string, want string) {
		t.Helper()
		_, err := Description().New(resolve(t, "https", "127.0.0.1:443", options))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	f(map[string]string{"max_bytes": "1023"}, `bad value "1023" of option "max_bytes"; it is a number from 1024 to 67108864`)
	f(map[string]string{"max_lines": "0"}, `bad value "0" of option "max_lines"; it is a number from 1 to 1000000`)
	f(map[string]string{"concurrency": "17"}, `bad value "17" of option "concurrency"; it is a number from 1 to 16`)
	f(map[string]string{"linger": "2m"}, `bad value "2m" of option "linger"; it is a time such as 500ms or 2s, from 0s to 1m0s`)
	f(map[string]string{"timeout": "5"}, `bad value "5" of option "timeout"; it is a time such as 500ms or 2s, from 10ms to 10m0s`)
	f(map[string]string{"retry_status": "401,x"}, `bad value "401,x" of option "retry_status"; it is statuses from 400 to 599, separated by commas`)
	f(map[string]string{"retry_status": "200"}, `bad value "200" of option "retry_status"`)
	f(map[string]string{"proxy": "ftp://u:" + secret + "@p:1"}, `bad value of option "proxy"; it is written http://host:port`)
	f(map[string]string{"proxy": "http://u:" + secret + "@%%"}, `bad value of option "proxy"`)
	f(map[string]string{"token": secret + "\n"}, `bad value of option "token": the value of header "Authorization" holds a control character`)
	f(map[string]string{"header.X": secret + "\r"}, `bad option "header.X": the value of header "X" holds a control character`)
	f(map[string]string{"header.X Y": secret}, `bad option "header.X Y": "X Y" is no name of a header`)
	f(map[string]string{"header.Content-Length": secret}, `bad option "header.Content-Length": this header cannot be chosen`)
	f(map[string]string{"header.X-A": "1", "header.x-a": "2"}, `the header "X-A" is given twice`)
	f(map[string]string{"token": secret, "header.Authorization": secret}, `a user in the URI, the option "token" and`)
	f(map[string]string{"query": secret + " x"}, `bad value of option "query": it holds a character that has to be escaped`)
	f(map[string]string{"tls.ca": "/none"}, "reading the CA file: open /none")
}

// object is what a server reads of a line.
type object struct {
	Time          time.Time         `json:"time"`
	Stream        string            `json:"stream"`
	Message       string            `json:"message"`
	ContainerID   string            `json:"container_id"`
	ContainerName string            `json:"container_name"`
	Image         string            `json:"image"`
	Host          string            `json:"host"`
	Labels        map[string]string `json:"labels"`
}

// Whatever the bytes, an object is valid JSON on one line, and says what Go's own
// decoder would read from the line.
func FuzzObjects(f *testing.F) {
	f.Add([]byte("plain"), "web", "label", int64(0))
	f.Add([]byte("\xff\xc3\"\\\x00\u2028\n"), "\xff\"", "\n\\", int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, line []byte, name, label string, at int64) {
		clean := func(s string) string { return string([]rune(s)) }
		c := &record.Container{ID: "1", Name: name, Labels: map[string]string{label: name}}
		for _, array := range []bool{false, true} {
			o := newObjects(adapters.Config{Options: map[string]string{"labels": "*"}}, array)
			o.Begin(c)
			frame, _ := o.Append(nil, &record.Record{Time: at, Line: line})
			if array {
				frame = frame[1:] // The comma.
			} else if i := bytes.IndexByte(frame, '\n'); i != len(frame)-1 {
				t.Fatalf("a newline at %d of %q", i, frame)
			}
			var got object
			if err := json.Unmarshal(frame, &got); err != nil {
				t.Fatalf("%q: %v", frame, err)
			}
			want := object{
				Time: time.Unix(0, at).UTC(), Stream: "stdout", Message: clean(string(line)),
				ContainerID: "1", ContainerName: clean(name), Labels: map[string]string{clean(label): clean(name)},
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	})
}

// One round is 1,000 lines of about 95 bytes: encoded, compressed, posted over
// the loopback and acknowledged.
func BenchmarkPost(b *testing.B) {
	for _, compression := range []string{post.None, post.Gzip, post.Zstd} {
		b.Run(compression, func(b *testing.B) {
			adaptertest.BenchmarkHTTP(b, adaptertest.AccessLog(web(), 1000), func(address string) adapters.Adapter {
				return newTestAdapter(b, resolve(b, "http", address, map[string]string{"compression": compression}))
			})
		})
	}
}

// The encoding of a line allocates nothing.
func TestAppendAllocatesNothing(t *testing.T) {
	batch := adaptertest.AccessLog(web(), 1000)
	for _, format := range []string{"ndjson", "json", "text"} {
		var e post.Encoder = text{}
		if format != "text" {
			e = newObjects(resolve(t, "http", "127.0.0.1:1", nil), format == "json")
		}
		dst := make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(10, func() {
			e.Begin(batch.Container)
			dst = dst[:0]
			for i := range batch.Records {
				dst, _ = e.Append(dst, &batch.Records[i])
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", format, n)
		}
	}
}
