package httppost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
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

// take reads the lines of a request, for adaptertest.StartHTTP. Of objects it
// reads the messages alone, and so finds the suite's many lines fast.
func take(_ http.ResponseWriter, r *http.Request, body []byte) (lines [][]byte, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/" || int64(len(body)) != r.ContentLength {
		return nil, fmt.Errorf("not the request expected: %s %s of %d bytes", r.Method, r.URL, r.ContentLength)
	}
	if body, err = adaptertest.Unpack(r, body); err != nil {
		return nil, err
	}
	if r.Header.Get("Content-Type") == "text/plain; charset=utf-8" {
		for line := range bytes.Lines(body) {
			lines = append(lines, bytes.TrimSuffix(line, []byte("\n")))
		}
		return lines, nil
	}
	const before, behind = `"message":`, `,"container_id":`
	for {
		_, rest, found := bytes.Cut(body, []byte(before))
		message, next, whole := bytes.Cut(rest, []byte(behind))
		if !found || !whole {
			return lines, nil
		}
		var line string
		if err := json.Unmarshal(message, &line); err != nil {
			return nil, err
		}
		lines, body = append(lines, []byte(line)), next
	}
}

func posting() *adaptertest.Posting {
	return &adaptertest.Posting{Description: Description(), Take: take}
}

func TestConformance(t *testing.T) {
	run := func(name, transport string, options map[string]string) {
		t.Run(name, func(t *testing.T) { posting().Run(t, transport, options, options["format"] != "text") })
	}
	run("http", "http", nil)
	run("http array in lanes", "http", map[string]string{
		"format": "json", "compression": "gzip", "concurrency": "3", "max_lines": "777",
	})
	run("https text", "https", map[string]string{"format": "text", "compression": "zstd", "linger": "0s"})
}
