package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tallyman/adapters/httpstream"
	"tallyman/routes"
)

// The limits of the HTTP server.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	maxViewers        = 256
)

// newServer returns the HTTP server. Streams end with ctx.
func (a *agent) newServer(ctx context.Context) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.serveHealth)
	mux.HandleFunc("GET /logs", a.serveLogs)
	mux.HandleFunc("GET /logs/{selector}", a.serveLogs)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{
		ErrorLog:      metricsErrors{a},
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      a.registry,
	}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "tallyman "+version+"\n\n/logs     the containers' lines as they come\n/metrics  for Prometheus\n/health   how the agent is\n")
	})
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
}

// metricsErrors writes what went wrong in a scrape to the log.
type metricsErrors struct{ *agent }

func (m metricsErrors) Println(v ...any) {
	m.logger.Error("collecting metrics", "error", fmt.Sprint(v...))
}

// serveLogs streams lines: /logs, /logs/name:PATTERN, /logs/id:PREFIX, each with
// ?sources=stdout or stderr.
func (a *agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	filter, names, err := logsFilter(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.table.Viewers() >= maxViewers {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d clients are watching already", maxViewers), http.StatusServiceUnavailable)
		return
	}
	format := httpstream.Text(names)
	if wantsJSONLines(r.Header.Get("Accept")) {
		format = httpstream.JSONLines()
	}
	stream := httpstream.New(format)
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.table.Stream(ctx, "viewer "+r.RemoteAddr, filter, stream)
	}()
	if err := stream.Serve(ctx, w); err != nil {
		a.logger.Debug("a viewer has gone", "client", r.RemoteAddr, "error", err)
	}
	cancel()
	<-ended
}

// logsFilter reads what a request wants to see, and whether names are shown:
// they are unless it can be one container only.
func logsFilter(r *http.Request) (filter routes.Filter, names bool, err error) {
	names = true
	if selector := r.PathValue("selector"); selector != "" {
		word, value, _ := strings.Cut(selector, ":")
		switch word {
		case "name":
			names = strings.ContainsAny(value, "*?[")
			err = filter.Set("filter.name", value)
		case "id":
			names = false
			err = filter.Set("filter.id", value)
		default:
			err = fmt.Errorf("unknown selector %q; known are /logs/name:PATTERN, /logs/id:PREFIX", selector)
		}
	}
	for _, key := range []string{"sources", "source"} {
		if value := r.URL.Query().Get(key); value != "" && err == nil {
			err = filter.Set("filter.sources", value)
		}
	}
	return filter, names, err
}

func wantsJSONLines(accept string) bool {
	for _, part := range strings.Split(accept, ",") {
		mime, _, _ := strings.Cut(part, ";")
		switch strings.TrimSpace(mime) {
		case "application/x-ndjson", "application/jsonl", "application/x-jsonlines":
			return true
		}
	}
	return false
}

// healthReport is what /health says as JSON.
type healthReport struct {
	Healthy bool     `json:"healthy"`
	Version string   `json:"version"`
	Problem string   `json:"problem,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// health is unhealthy while the engine or the logs cannot be reached. What is
// wrong beyond the agent, such as a destination that is down, is only noted: a
// restart would not help.
func (a *agent) health() healthReport {
	s := a.collector.Status()
	h := healthReport{Version: version, Problem: s.Problem}
	if !s.Connected {
		h.Problem = "the container engine: " + s.Problem
	}
	h.Healthy = h.Problem == ""
	if _, err := a.files.get(); err != nil {
		h.Notes = append(h.Notes, "all logs are read through the engine's API: "+err.Error())
	}
	for _, u := range s.Unreadable {
		h.Notes = append(h.Notes, fmt.Sprintf("container %s: %s", u.Name, u.Reason))
	}
	for _, r := range a.table.Routes() {
		if lag := r.Lag(); lag.Down {
			h.Notes = append(h.Notes, fmt.Sprintf("route %s: down, %d bytes behind: %s", r, lag.Bytes, lag.Problem))
		}
	}
	if err := a.table.SaveError(); err != nil {
		h.Notes = append(h.Notes, "positions cannot be saved: "+err.Error())
	}
	return h
}

func (a *agent) serveHealth(w http.ResponseWriter, r *http.Request) {
	h := a.health()
	code := http.StatusOK
	if !h.Healthy {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		// The client may have gone: there is nobody to tell.
		_ = json.NewEncoder(w).Encode(h)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	text := "Healthy!\n"
	if !h.Healthy {
		text = "Unhealthy: " + h.Problem + "\n"
	}
	for _, note := range h.Notes {
		text += note + "\n"
	}
	fmt.Fprint(w, text)
}
