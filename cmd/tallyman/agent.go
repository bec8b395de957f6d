package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tallyman/collector"
	"tallyman/collector/apilog"
	"tallyman/collector/checkpoint"
	"tallyman/collector/engine"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/collector/spool"
	"tallyman/metrics"
	"tallyman/routes"
)

// Positions of containers and routes that were not seen for so long are
// forgotten.
const (
	keepContainers = 24 * time.Hour
	keepRoutes     = 30 * 24 * time.Hour
	forgetEvery    = time.Hour
)

// agent is everything that runs, wired together.
type agent struct {
	options   options
	logger    *slog.Logger
	store     *checkpoint.Store
	table     *routes.Table
	collector *collector.Collector
	registry  *prometheus.Registry
	usage     *metrics.Containers
	client    *engine.Client
	spool     *spool.Spool
	files     files
}

// files is where the engine's containers have their files, or why they cannot be
// read, once it is known.
type files struct {
	mu   sync.Mutex
	path string
	err  error
}

func (f *files) set(path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.path, f.err = path, err
}

func (f *files) get() (path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path, f.err
}

// runAgent runs the agent until ctx ends.
func runAgent(ctx context.Context, o options, stderr io.Writer) error {
	logger := newLogger(o, stderr)
	store, err := checkpoint.Open(o.stateDir, logger)
	var warning *checkpoint.Warning
	if errors.As(err, &warning) {
		logger.Warn("positions", "error", err)
	} else if err != nil {
		return err
	}
	client, err := engine.New(withLogger(o.engine, logger))
	if err != nil {
		return errors.Join(usageError{err}, store.Close())
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listening: %w", err), client.Close(), store.Close())
	}
	a := &agent{options: o, logger: logger, store: store, client: client, registry: prometheus.NewRegistry()}
	err = a.run(ctx, listener, stderr)
	return errors.Join(err, client.Close(), store.Close())
}

func withLogger(o engine.Options, logger *slog.Logger) engine.Options {
	o.Logger = logger
	return o
}

func newLogger(o options, w io.Writer) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.logLevel}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}

// run starts everything and stops it in the order of the data: first what reads
// new lines, then what delivers them, with what is in flight, and last what
// others look at.
func (a *agent) run(ctx context.Context, listener net.Listener, stderr io.Writer) (err error) {
	a.table = routes.NewTable(routes.TableConfig{Positions: a.store, Logger: a.logger})
	for _, d := range a.options.routes {
		if err := a.table.Add(d); err != nil {
			return errors.Join(usageError{err}, listener.Close())
		}
	}
	a.collector = collector.New(collector.Config{
		Engine: a.client, Open: a.openLogs, Found: a.found, Gone: a.gone, Logger: a.logger,
	})
	a.spool, err = spool.Open(spool.Options{
		Dir: filepath.Join(a.options.stateDir, "spool"), Budget: a.options.spoolMax / 2,
		Saved: a.store.Positions, Logger: a.logger,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, a.spool.Close()) }()
	a.usage = metrics.NewContainers(metrics.Options{Containers: a.collector.Containers, Logger: a.logger})
	defer a.usage.Close()
	a.register()

	// The logs' files stay open until the routes have ended.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	serving, stopServing := context.WithCancel(reading)
	server := a.newServer(serving)
	var readers, rest sync.WaitGroup
	readers.Go(func() { a.collector.Run(reading) })
	failed := make(chan error, 1)
	rest.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving HTTP: %w", err)
		}
	})
	running, stop := context.WithCancel(ctx)
	rest.Go(func() { a.forget(running) })
	rest.Go(func() { a.greet(running, listener.Addr(), stderr) })
	rest.Go(func() {
		// Positions at which routes begin are kept from the start, so that a
		// crash does not make them begin anew.
		select {
		case <-a.collector.Listed():
			a.table.Save()
		case <-running.Done():
		}
	})
	var serveErr error
	rest.Go(func() {
		select {
		case serveErr = <-failed:
			stop()
		case <-running.Done():
		}
	})
	a.table.Run(running)
	stop()
	stopServing()
	// Open streams end with their context, so this does not wait for clients.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if shutdown := server.Shutdown(closing); shutdown != nil {
		_ = server.Close() // What is left are clients that do not read.
	}
	stopReading()
	rest.Wait()
	readers.Wait()
	a.logger.Info("stopped")
	return serveErr
}

