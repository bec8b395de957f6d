package main

import (
	_ "embed" // for inspectAnswer
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeEngine answers what an agent asks a container engine, for containers that
// have been running for ever. It lets an agent be measured alone: no daemon
// works beside it.
type fakeEngine struct {
	server  *http.Server
	running sync.WaitGroup
	// closing ends event streams.
	closing chan struct{}
	host    string
}

// serveEngine serves an engine with its data in root on a Unix socket. Its
// containers' ids are those that idOf makes of their names, their processes those
// of pidOf.
func serveEngine(socket, root string, names ...string) (*fakeEngine, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("opening the fake engine: %w", err)
	}
	e := &fakeEngine{closing: make(chan struct{}), host: "unix://" + socket}
	started := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)
	answers := map[string]any{
		"/_ping":   nil,
		"/version": map[string]any{"Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"},
		"/info": map[string]any{
			"ID": "tallybench", "Name": "bench", "ServerVersion": "28.5.2", "DockerRootDir": root,
			"LoggingDriver": "json-file", "CgroupDriver": "cgroupfs", "CgroupVersion": "2", "OSType": "linux", "NCPU": 1,
		},
	}
	list := []any{}
	for i, name := range names {
		id := idOf(name)
		list = append(list, map[string]any{
			"Id": id, "Names": []string{"/" + name}, "Image": "bench", "State": "running", "Created": time.Now().Unix(),
		})
		answers["/containers/"+id+"/json"] = inspected(root, id, name, started, pidOf(i))
	}
	answers["/containers/json"] = list
	e.server = &http.Server{Handler: e.handler(answers), ReadHeaderTimeout: 10 * time.Second}
	e.running.Go(func() { _ = e.server.Serve(listener) }) // It always ends with an error, that it was closed.
	return e, nil
}

// inspectAnswer is what an engine of version 28 answers about a container of a
// Compose project: about as much as there is to keep of most.
//
//go:embed answer.json
var inspectAnswer string

// inspected is the answer about one container.
func inspected(root, id, name, started string, pid int) json.RawMessage {
	return json.RawMessage(strings.NewReplacer(
		"{id}", id, "{name}", name, "{started}", started, "{log}", logPath(root, id),
		`"{pid}"`, strconv.Itoa(pid),
	).Replace(inspectAnswer))
}

func (e *fakeEngine) handler(answers map[string]any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if strings.HasPrefix(path, "/v1.") {
			path = path[strings.IndexByte(path[1:], '/')+1:]
		}
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Content-Type", "application/json")
		if path == "/events" {
			// Nothing ever happens here, but the stream is open.
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-e.closing:
			}
			return
		}
		answer, ok := answers[path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]string{"message": "no such page: " + path}
		}
		_ = json.NewEncoder(w).Encode(answer) // Only a client that left refuses it.
	})
}

func (e *fakeEngine) close() error {
	close(e.closing)
	err := e.server.Close()
	e.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
