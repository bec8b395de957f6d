package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// fakeEngine answers what an agent asks a container engine, for one container
// that has been running for ever. It lets an agent be measured alone: no daemon
// works beside it.
type fakeEngine struct {
	server  *http.Server
	running sync.WaitGroup
	// closing ends event streams.
	closing chan struct{}
	host    string
}

// serveEngine serves an engine with its data in root on a Unix socket.
func serveEngine(socket, root, id, name string) (*fakeEngine, error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("opening the fake engine: %w", err)
	}
	e := &fakeEngine{closing: make(chan struct{}), host: "unix://" + socket}
	started := time.Now().UTC().Format(time.RFC3339Nano)
	answers := map[string]any{
		"/_ping":   nil,
		"/version": map[string]any{"Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"},
		"/info": map[string]any{
			"ID": "tallybench", "Name": "bench", "ServerVersion": "28.5.2", "DockerRootDir": root,
			"LoggingDriver": "json-file", "CgroupDriver": "cgroupfs", "CgroupVersion": "2", "OSType": "linux", "NCPU": 1,
		},
		"/containers/json": []any{map[string]any{
			"Id": id, "Names": []string{"/" + name}, "Image": "bench", "State": "running", "Created": time.Now().Unix(),
		}},
		"/containers/" + id + "/json": map[string]any{
			"Id": id, "Name": "/" + name, "Image": "sha256:" + id, "Created": started,
			"Path": "/bench", "Args": []string{}, "LogPath": logPath(root, id),
			// A process that exists, and stays as long as the bench.
			"State": map[string]any{"Status": "running", "Running": true, "Pid": os.Getpid(), "StartedAt": started},
			"HostConfig": map[string]any{
				"LogConfig":   map[string]any{"Type": "json-file", "Config": map[string]string{}},
				"NetworkMode": "none",
			},
			"Config":          map[string]any{"Hostname": "bench", "Image": "bench", "Labels": map[string]string{}},
			"NetworkSettings": map[string]any{},
		},
	}
	e.server = &http.Server{Handler: e.handler(answers), ReadHeaderTimeout: 10 * time.Second}
	e.running.Go(func() { _ = e.server.Serve(listener) }) // It always ends with an error, that it was closed.
	return e, nil
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
