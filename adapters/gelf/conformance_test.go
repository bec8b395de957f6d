package gelf

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/post"
)

// splitNUL is the Split of GELF over TCP. With textByLibrary it does what the
// library's TCPReader does, whose constructor is not exported: it reads to a NUL
// and unmarshals a Message.
func splitNUL(data []byte) (length int, message []byte) {
	i := bytes.IndexByte(data, 0)
	return i + 1, data[:max(i, 0)]
}

// textByLibrary returns the text of a message as the library reads it.
func textByLibrary(message []byte) []byte {
	var m library.Message
	if err := json.Unmarshal(message, &m); err != nil {
		return fmt.Appendf(nil, "no message: %v in %.200q", err, message)
	}
	if m.Version != "1.1" || m.Host == "" || m.TimeUnix == 0 {
		return fmt.Appendf(nil, "version %q, host %q, time %v", m.Version, m.Host, m.TimeUnix)
	}
	return []byte(m.Short)
}

// readerServer is an adaptertest.Server that is the library's reader.
type readerServer struct {
	reader *library.Reader

	mu sync.Mutex
	// All below is guarded by mu.
	messages []*library.Message
	err      error
}

// endOfTest is the text that ends a readerServer: the library's reader cannot be
// closed.
const endOfTest = "this is the end of the test"

func startReader(t *testing.T) *readerServer {
	t.Helper()
	reader, err := library.NewReader("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &readerServer{reader: reader}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := reader.ReadMessage()
			if err == nil && m.Short == endOfTest {
				return
			}
			s.mu.Lock()
			if err != nil {
				s.err = err
			} else {
				s.messages = append(s.messages, m)
			}
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		conn, err := net.Dial("udp", reader.Addr())
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(`{"short_message":"` + endOfTest + `"}`)); err != nil {
			t.Error(err)
		}
		<-ended
		if s.err != nil {
			t.Errorf("the library's reader says: %v", s.err)
		}
	})
	return s
}

func (s *readerServer) Address() string { return s.reader.Addr() }

func (s *readerServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.messages)
}

func (s *readerServer) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := make([][]byte, len(s.messages))
	for i, m := range s.messages {
		lines[i] = []byte(m.Short)
	}
	return lines
}

func TestConformance(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	run := func(name, transportName string, suite adaptertest.Suite, o options) {
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			o = maps.Clone(o)
			o["blank"] = "send"
			web := slices.Contains(post.Transports(), transportName)
			if transportName == "tls" || transportName == "https" {
				config = certificates.Server
				o["tls.ca"] = certificates.CAFile
			}
			suite.UTF8 = true
			var mute bool
			suite.Start = func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
				mute = mode == adaptertest.Mute
				switch transportName {
				case "udp":
					return startReader(t)
				case "http", "https":
					return startGraylog(t, mode, config, nil)
				}
				return adaptertest.StartTCP(t, mode, config, adaptertest.Format{Split: splitNUL, Line: textByLibrary})
			}
			suite.New = func(t *testing.T, address string) adapters.Adapter {
				// A server that never reads is given up soon; one that works may take
				// what time it needs on a busy machine.
				o, limits := maps.Clone(o), transport.Limits{}
				switch {
				case mute && web:
					o["timeout"] = "300ms"
				case mute:
					limits.WriteTimeout, limits.AckTimeout = 200*time.Millisecond, 400*time.Millisecond
				}
				a, err := newAdapter(resolve(t, transportName, address, o), limits)
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			adaptertest.Run(t, suite)
		})
	}
	// The kernel's buffer does not hold more chunks of one message than this.
	run("udp none", "udp", adaptertest.Suite{Lossy: true, MaxLine: 60000}, options{"compression": "none"})
	run("udp auto", "udp", adaptertest.Suite{Lossy: true}, options{})
	run("tcp", "tcp", adaptertest.Suite{Slow: true}, options{})
	run("tls", "tls", adaptertest.Suite{Slow: true}, options{})
	run("https", "https", adaptertest.Suite{Slow: true}, options{"max_bytes": "2097152", "compression": "gzip"})
	run("http bulk", "http", adaptertest.Suite{Slow: true}, options{"max_bytes": "2097152", "bulk": "true", "linger": "5ms"})
}
