package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// historyLines is how many lines there are when the agent starts.
const historyLines = 6000

func demoContainers() []fakeContainer {
	const mib = 1 << 20
	running := func(name, image, group, service string, cpu float64, memory, limit int64, lines float64) fakeContainer {
		return fakeContainer{
			Name: name, Image: image, Group: group, Service: service, State: "running", Status: "Up 3 days", Health: "healthy",
			LogDriver: "json-file", Reader: "file", LinesPerSecond: lines,
			Now: &usage{cpu, memory, limit, cpu * 21e3, cpu * 64e3, cpu * 900, cpu * 11e3, int(cpu) + 4},
		}
	}
	list := []fakeContainer{
		running("web-1", "registry.example.com/shop/web:4.12.0", "shop", "web", 12.4, 310*mib, 512*mib, 84),
		running("web-2", "registry.example.com/shop/web:4.12.0", "shop", "web", 9.1, 298*mib, 512*mib, 77),
		running("checkout", "registry.example.com/shop/checkout:2.8.1", "shop", "checkout", 31.7, 468*mib, 512*mib, 41),
		running("postgres", "postgres:17.2", "shop", "db", 6.3, 1220*mib, 2048*mib, 3.2),
		running("redis", "redis:7.4-alpine", "shop", "cache", 1.8, 41*mib, 0, 0.1),
		running("prometheus", "prom/prometheus:v3.1.0", "monitoring", "prometheus", 3.9, 612*mib, 0, 0.4),
		running("grafana", "grafana/grafana:11.4.0", "monitoring", "grafana", 0.7, 148*mib, 0, 0.2),
		running("traefik", "traefik:v3.2", "", "", 4.4, 96*mib, 0, 122),
		{Name: "migrate", Image: "registry.example.com/shop/web:4.12.0", Group: "shop", Service: "migrate", State: "exited", Status: "Exited (0) 3 days ago", Reader: "file"},
		{Name: "report-job", Image: "registry.example.com/shop/report:1.3.0", State: "exited", Status: "Exited (137) 2 hours ago", ExitCode: 137, OOMKilled: true, Reader: "file"},
	}
	list[2].Health, list[2].Restarts = "unhealthy", 1
	for i := range list {
		sum := sha256.Sum256([]byte(list[i].Name))
		list[i].ID = hex.EncodeToString(sum[:])
		list[i].Labels = map[string]string{}
	}
	return list
}

// demoLines are lines of the last hour.
func demoLines(containers []fakeContainer, now time.Time) []fakeLine {
	kinds := []struct{ name, stream, level, text string }{
		{"web-1", "stdout", "info", `GET /products/%d 200 12ms`},
		{"web-2", "stdout", "info", `GET /cart 200 8ms session=%d`},
		{"checkout", "stdout", "info", `{"time":"2026-11-21T10:02:11Z","level":"info","msg":"order accepted","order":9007199254740993%d,"items":3,"total":"41.90"}`},
		{"traefik", "stdout", "info", `10.0.4.17 - "GET /products/%d HTTP/2.0" 200 1824 "web@docker" 14ms`},
		{"web-1", "stdout", "debug", "\x1b[36mcache\x1b[0m hit product:%d"},
		{"postgres", "stderr", "info", `LOG:  checkpoint complete: wrote %d buffers`},
		{"checkout", "stderr", "warning", `{"level":"warn","msg":"payment provider is slow","provider":"acme","ms":%d}`},
		{"web-2", "stdout", "info", `POST /cart 201 21ms session=%d`},
		{"traefik", "stdout", "info", `10.0.4.9 - "GET /img/%d.webp HTTP/2.0" 304 0 "web@docker" 1ms`},
		{"web-1", "stderr", "error", "\x1b[31;1mERROR\x1b[0m dialing redis: connection refused (attempt %d), see https://example.com/runbook"},
		{"grafana", "stdout", "unknown", `logger=cleanup expired snapshots=%d`},
		{"report-job", "stdout", "info", `row %d of 80000`},
		{"migrate", "stdout", "info", `applied migration %d`},
	}
	index := make(map[string]fakeContainer)
	for _, c := range containers {
		index[c.Name] = c
	}
	lines := make([]fakeLine, historyLines)
	for i := range lines {
		// Containers that ended wrote only the oldest lines.
		kind := kinds[len(kinds)-2:][i%2]
		if i > 40 {
			kind = kinds[int(uint32(i)*2654435761>>16)%(len(kinds)-2)]
		}
		at := now.Add(-time.Duration(historyLines-i) * 600 * time.Millisecond)
		lines[i] = lineOf(index[kind.name], i, at, kind.stream, kind.level, fmt.Sprintf(kind.text, 100+i*37%900))
	}
	return lines
}