// found takes in what a container is now.
func (a *agent) found(log collector.Log) {
	if c := log.Container(); !c.Running {
		// What is open of its resource use would keep its network alive.
		a.usage.Forget(c.ID)
	}
	a.table.Found(log)
}

func (a *agent) gone(id string) {
	a.usage.Forget(id)
	a.table.Gone(id)
}

// openLogs opens the sources of logs: the engine's files where they can be read,
// and its log API for all other containers.
func (a *agent) openLogs(info engine.Info) (collector.Source, error) {
	api := apilog.New(apilog.Options{
		Engine: a.client, Spool: a.spool, History: a.wantsHistory, Saved: a.store.Positions, Logger: a.logger,
	})
	a.registry.MustRegister(a.spool, api.Stats())
	root := info.Root
	if a.options.dockerRoot != "" {
		root = a.options.dockerRoot
	}
	path := filepath.Join(root, "containers")
	local, err := jsonfile.Open(jsonfile.Options{
		Dir: path, TempDir: a.tempDir(), Logger: a.logger,
		RescueDir: filepath.Join(a.options.stateDir, "rescue"), RescueMax: a.options.spoolMax / 2,
	})
	if err != nil {
		err = fmt.Errorf("%w; run the agent on the engine's host as root, and in a container mount %s at the same path, "+
			"or name the folder with --docker-root", err, path)
		a.logger.Error("the engine's log files cannot be read, so all logs are read through its API, which costs more "+
			"and loses lines of a container that floods while its log is rotated", "error", err)
		a.files.set("", err)
		return api, nil
	}
	a.files.set(path, nil)
	a.registry.MustRegister(local.Stats())
	return collector.NewSources(local, api), nil
}

// wantsHistory reports whether the past of a container that is met for the first
// time is wanted: some route would begin in it.
func (a *agent) wantsHistory(c *record.Container) bool {
	return slices.ContainsFunc(a.table.Routes(), func(r *routes.Route) bool { return r.WantsPast(c) })
}

// tempDir returns the folder for unpacked logs: beside the positions, which is
// a disk, where the system's own may be memory.
func (a *agent) tempDir() string {
	if info, err := os.Stat(a.options.stateDir); err == nil && info.IsDir() {
		return a.options.stateDir
	}
	return os.TempDir()
}

func (a *agent) register() {
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version},
	}, func() float64 { return 1 })
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_engine_up", Help: "Whether the container engine answers and its events are followed.",
	}, func() float64 {
		if a.collector.Status().Connected {
			return 1
		}
		return 0
	})
	unreadable := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_unreadable_containers", Help: "Containers whose log cannot be read; /health says why.",
	}, func() float64 { return float64(len(a.collector.Status().Unreadable)) })
	a.registry.MustRegister(build, up, unreadable, a.table,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		a.usage, metrics.NewMachine(metrics.MachineOptions{Logger: a.logger}),
	)
}

// forget drops, from time to time, the positions of what is gone.
func (a *agent) forget(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			a.forgetOnce(now)
		}
	}
}

func (a *agent) forgetOnce(now time.Time) {
	if !a.collector.Status().Connected {
		// Whether containers are gone is not known now.
		return
	}
	var identities, ids []string
	for _, r := range a.table.Routes() {
		identities = append(identities, r.Identity())
	}
	for _, c := range a.collector.Containers() {
		ids = append(ids, c.ID)
	}
	a.store.Seen(now, identities, ids)
	for _, f := range a.store.Forget(now, keepContainers, keepRoutes) {
		a.logger.Info("forgetting positions of what was not seen for long", "forgotten", f)
	}
}
