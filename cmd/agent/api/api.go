// Package api serves what lies under /api/v1: containers, the past and the
// present of their logs, what they use, routes and events. Its types are also what
// a client reads.
package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/metrics/recent"
	"tallyman/routes"
)

// The bounds of what clients may ask for at once.
const (
	// maxScans is how many looks into the past are worked on at a time; others
	// wait for their turn. As many long ones, which may go through all there is and
	// last as long as their clients read, are worked on beside them.
	maxScans = 4
	// maxPages is how many pages of lines are in memory at a time, those too that
	// their clients have not read yet.
	maxPages = 16
	// maxTurns is how many clients that follow logs are read for at a time.
	maxTurns = 8
	// maxStreams is how many clients may follow logs or events.
	maxStreams = 256
	// maxFound is how many containers one request may take in.
	maxFound = 1024
)

// Files is where the engine's containers have their files, or why they cannot be
// read, once it is known.
type Files struct {
	mu   sync.Mutex
	path string
	err  error
}

// Set says where they are, or why they cannot be read.
func (f *Files) Set(path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.err = path, err
}

// Get returns what Set was told: neither before.
func (f *Files) Get() (path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path, f.err
}

// Config is what a Server tells of.
type Config struct {
	// Collector knows the containers and their logs.
	Collector *collector.Collector
	// Logs reads the logs that are in no file.
	Logs engine.LogReader
	// Files is set when the engine has answered.
	Files *Files
	// TempDir returns the folder for unpacked logs.
	TempDir func() string
	// Recent samples what containers use.
	Recent *recent.Sampler
	// Table is nil where nothing is delivered.
	Table *routes.Table
	// Events are what the Collector's Happened was given.
	Events *EventLog
	// Health returns how the agent is.
	Health func() Health
	// Version is the agent's.
	Version string
	// Root is the host's root folder, empty for this process's own.
	Root   string
	Logger *slog.Logger
}

// Server serves what lies under /api/v1.
type Server struct {
	Config

	lines   lineRates
	machine machine
	begun   time.Time
	// scans and long are where looks into the past wait for their turns.
	scans, long chan struct{}
	// pages is where requests for pages of lines wait.
	pages   chan struct{}
	streams atomic.Int64
	// gatherings are what streams gather lines in.
	gatherings sync.Pool
	// turns bounds how many streams read at a time, and so their memory.
	turns chan struct{}
	// buffers hold what is being sent to them.
	buffers sync.Pool
}

// New returns a server. Its requests may come before the collector runs.
func New(c Config) *Server {
	return &Server{
		Config: c, begun: time.Now(), machine: machine{proc: filepath.Join("/", c.Root, "proc")},
		scans:      make(chan struct{}, maxScans),
		long:       make(chan struct{}, maxScans),
		pages:      make(chan struct{}, maxPages),
		gatherings: sync.Pool{New: func() any { return newGathering() }},
		turns:      make(chan struct{}, maxTurns),
		buffers:    sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Register adds the API to a server.
func (a *Server) Register(mux *http.ServeMux) {
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"host":                  a.serveHost,
		"containers":            a.serveContainers,
		"containers/{id}":       a.serveContainer,
		"containers/{id}/stats": a.serveStats,
		"logs":                  a.serveLogs,
		"logs/stream":           a.serveLogStream,
		"logs/download":         a.serveDownload,
		"search":                a.serveSearch,
		"routes":                a.serveRoutes,
		"tally":                 a.serveTally,
		"events":                a.serveEvents,
	} {
		mux.HandleFunc("GET /api/v1/"+pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			// What is written has deadlines of its own.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
			err := CheckQuery(r)
			if err == nil && r.Method == http.MethodHead {
				// A pattern of GET takes HEAD too, for which logs would be read, or
				// followed for ever, and nothing sent.
				w.Header().Set("Allow", http.MethodGet)
				err = apiError{http.StatusMethodNotAllowed, errors.New("the API answers GET alone")}
			}
			if err == nil {
				err = serve(w, r)
			}
			if err != nil {
				a.refuse(w, r, err)
			}
		})
	}
}