func demoRoutes() []map[string]any {
	amount := func(lines, size int) map[string]any { return map[string]any{"lines": lines, "bytes": size} }
	return []map[string]any{
		{
			"route": "syslog+tls://logs.example.com:6514", "identity": "syslog", "down": false, "behind_bytes": 0, "lag_seconds": 0,
			"containers": 10, "read": amount(4812077, 612e6), "delivered": amount(4811920, 611e6), "filtered": amount(0, 0),
			"in_flight": amount(157, 20e3), "resent": amount(0, 0), "balanced": true,
		},
		{
			"route": "gelf://graylog.example.com:12201?filter.name=web-*", "identity": "gelf", "down": true, "behind_bytes": 18400000, "lag_seconds": 742,
			"problem": "dialing tcp graylog.example.com:12201: connect: connection refused", "containers": 2,
			"read": amount(201883, 25e6), "delivered": amount(198114, 24e6), "filtered": amount(3757, 1e6),
			"dropped":   []map[string]any{{"reason": "too_long", "lines": 12, "bytes": 1200000}},
			"in_flight": amount(0, 0), "resent": amount(412, 50e3), "balanced": true,
		},
	}
}

func demoTally(routes []map[string]any, containers []fakeContainer) []map[string]any {
	var list []map[string]any
	for _, route := range routes {
		var accounts []map[string]any
		for i, c := range containers {
			read := map[string]any{"lines": 48000 / (i + 1), "bytes": 6000000 / (i + 1)}
			accounts = append(accounts, map[string]any{
				"id": c.ID, "name": c.Name, "read": read, "delivered": read, "filtered": map[string]any{}, "in_flight": map[string]any{},
				"resent": map[string]any{}, "behind_bytes": 0, "complete": true,
			})
		}
		list = append(list, map[string]any{"route": route["route"], "identity": route["identity"], "containers": accounts})
	}
	return list
}

func demoEvents(containers []fakeContainer, now time.Time) []map[string]any {
	event := func(i int, ago time.Duration, what string) map[string]any {
		return map[string]any{"time": now.Add(-ago).Format(time.RFC3339Nano), "container": containers[i].ID, "name": containers[i].Name, "what": what}
	}
	health := event(2, 4*time.Minute, "health")
	health["health"] = "unhealthy"
	died := event(9, 2*time.Hour, "die")
	died["exit_code"] = 137
	ended := event(2, 150*time.Second, "die")
	ended["exit_code"] = 137
	return []map[string]any{
		event(0, 3*24*time.Hour, "start"), event(9, 2*time.Hour+time.Second, "oom"), died,
		health, event(2, 151*time.Second, "oom"), ended, event(2, 149*time.Second, "start"),
	}
}

func (a *agent) serveHost(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"name": "quay-1", "version": "1.4.0", "healthy": true, "problem": "", "notes": []string{},
		"engine": map[string]string{"version": "29.1.3", "api": "1.52", "driver": "overlay2", "os": "Debian GNU/Linux 13", "kernel": "6.12.48"},
		"cpus":   8, "memory_bytes": int64(16) << 30, "memory_used_bytes": int64(53) << 27, "cpu_percent": 31.4,
		"load": []float64{2.41, 2.2, 1.97}, "uptime_seconds": 273600,
	})
}

// serveStats tells curves that look like those of a service.
func (a *agent) serveStats(w http.ResponseWriter, r *http.Request) {
	points, interval := 300, time.Second
	switch r.FormValue("window") {
	case "1h":
		points, interval = 360, 10*time.Second
	case "24h":
		points, interval = 1440, time.Minute
	}
	phase := float64(r.PathValue("id")[0]) + float64(r.PathValue("id")[1])/7
	now := time.Now().Truncate(interval)
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.containers, func(c fakeContainer) bool { return c.ID == r.PathValue("id") })
	list := make([]map[string]any, 0, points)
	if i < 0 || a.containers[i].Now == nil {
		answer(w, map[string]any{"interval_seconds": int(interval.Seconds()), "points": list})
		return
	}
	use := *a.containers[i].Now
	for n := range points {
		at := now.Add(-time.Duration(points-1-n) * interval)
		x := float64(at.Unix()) / interval.Seconds()
		wave := 1 + 0.3*math.Sin(x/31+phase) + 0.15*math.Sin(x/9+2*phase) + 0.06*math.Sin(x/2.3)
		slow := 1 + 0.06*math.Sin(x/90+phase)
		list = append(list, map[string]any{
			"t": at.Format(time.RFC3339Nano), "cpu_percent": use.CPU * wave, "memory_bytes": int64(float64(use.Memory) * slow),
			"network_rx_bps": use.RX * wave, "network_tx_bps": use.TX * wave * wave, "disk_read_bps": use.Read * slow, "disk_write_bps": use.Write * wave,
		})
	}
	answer(w, map[string]any{"interval_seconds": int(interval.Seconds()), "points": list})
}
