package gelf

import (
	"os"
	"testing"

	"tallyman/adapters/adaptertest"
)

// An input that is restarted misses no line, whether a request carries one
// message or many.
func TestRestarts(t *testing.T) {
	f := func(name string, lines int, o options) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Getenv("TALLYMAN_SOAK") != "" {
				lines *= 10
			}
			g := &graylog{clients: make(map[string]bool)}
			server := adaptertest.StartRestartableHTTP(t, g.take)
			a := mustAdapter(t, resolve(t, "http", server.Address(), o))
			adaptertest.DeliverThroughRestarts(t, server, a, lines, server.Restart)
		})
	}
	f("bulk", 20_000, options{"bulk": "true", "max_bytes": "20000", "linger": "1ms", "timeout": "5s"})
	f("one message a request", 2000, options{"timeout": "5s"})
}
