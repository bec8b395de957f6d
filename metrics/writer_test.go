package metrics

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Whole numbers are rendered as strconv renders them.
func TestWholeNumbers(t *testing.T) {
	w := new(writer)
	f := func(value float64) {
		t.Helper()
		if got, want := string(w.appendValue(nil, value)), strconv.FormatFloat(value, 'g', -1, 64); got != want && math.Abs(value) >= 1e6 {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for power := 1.0; power < 1e19; power *= 10 {
		for _, near := range []float64{power - 1, power, power + 1, 3 * power, 123 * power} {
			f(near)
			f(-near)
		}
	}
	for _, value := range []float64{1<<53 - 1, 1 << 53, 1<<53 + 2, 1 << 63, math.MaxUint64} {
		f(value)
	}
	for range 100000 {
		f(float64(rand.Uint64() >> rand.IntN(64)))
	}
}

func BenchmarkWith(b *testing.B) {
	w := writer{block: containerBlock("/docker/"+limited, "web", "nginx:1.27", nil, nil)}
	f := func(name string, value float64, labels ...string) {
		b.Run(name, func(b *testing.B) {
			family := description{name: "container_network_receive_bytes_total", help: "x"}
			if len(labels) > 0 {
				family.labels = []string{"interface"}
			}
			w.begin(&family)
			for b.Loop() {
				w.buf = w.buf[:0]
				w.with(value, labels...)
			}
		})
	}
	f("small", 7)
	f("large", 6746112)
	f("fraction", 0.039281725)
	f("label", 7, "eth0")
}
