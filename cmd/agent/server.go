package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"

	"tallyman/cmd/agent/api"
	webpage "tallyman/cmd/tallyman/page"
)

const (
	// maxConnections is for each address that is listened on.
	maxConnections = 1024
	maxViewers     = 256
)

// limits are what a client may take: the time for the header of a request, for
// reading an answer and between two requests, and the header's bytes. Streams,
// which have no end, set deadlines of their own.
type limits struct {
	header, answer, idle time.Duration
	headerBytes          int
}

// usualLimits are those of the agent.
func usualLimits() limits {
	return limits{header: 10 * time.Second, answer: 2 * time.Minute, idle: 2 * time.Minute, headerBytes: 64 << 10}
}

// newServer returns an HTTP server that keeps to limits. Streams end with ctx.
func newServer(ctx context.Context, handler http.Handler, l limits, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if l.answer > 0 {
				// A client that reads nothing would hold its answer for ever. Where no
				// deadline can be set, there is no connection to hold.
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.answer))
			}
			handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: l.header,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.headerBytes,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// listen takes all addresses, or none.
func listen(addresses []string) (listeners []net.Listener, err error) {
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening: %w", err), closeAll(listeners))
		}
		listeners = append(listeners, netutil.LimitListener(l, maxConnections))
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// isLocal reports whether a listener is on the loopback interface.
func isLocal(l net.Listener) bool {
	tcp, ok := l.Addr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// newServers returns an HTTP server for each listener. Streams end with ctx.
func (a *agent) newServers(ctx context.Context, listeners []net.Listener) []*http.Server {
	handler := a.newHandler()
	var servers []*http.Server
	for _, l := range listeners {
		servers = append(servers, newServer(ctx, a.guard(handler, l), usualLimits(), a.logger))
	}
	return servers
}

// serve serves one listener until its server is shut down. What the web
// configuration says holds for all but the loopback interface and the socket.
func (a *agent) serve(server *http.Server, l net.Listener) error {
	file := a.options.access.webConfig
	if file == "" || isLocal(l) || isSocket(l) {
		return server.Serve(l)
	}
	return web.Serve(l, server, &web.FlagConfig{WebConfigFile: &file}, slog.New(slog.DiscardHandler))
}

// newHandler returns what answers the requests that access lets through.
func (a *agent) newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.serveHealth)
	a.handleLogs(mux)
	a.handleRoutes(mux)
	a.handleMetrics(mux)
	a.api.Register(mux)
	mux.Handle("GET /", webpage.New())
	return mux
}

// health is unhealthy while the engine or the logs cannot be reached. What is
// wrong beyond the agent, such as a destination that is down, is only noted: a
// restart would not help.
func (a *agent) health() api.Health {
	s := a.collector.Status()
	h := api.Health{Version: a.options.build.Version, Problem: s.Problem}
	if !s.Connected {
		h.Problem = "the container engine: " + s.Problem
	}
	h.Healthy = h.Problem == ""
	if _, err := a.files.Get(); err != nil {
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
	for _, problem := range a.manager.Problems() {
		h.Notes = append(h.Notes, problem.Error())
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
