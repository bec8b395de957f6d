package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tallyman/cmd/agent/api"
	"tallyman/collector"
	"tallyman/collector/apilog"
	"tallyman/collector/engine"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/collector/spool"
	"tallyman/metrics/recent"
)

// SocketName is the agent's socket in its state folder.
const SocketName = "tallyman.sock"

// session asks an agent, or this process where no agent runs.
type session struct {
	client *http.Client
	// base is what the URLs of all requests begin with, at the address for people,
	// without a password.
	base, at string
	// token is sent with each request, unless it is empty, and so is user, in its
	// place, unless it is nil.
	token string
	user  *url.Userinfo
	close func()
}

// agent finds the running agent: where --addr says or else at its socket, then at
// its address. path is what is asked for to see whether it is there. Where none
// answers at all the error is an UnreachableError.
func (c *command) agent(ctx context.Context, path string) (*session, error) {
	if c.ca != "" {
		if !strings.HasPrefix(c.Addr, "https://") {
			return nil, usagef("--ca is for an agent that is asked over TLS, which --addr names as https://host:port")
		}
		c.CA = c.ca
	}
	var status statusError
	if c.Addr != "" {
		s, err := c.dial(c.Addr)
		if err != nil {
			return nil, err
		}
		err = s.check(ctx, path)
		if err == nil {
			return s, nil
		}
		err = fmt.Errorf("asking the agent, which --addr says is at %s: %w", s.at, advise(err))
		if errors.As(err, &status) {
			return nil, err
		}
		return nil, UnreachableError{err}
	}
	var failed []error
	for _, addr := range []string{"unix://" + filepath.Join(c.StateDir, SocketName), c.Listen} {
		s, err := c.dial(addr)
		if err != nil {
			return nil, err
		}
		err = s.check(ctx, path)
		if err == nil {
			return s, nil
		}
		if errors.As(err, &status) {
			return nil, fmt.Errorf("asking the agent at %s: %w", addr, err)
		}
		failed = append(failed, err)
	}
	return nil, UnreachableError{fmt.Errorf("no agent answers: %w", errors.Join(failed...))}
}

// hostPath is asked for by commands that need more than the agent's health.
const hostPath = "/api/v1/host"

// connect finds the agent. Where none answers, and --addr does not say where one
// is, the host is read directly.
func (c *command) connect(ctx context.Context) (*session, error) {
	s, err := c.agent(ctx, hostPath)
	var unreachable UnreachableError
	if errors.As(err, &unreachable) && c.Addr == "" {
		return c.direct(ctx)
	}
	return s, err
}

// statusError is an answer that is not the one that was asked for. passing says
// that it may be another a little later.
type statusError struct {
	error
	passing bool
}

// check asks whether there is an agent that answers a request for a path. One
// that is not healthy does.
func (s *session) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	response, err := s.get(ctx, path, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusServiceUnavailable {
		return nil
	}
	return refusal(response)
}

// get sends a GET. The caller closes the body of the answer.
func (s *session) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	return s.do(ctx, http.MethodGet, path, header, nil)
}

// do sends a request. The caller closes the body of the answer. An agent that
// goes away, also while it answers, is an UnreachableError.
func (s *session) do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	if s.user != nil {
		password, _ := s.user.Password()
		request.SetBasicAuth(s.user.Username(), password)
	} else if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, UnreachableError{err}
	}
	response.Body = answerBody{response.Body}
	return response, nil
}

// answerBody is the body of an answer.
type answerBody struct{ io.ReadCloser }

func (b answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = UnreachableError{fmt.Errorf("the agent has broken off its answer: %w", err)}
	}
	return n, err
}

// refusal returns the error that an answer is, nil for one that is none.
func refusal(response *http.Response) error {
	if response.StatusCode < http.StatusMultipleChoices {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // As far as it comes.
	return statusError{fmt.Errorf("the agent answers %s: %s", response.Status, errorText(body)), response.StatusCode == http.StatusServiceUnavailable}
}

// open sends a GET and returns the body of the answer, which the caller closes.
func (s *session) open(ctx context.Context, path string, header http.Header) (io.ReadCloser, error) {
	response, err := s.get(ctx, path, header)
	if err != nil {
		return nil, err
	}
	if err := refusal(response); err != nil {
		_ = response.Body.Close() // It was only read.
		return nil, err
	}
	return response.Body, nil
}

// errorText returns what an answer says went wrong.
func errorText(body []byte) string {
	var answer struct{ Error string }
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return answer.Error
	}
	return strings.TrimSpace(string(body))
}