// CheckQuery refuses parameters that cannot be read, such as q=100%, where those
// that are left would ask for something else.
func CheckQuery(r *http.Request) error {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return badRequest("the parameters %q cannot be read: %w; write %%25 for %%, %%26 for & and %%3B for ;", r.URL.RawQuery, err)
	}
	return nil
}

// apiError is an error that a client can do something about.
type apiError struct {
	status int
	error
}

func badRequest(format string, args ...any) error {
	return apiError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// refuse answers with an error. What went wrong once the answer has begun is not
// told: the client sees that it ends early.
func (a *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	var known apiError
	if errors.As(err, &known) {
		status = known.status
	} else if r.Context().Err() == nil {
		a.Logger.Warn("a request could not be answered", "path", r.URL.Path, "error", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client may have gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, answer any) error {
	// A client that reads nothing would hold its connection for ever.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	// The client may have gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(answer)
	return nil
}

// group returns the Compose project or the Swarm service that a container
// belongs to, empty for neither.
func group(c *record.Container) string {
	if project := c.Label("com.docker.compose.project"); project != "" {
		return project
	}
	return c.Label("com.docker.swarm.service.name")
}

func service(c *record.Container) string {
	if name := c.Label("com.docker.compose.service"); name != "" {
		return name
	}
	return c.Label("com.docker.swarm.service.name")
}

// selection says which containers a request is about.
type selection struct {
	words       []string // names, IDs and beginnings of IDs
	group, name string
	// watch says it in other words; nil for these.
	watch *Watch
}

// parseSelection reads container=, group= and name=.
func parseSelection(r *http.Request) (selection, error) {
	query := r.URL.Query()
	s := selection{group: query.Get("group"), name: query.Get("name")}
	for _, list := range query["container"] {
		s.words = append(s.words, Words(list)...)
	}
	if _, err := path.Match(s.name, ""); err != nil {
		return s, badRequest("the pattern %q of name cannot be read: %w", s.name, err)
	}
	return s, nil
}

// some reports whether single containers were named.
func (s *selection) some() bool { return len(s.words) > 0 }

// match reports whether a container is selected, where names are those of all.
func (s *selection) match(c *record.Container, names nameSet) bool {
	if s.watch != nil {
		return s.watch.Match(c)
	}
	if s.group != "" && group(c) != s.group {
		return false
	}
	if s.name != "" {
		if ok, err := path.Match(s.name, c.Name); !ok || err != nil {
			return false
		}
	}
	if !s.some() {
		return true
	}
	for _, word := range s.words {
		if names.means(word, c.Name, c.ID) {
			return true
		}
	}
	return false
}

// find returns the containers of a selection.
func (a *Server) find(s *selection) ([]*record.Container, error) {
	list, err := s.choose(a.Collector.Containers())
	if err != nil {
		// What is not known may only be not known yet.
		return nil, cmp.Or(a.listed(), err)
	}
	return list, nil
}

// listed returns an error until all containers of the engine are known.
func (a *Server) listed() error {
	select {
	case <-a.Collector.Listed():
		return nil
	default:
		return apiError{http.StatusServiceUnavailable, fmt.Errorf("the containers are not known yet: %s; try again", a.Collector.Status().Problem)}
	}
}

// nameSet are the names of all containers.
type nameSet map[string]bool

// means reports whether a word is a container's name or begins its ID. A word that
// is a name begins no ID: another container's might, as with "db" or "fe".
func (n nameSet) means(word, name, id string) bool {
	return name == word || word != "" && !n[word] && strings.HasPrefix(id, word)
}

// choose returns those of the containers that are selected.
func (s *selection) choose(all []*record.Container) ([]*record.Container, error) {
	names := make(nameSet)
	for _, c := range all {
		names[c.Name] = true
	}
	var found []*record.Container
	for _, c := range all {
		if s.match(c, names) {
			found = append(found, c)
		}
	}
	if len(found) == 0 && s.some() {
		return nil, apiError{http.StatusNotFound, fmt.Errorf("there is no container %s; /api/v1/containers lists those there are", strings.Join(s.words, ", "))}
	}
	if len(found) > maxFound {
		return nil, badRequest("%d containers are too many at once; choose with container=, group= or name=", len(found))
	}
	return found, nil
}
