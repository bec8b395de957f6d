package metrics

import (
	"math"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// The process is shown as client_golang shows it.
func TestProcess(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{ReportErrors: true}))
	theirs, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	process := NewProcess()
	ours := gather(t, process)
	if len(ours) != len(theirs) {
		t.Errorf("%d families, want %d", len(ours), len(theirs))
	}
	for _, want := range theirs {
		got := ours[want.GetName()]
		if got == nil || got.GetType() != want.GetType() || got.GetHelp() != want.GetHelp() {
			t.Errorf("%s is %v", want.GetName(), got)
			continue
		}
		a, b := got.Metric[0], want.Metric[0]
		one, other := a.GetGauge().GetValue()+a.GetCounter().GetValue(), b.GetGauge().GetValue()+b.GetCounter().GetValue()
		// Other tests run meanwhile.
		if math.Abs(one-other) > 0.5*math.Abs(other)+10 {
			t.Errorf("%s is %v, want about %v", want.GetName(), one, other)
		}
	}
	w := writer{buf: make([]byte, 0, 1<<16)}
	if n := testing.AllocsPerRun(10, func() {
		w.buf = w.buf[:0]
		process.write(&w)
	}); n > 10 {
		t.Errorf("showing the process allocates %v times", n)
	}
}

// Where the folder's size does not tell, it is listed.
func TestCountFolder(t *testing.T) {
	counted, ok := countFolder("/proc/self/fd")
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	// Another test may have opened some.
	if !ok || counted < 3 || math.Abs(float64(counted-len(entries))) > 100 {
		t.Errorf("%d files are open, want about %d", counted, len(entries))
	}
	if _, ok := countFolder(t.TempDir() + "/none"); ok {
		t.Error("a folder that is not there is counted")
	}
}

// A name with a parenthesis does not move the columns.
func TestParseStat(t *testing.T) {
	stat, ok := parseStat([]byte("7 (a) b (c) S 1 2 3 4 -1 5 6 7 8 9 140 15 16 17 20 0 9 0 2200 2300 24 25\n"))
	if want := (processStat{155, 2200, 2300, 24}); !ok || stat != want {
		t.Errorf("%+v, want %+v", stat, want)
	}
	if _, ok := parseStat([]byte("7 (a) S 1 2")); ok {
		t.Error("a line that is cut counts")
	}
}
