package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestParseRanges(t *testing.T) {
	f := func(list string, want ...int) {
		t.Helper()
		got, err := parseRanges(list)
		if fmt.Sprint(got) != fmt.Sprint(want) || (err == nil) != (want != nil) {
			t.Errorf("parseRanges(%q) = %v, %v, want %v", list, got, err, want)
		}
	}
	f("0", 0)
	f("0-3", 0, 1, 2, 3)
	f("0-1,4,6-7", 0, 1, 4, 6, 7)
	f("")
	f("a-b")
	f("0-b")
}

func TestMachineWithoutProcessors(t *testing.T) {
	families := gather(t, NewMachine(MachineOptions{Root: t.TempDir()}))
	if got := families["machine_scrape_error"].GetMetric()[0].GetGauge().GetValue(); got != 1 || len(families) != 2 {
		t.Errorf("machine_scrape_error = %v among %d families, want 1 among 2", got, len(families))
	}
}

// A processor that comes later is counted.
func TestMachineHotplug(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	online := filepath.Join(root, "sys/devices/system/cpu/online")
	if err := os.WriteFile(online, []byte("0-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := NewMachine(MachineOptions{Root: root})
	f := func(name string, want float64) {
		t.Helper()
		if got := gather(t, m)[name].GetMetric()[0].GetGauge().GetValue(); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	f("machine_cpu_cores", 2)
	f("machine_cpu_physical_cores", 1)
	if err := os.WriteFile(online, []byte("0-3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f("machine_cpu_cores", 4)
	f("machine_cpu_physical_cores", 2)
	f("machine_cpu_sockets", 1)
}
