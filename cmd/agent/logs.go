package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyman/adapters/httpstream"
	"tallyman/cmd/agent/api"
	"tallyman/collector/record"
	"tallyman/routes"
)

// handleLogs adds the paths at which lines can be watched.
func (a *agent) handleLogs(mux *http.ServeMux) {
	for _, path := range []string{"/logs", "/logs/{selector}"} {
		mux.HandleFunc("GET "+path, a.serveLogs)
		// A pattern of GET takes HEAD too, whose answer would never end.
		mux.HandleFunc("HEAD "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
		})
	}
}

// serveLogs streams lines: /logs, /logs/name:PATTERN, /logs/id:PREFIX, each with
// ?sources=stdout or stderr, and ?colors=off. What Logspout does not have is
// answered by the API: the past, searching, and server-sent events.
func (a *agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	// What is written has deadlines of its own.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	wanted, err := parseWatch(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if wanted.filter.ID != "" && !slices.ContainsFunc(a.collector.Containers(), func(c *record.Container) bool {
		return strings.HasPrefix(c.ID, wanted.filter.ID)
	}) {
		http.NotFound(w, r)
		return
	}
	if wanted.past {
		a.api.ServeWatch(w, r, &api.Watch{
			Match: func(c *record.Container) bool {
				return wanted.filter.MatchContainer(c) && a.options.selection.Reason(c) == ""
			},
			Streams: wanted.filter.Sources, Format: wanted.format,
		})
		return
	}
	if a.table.Viewers() >= maxViewers {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d clients are watching already", maxViewers), http.StatusServiceUnavailable)
		return
	}
	stream := httpstream.New(wanted.format)
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.table.Stream(ctx, "viewer "+r.RemoteAddr, wanted.filter, stream)
	}()
	if wanted.socket {
		err = stream.ServeWebSocket(ctx, w, r)
	} else {
		err = stream.Serve(ctx, w)
	}
	if err != nil {
		a.logger.Debug("a viewer has gone", "client", r.RemoteAddr, "error", err)
	}
	cancel()
	<-ended
}

// watch is what a request wants to see.
type watch struct {
	filter routes.Filter
	// format is nil for server-sent events.
	format httpstream.Format
	socket bool
	// past says that the API answers.
	past bool
}

// parseWatch reads a request. Names are shown unless it can be one container only.
func parseWatch(r *http.Request) (v watch, err error) {
	if err := api.CheckQuery(r); err != nil {
		return v, err
	}
	names := true
	if selector := r.PathValue("selector"); selector != "" {
		word, value, _ := strings.Cut(selector, ":")
		switch word {
		case "name":
			names = strings.ContainsAny(value, "*?[,!")
			err = v.filter.Set("filter.name", value)
		case "id":
			names = false
			err = v.filter.Set("filter.id", value)
		default:
			err = fmt.Errorf("unknown selector %q; known are /logs/name:PATTERN, /logs/id:PREFIX", selector)
		}
	}
	for _, key := range []string{"sources", "source", "stream"} {
		if value := r.URL.Query().Get(key); value != "" && err == nil {
			err = v.filter.Set("filter.sources", value)
		}
	}
	for _, key := range []string{"tail", "since", "until", "q", "level"} {
		v.past = v.past || r.URL.Query().Has(key)
	}
	accept := r.Header.Get("Accept")
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		v.socket, v.format = true, httpstream.JSONObjects()
		if v.past && err == nil {
			err = errors.New("tail, since, until, q and level are not understood over a WebSocket; ask for NDJSON or server-sent events instead, " +
				"with the header Accept: application/x-ndjson or text/event-stream")
		}
	case accepts(accept, "text/event-stream"):
		v.past = true
	case accepts(accept, "application/x-ndjson", "application/jsonl", "application/x-jsonlines"):
		v.format = httpstream.JSONLines()
	case accepts(accept, "application/json"):
		v.format = httpstream.JSONObjects()
	default:
		v.format = httpstream.Text(httpstream.TextOptions{Names: names, Colours: r.URL.Query().Get("colors") != "off"})
	}
	return v, err
}

// accepts reports whether an Accept header names one of some types.
func accepts(header string, types ...string) bool {
	for part := range strings.SplitSeq(header, ",") {
		mime, _, _ := strings.Cut(part, ";")
		if slices.Contains(types, strings.ToLower(strings.TrimSpace(mime))) {
			return true
		}
	}
	return false
}
