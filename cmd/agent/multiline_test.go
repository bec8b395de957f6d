package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// spoken are messages by their container and stream, in order.
type spoken struct {
	mu       sync.Mutex
	messages map[string][]string
}

// hear takes messages over TCP until the test ends: a line of JSON for each, with
// the keys Source and Data, behind the container's name.
func hear(t *testing.T) (s *spoken, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &spoken{messages: make(map[string][]string)}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				lines.Buffer(nil, 1<<20)
				for lines.Scan() {
					s.take(lines.Text())
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return s, l.Addr().String()
}

func (s *spoken) take(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, text, _ := strings.Cut(line, "|")
	var message string
	if err := json.Unmarshal([]byte(text), &message); err != nil {
		message = "not JSON: " + line
	}
	s.messages[key] = append(s.messages[key], message)
}

func (s *spoken) of(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages[key])
}

// TestMultilineOfContainers has containers write the stack traces of five
// languages to both streams at once, while their logs are rotated. Every trace
// arrives whole, in order, with nothing of another container or stream, and the
// last one within its time while its container lives on. A copy of them whose
// logs come through the engine's API is no different.
func TestMultilineOfContainers(t *testing.T) {
	const rounds, flush = 15, 10 * time.Second
	d := newDocker(t)
	heard, address := hear(t)
	format := url.QueryEscape("{{.ContainerName}} {{.Source}}|{{toJSON .Data}}\n")
	p := startReady(t, t.TempDir(), "raw+tcp://"+address+"?"+filterLabel("traces-")+"&multiline.flush="+flush.String()+"&format="+format)
	want := make(map[string][]string)
	var all []string
	for _, driver := range []string{"json-file", "local"} {
		corpus, err := filepath.Glob("../../routes/multiline/testdata/*.txt")
		if err != nil || len(corpus) < 5 {
			t.Fatalf("the corpus is %q, %v", corpus, err)
		}
		for _, file := range corpus {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			preset := strings.TrimSuffix(filepath.Base(file), ".txt")
			messages := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n---8<---\n")
			name := fmt.Sprintf("traces-%s-%s-%d", driver, preset, os.Getpid())
			for n := range rounds {
				want[name] = append(append(want[name], messages...), fmt.Sprint("round ", n))
			}
			host := &container.HostConfig{LogConfig: container.LogConfig{Type: driver}}
			if driver == "json-file" {
				host.LogConfig.Config = map[string]string{"max-size": "25k", "max-file": "40"}
			}
			all = append(all, d.make(name, &container.Config{
				Cmd:    []string{"say", "-times", fmt.Sprint(rounds), "-pause", "1ms", "-behind", "7", "-hold", "10m"},
				Env:    []string{"TEXT=" + strings.Join(messages, "\n")},
				Labels: map[string]string{testLabel: "traces-", "tallyman.multiline": preset},
			}, host))
		}
	}
	for _, id := range all {
		d.start(id)
	}
	for name, messages := range want {
		for _, stream := range []string{"stdout", "stderr"} {
			key, deadline := name+" "+stream, time.Now().Add(patience)
			for len(heard.of(key)) < len(messages) && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
			}
			got := heard.of(key)
			i := 0
			for i < len(got) && i < len(messages) && got[i] == messages[i] {
				i++
			}
			if i < max(len(got), len(messages)) {
				_, tally, _ := p.get("/api/v1/tally")
				t.Fatalf("%s: %d messages came, want %d; from number %d on they are\n%q, want\n%q\n%s", key, len(got), len(messages), i,
					got[i:min(i+3, len(got))], messages[i:min(i+3, len(messages))], tally)
			}
		}
	}
	if code, _, err := p.get("/health"); err != nil || code != http.StatusOK {
		t.Fatalf("/health answers %d, %v", code, err)
	}
}
