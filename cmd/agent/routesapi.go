package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tallyman/routes"
)

const (
	// maxRouteBody is the longest request that describes a route, in bytes.
	maxRouteBody = 1 << 20
	// bodyTimeout is how long a client may take to send it.
	bodyTimeout = 10 * time.Second
)

// handleRoutes adds the paths by which routes are changed: Logspout's, and PUT.
func (a *agent) handleRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /routes", a.listRoutes)
	mux.HandleFunc("POST /routes", a.postRoute)
	mux.HandleFunc("GET /routes/{id}", a.getRoute)
	mux.HandleFunc("PUT /routes/{id}", a.putRoute)
	mux.HandleFunc("DELETE /routes/{id}", a.deleteRoute)
}

func (a *agent) listRoutes(w http.ResponseWriter, _ *http.Request) {
	list := []routes.Spec{}
	for _, entry := range a.manager.List() {
		list = append(list, entry.Spec)
	}
	writeIndented(w, http.StatusOK, list)
}

func (a *agent) getRoute(w http.ResponseWriter, r *http.Request) {
	entry, err := a.manager.Get(r.PathValue("id"))
	if err != nil {
		refuseRoute(w, err)
		return
	}
	writeRoute(w, http.StatusOK, entry)
}

func (a *agent) postRoute(w http.ResponseWriter, r *http.Request) {
	spec, ok := readRoute(w, r)
	if !ok {
		return
	}
	entry, _, err := a.manager.Put(spec, version(r))
	if err != nil {
		refuseRoute(w, err)
		return
	}
	w.Header().Set("Location", "/routes/"+entry.Spec.ID)
	writeRoute(w, http.StatusCreated, entry)
}

func (a *agent) putRoute(w http.ResponseWriter, r *http.Request) {
	spec, ok := readRoute(w, r)
	if !ok {
		return
	}
	id := r.PathValue("id")
	if spec.ID != "" && spec.ID != id {
		http.Error(w, fmt.Sprintf("Bad route: its id %q is not that of the path", spec.ID), http.StatusBadRequest)
		return
	}
	spec.ID = id
	entry, created, err := a.manager.Put(spec, version(r))
	if err != nil {
		refuseRoute(w, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	writeRoute(w, status, entry)
}

func (a *agent) deleteRoute(w http.ResponseWriter, r *http.Request) {
	if err := a.manager.Delete(r.PathValue("id"), version(r)); err != nil {
		refuseRoute(w, err)
	}
}

// version returns the version that a change is meant for (RFC 9110, section
// 13.1.1), empty for any.
func version(r *http.Request) string {
	value := r.Header.Get("If-Match")
	if value == "" || value == "*" {
		return value
	}
	// A weak or broken tag never matches.
	tag, ok := strings.CutPrefix(value, `"`)
	if tag, ok2 := strings.CutSuffix(tag, `"`); ok && ok2 && tag != "*" && tag != "" {
		return tag
	}
	return `"`
}

// readRoute reads the route of a request. It answers the request itself when
// there is none.
func readRoute(w http.ResponseWriter, r *http.Request) (spec routes.Spec, ok bool) {
	// A server that cannot set the deadline has the size to go by.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRouteBody))
	err := decoder.Decode(&spec)
	if err == nil && decoder.More() {
		err = errors.New("there is something behind the route")
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the body is empty")
	}
	if err != nil {
		http.Error(w, "Bad request: "+err.Error(), http.StatusBadRequest)
		return spec, false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return spec, true
}

// refuseRoute answers with the error of a change.
func refuseRoute(w http.ResponseWriter, err error) {
	var stored *routes.StoreError
	switch {
	case errors.Is(err, routes.ErrNoRoute):
		http.Error(w, "404 page not found", http.StatusNotFound)
	case errors.Is(err, routes.ErrChanged):
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
	case errors.Is(err, routes.ErrStopped):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.As(err, &stored):
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		http.Error(w, "Bad route: "+err.Error(), http.StatusBadRequest)
	}
}

func writeRoute(w http.ResponseWriter, status int, entry routes.Entry) {
	w.Header().Set("ETag", `"`+entry.Version+`"`)
	writeIndented(w, status, entry.Spec)
}

// writeIndented writes indented JSON and a newline, as Logspout does.
func writeIndented(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// The client may have gone: there is nobody to tell.
	_ = encoder.Encode(value)
}
