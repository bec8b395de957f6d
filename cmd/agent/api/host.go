package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Host is what GET /api/v1/host says.
type Host struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Engine  struct {
		Version string `json:"version"`
		API     string `json:"api"`
		Driver  string `json:"driver"`
		OS      string `json:"os"`
		Kernel  string `json:"kernel"`
	} `json:"engine"`
	CPUs        int        `json:"cpus"`
	MemoryBytes int64      `json:"memory_bytes"`
	Uptime      float64    `json:"uptime_seconds"`
	Healthy     bool       `json:"healthy"`
	Problem     string     `json:"problem"`
	Notes       []string   `json:"notes"`
	Load        [3]float64 `json:"load"`
	CPUPercent  float64    `json:"cpu_percent"`
	MemoryUsed  int64      `json:"memory_used_bytes"`
}

// Health is how the agent is, as /health says as JSON too.
type Health struct {
	Healthy bool     `json:"healthy"`
	Version string   `json:"version"`
	Problem string   `json:"problem,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

func (a *Server) serveHost(w http.ResponseWriter, _ *http.Request) error {
	info := a.Collector.Status().Engine
	health := a.Health()
	h := Host{
		Name: info.Name, Version: a.Version, CPUs: info.NCPU, MemoryBytes: info.MemTotal,
		Uptime: time.Since(a.begun).Seconds(), Healthy: health.Healthy, Problem: health.Problem, Notes: health.Notes,
	}
	if h.Notes == nil {
		h.Notes = []string{}
	}
	h.Engine.Version, h.Engine.API, h.Engine.Driver = info.Version, info.APIVersion, info.LoggingDriver
	h.Engine.OS, h.Engine.Kernel = info.OS, info.Kernel
	h.Load, h.MemoryUsed = a.machine.load(), a.machine.memoryUsed()
	h.CPUPercent = a.machine.cpuPercent(time.Now())
	return writeJSON(w, h)
}

// machine reads what the kernel tells of the whole machine, below the folder
// proc. What cannot be read is 0.
type machine struct {
	proc string

	mu sync.Mutex // guards what follows
	// busy and all are the ticks of the processors at the time at, percent what
	// they had done before it.
	busy, all uint64
	at        time.Time
	percent   float64
}

func (m *machine) load() (load [3]float64) {
	text, err := os.ReadFile(filepath.Join(m.proc, "loadavg"))
	if err == nil {
		_, _ = fmt.Sscan(string(text), &load[0], &load[1], &load[2]) // What cannot be read stays 0.
	}
	return load
}

// memoryUsed returns the memory that could not be had at once.
func (m *machine) memoryUsed() int64 {
	text, err := os.ReadFile(filepath.Join(m.proc, "meminfo"))
	if err != nil {
		return 0
	}
	var total, available int64
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		switch name {
		case "MemTotal":
			_, _ = fmt.Sscan(rest, &total)
		case "MemAvailable":
			_, _ = fmt.Sscan(rest, &available)
		}
	}
	return (total - available) << 10
}

// cpuPercent returns how busy all processors were since it was last asked, a
// second ago at least; 100 is all of them.
func (m *machine) cpuPercent(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.at) < time.Second {
		return m.percent
	}
	text, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	// user, nice, system, idle, iowait, irq, softirq, steal: proc(5).
	var ticks [8]uint64
	rest := strings.TrimPrefix(first, "cpu")
	reader := strings.NewReader(rest)
	var all uint64
	for i := range ticks {
		_, _ = fmt.Fscan(reader, &ticks[i])
		all += ticks[i]
	}
	busy := all - ticks[3] - ticks[4]
	if !m.at.IsZero() && all > m.all && busy >= m.busy {
		m.percent = 100 * float64(busy-m.busy) / float64(all-m.all)
	}
	m.busy, m.all, m.at = busy, all, now
	return m.percent
}

// lineRates tells how many lines a second containers write, by what was added to
// their files since it was last asked.
type lineRates struct {
	mu   sync.Mutex // guards what follows
	seen map[string]lineRate
}

type lineRate struct {
	at   time.Time
	size int64
	rate float64
}

// countedAtMost is how many bytes lines are counted in; what is more is taken to
// be like them.
const countedAtMost = 128 << 10

// rate returns the lines a second of a container whose file lies in a folder,
// 0 when it is asked for the first time.
func (l *lineRates) rate(dir, id string, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, known := l.seen[id]
	if known && now.Sub(last.at) < time.Second {
		return last.rate
	}
	file, err := os.Open(filepath.Join(dir, id, id+"-json.log"))
	if err != nil {
		return 0
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0
	}
	next := lineRate{at: now, size: size}
	// A file that has become shorter is a new one.
	if added := size - last.size; known && added > 0 && now.Sub(last.at) < time.Minute {
		text := make([]byte, min(added, countedAtMost))
		n, err := file.ReadAt(text, size-int64(len(text)))
		if err == nil && n > 0 {
			lines := float64(bytes.Count(text[:n], []byte{'\n'})) * float64(added) / float64(n)
			next.rate = lines / now.Sub(last.at).Seconds()
		}
	}
	if l.seen == nil || len(l.seen) > maxFound {
		l.seen = make(map[string]lineRate)
	}
	l.seen[id] = next
	return next.rate
}
