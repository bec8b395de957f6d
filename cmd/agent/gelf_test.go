package agent

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	library "github.com/Graylog2/go-gelf/gelf"
	"github.com/docker/docker/api/types/container"
)

// gelfReader is the reader of GELF's own library.
type gelfReader struct {
	address string

	mu sync.Mutex
	// All below is guarded by mu.
	messages []*library.Message
	err      error
}

// endOfReader is the text that ends a gelfReader: the library's reader cannot be
// closed.
const endOfReader = "this is the end of the test"

func startGELFReader(t *testing.T) *gelfReader {
	t.Helper()
	reader, err := library.NewReader("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gelfReader{address: reader.Addr()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := reader.ReadMessage()
			if err == nil && m.Short == endOfReader {
				return
			}
			g.mu.Lock()
			if err != nil {
				g.err = err
			} else {
				g.messages = append(g.messages, m)
			}
			g.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		conn, err := net.Dial("udp", g.address)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(`{"short_message":"` + endOfReader + `"}`)); err != nil {
			t.Error(err)
		}
		<-ended
		if g.err != nil {
			t.Errorf("the library's reader says: %v", g.err)
		}
	})
	return g
}

func (g *gelfReader) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.messages)
}

// Docker's gelf driver and the agent send the same messages of the same
// container, field by field, the time of each line included.
func TestGELFIsDockers(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	const lines = 20
	f := func(name string, theirOptions map[string]string, ourOptions url.Values) {
		t.Run(name, func(t *testing.T) {
			theirs, ours := startGELFReader(t), startGELFReader(t)
			label := fmt.Sprintf("gelf-%d-%s", os.Getpid(), name)
			ourOptions.Set("filter.labels", testLabel+":"+label)
			p := startReady(t, t.TempDir(), "gelf://"+ours.address+"?"+ourOptions.Encode())

			theirOptions["gelf-address"] = "udp://" + theirs.address
			d.start(d.make("", &container.Config{
				Cmd: []string{"gen", "-name", `ge"l<f>é`, "-lines", fmt.Sprint(lines), "-size", "120"},
				Labels: map[string]string{
					testLabel: label, "com.example.team": "blue", "plain": `ä "q" <b>`, "_under": "u",
				},
				Env: []string{"REGION=eu-1", "WITH=a=b"},
			}, &container.HostConfig{LogConfig: container.LogConfig{Type: "gelf", Config: theirOptions}}))
			p.eventually("all messages arrive", func() bool { return theirs.count() == lines && ours.count() == lines })

			for i, want := range theirs.messages {
				got := ours.messages[i]
				if age := time.Since(time.UnixMilli(int64(want.TimeUnix * 1000))); age < -time.Second || age > 10*time.Minute {
					t.Errorf("Docker's time %v is not in seconds", want.TimeUnix)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("message %d is\n%+v\nand Docker's\n%+v", i, got, want)
				}
				if i == 0 {
					t.Logf("both are %+v", got)
				}
			}
		})
	}
	f("default", map[string]string{}, url.Values{})
	const tag = "{{.Name}}/{{.ImageName}}/{{.FullID}}/{{.DaemonName}}/{{.Command}}/{{.Hostname}}/{{upper .ID}}"
	f("tag", map[string]string{"tag": tag, "gelf-compression-type": "none"}, url.Values{"tag": {tag}, "compression": {"none"}})
	f("attributes", map[string]string{"labels": "com.example.team,_under,missing", "env": "REGION,WITH", "gelf-compression-type": "zlib"},
		url.Values{"labels": {"com.example.team,_under,missing"}, "env": {"REGION,WITH"}, "compression": {"zlib"}})
	f("patterns", map[string]string{"labels-regex": "^(com|pla)", "env-regex": "^(REG|W)"},
		url.Values{"labels-regex": {"^(com|pla)"}, "env-regex": {"^(REG|W)"}, "compression": {"gzip"}})
}