// fetch asks for JSON.
func (s *session) fetch(ctx context.Context, path string, answer any) error {
	body, err := s.open(ctx, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("reading the agent's answer: %w", err)
	}
	return nil
}

// directSpool is how many bytes may be copied of logs that are followed and are in
// no file.
const directSpool = 256 << 20

// direct serves the API in this process, without routes, and returns a session
// with it.
func (c *command) direct(ctx context.Context) (*session, error) {
	quiet := slog.New(slog.DiscardHandler)
	options := c.Engine
	options.Logger = quiet
	client, err := engine.New(options)
	if err != nil {
		return nil, UsageError{err}
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	info, err := client.Info(asking)
	cancel()
	if err != nil {
		return nil, UnreachableError{errors.Join(fmt.Errorf("no agent runs here, and the container engine does not answer: %w", err), client.Close())}
	}
	var where api.Files
	events := api.NewEventLog()
	dir, err := os.MkdirTemp("", "tallyman-")
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	copies, err := spool.Open(spool.Options{Dir: dir, Budget: collector.NewBudget(directSpool), Logger: quiet})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), client.Close())
	}
	leave := func() error { return errors.Join(copies.Close(), os.RemoveAll(dir), client.Close()) }
	found := collector.New(collector.Config{
		Engine: client, Happened: events.Add, Logger: quiet, Found: func(collector.Log) {}, Gone: func(string) {},
		Open: func(info engine.Info) (collector.Source, error) {
			read := apilog.New(apilog.Options{Engine: client, Spool: copies, History: func(*record.Container) int { return 0 }, Logger: quiet})
			root := info.Root
			if c.DockerRoot != "" {
				root = c.DockerRoot
			}
			dir := filepath.Join(root, "containers")
			source, err := jsonfile.Open(jsonfile.Options{Dir: dir, Logger: quiet})
			if err != nil {
				// Who may not read the files may still ask the engine.
				where.Set("", err)
				return read, nil
			}
			where.Set(dir, nil)
			return collector.NewSources(source, read), nil
		},
	})
	sampler := recent.New(recent.Options{Containers: found.Containers, Root: c.Root, Logger: quiet})
	served := api.New(api.Config{
		Collector: found, Logs: client, Files: &where, TempDir: os.TempDir, Recent: sampler, Events: events,
		Health: func() api.Health { return api.Health{Healthy: true, Version: c.Version} }, Version: c.Version, Root: c.Root, Logger: quiet,
	})
	running, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { found.Run(running) })
	select {
	case <-found.Listed():
	case <-time.After(askTimeout):
		stop()
		group.Wait()
		return nil, UnreachableError{errors.Join(fmt.Errorf("no agent runs here, and the container engine %s does not list its containers", info.Name), leave())}
	case <-ctx.Done():
		stop()
		group.Wait()
		return nil, errors.Join(ctx.Err(), leave())
	}
	group.Go(func() { sampler.Run(running) })
	mux := http.NewServeMux()
	served.Register(mux)
	pipe := newPipe()
	server := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return running }, ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelError)}
	group.Go(func() { _ = server.Serve(pipe) }) // It ends with the session.
	transport := &http.Transport{DialContext: pipe.dial}
	return &session{client: &http.Client{Transport: transport}, base: "http://here", close: func() {
		stop()
		transport.CloseIdleConnections()
		_ = server.Close() // Nobody else is connected.
		group.Wait()
		_ = leave() // What was copied is not wanted any more.
	}}, nil
}

// pipe is a listener whose clients are in this process.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the server's end of a connection; see net.Listener.
func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and further dialling; see net.Listener.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr returns an address that says nothing; see net.Listener.
func (p *pipe) Addr() net.Addr { return &net.UnixAddr{Name: "here", Net: "unix"} }
