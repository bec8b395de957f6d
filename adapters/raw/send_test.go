package raw

import (
	"bytes"
	"fmt"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// BenchmarkSend sends batches of 1000 lines.
func BenchmarkSend(b *testing.B) {
	for _, length := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint("tcp/", length), func(b *testing.B) {
			lines := make([][]byte, 1000)
			for i := range lines {
				lines[i] = bytes.Repeat([]byte("x"), length)
			}
			batch := adaptertest.NewBatch(adaptertest.Containers(1)[0], lines...)
			adaptertest.BenchmarkTCP(b, batch, func(address string) adapters.Adapter {
				a, err := newAdapter(resolve(b, "tcp", address, nil), transport.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				return a
			})
		})
	}
}
