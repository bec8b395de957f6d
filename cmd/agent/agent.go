package agent

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
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tallyman/cmd/agent/api"
	"tallyman/collector"
	"tallyman/collector/checkpoint"
	"tallyman/collector/engine"
	"tallyman/collector/history"
	"tallyman/collector/spool"
	"tallyman/metrics"
	"tallyman/metrics/recent"
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
	manager   *routes.Manager
	collector *collector.Collector
	registry  *prometheus.Registry
	usage     *metrics.Containers
	client    *engine.Client
	spool     *spool.Spool
	budget    *collector.Budget
	files     api.Files
	// leftOut has the IDs of containers that are left out, to say so once.
	leftOut sync.Map
	recent  *recent.Sampler
	api     *api.Server
}

// runAgent runs the agent until ctx ends.
func runAgent(ctx context.Context, o options, stderr io.Writer) error {
	logger := newLogger(o, stderr)
	for _, remark := range o.remarks {
		logger.Info(remark)
	}
	store, err := checkpoint.Open(o.stateDir, logger)
	var warning *checkpoint.Warning
	if errors.As(err, &warning) {
		logger.Warn("the state folder", "error", err)
	} else if err != nil {
		return err
	}
	client, err := engine.New(withLogger(o.engine, logger))
	if err != nil {
		return errors.Join(usageError{err}, store.Close())
	}
	listeners, err := listen(o.listen)
	if err != nil {
		return errors.Join(err, client.Close(), store.Close())
	}
	a := &agent{options: o, logger: logger, store: store, client: client, registry: prometheus.NewRegistry()}
	err = a.run(ctx, a.addSocket(listeners), stderr)
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
func (a *agent) run(ctx context.Context, listeners []net.Listener, stderr io.Writer) (err error) {
	a.table = routes.NewTable(routes.TableConfig{
		Positions: a.store, Hostname: a.hostname(ctx), ContainerMetrics: a.options.containerTally, LogLevels: a.options.logLevels, Logger: a.logger,
		Selection: a.options.selection,
	})
	hangup, release := catchHangup()
	defer release()
	a.manager = routes.NewManager(routes.ManagerConfig{
		Table: a.table, Catalog: a.options.catalog, Dir: a.options.routesDir, Logger: a.logger,
	})
	if err := a.manager.Load(a.options.routes); err != nil {
		return errors.Join(usageError{err}, closeAll(listeners))
	}
	if err := history.Clean(a.options.stateDir); err != nil {
		a.logger.Warn("what an earlier agent has left cannot be removed", "error", err)
	}
	events := api.NewEventLog()
	a.collector = collector.New(collector.Config{
		Engine: a.client, Open: a.openLogs, Found: a.found, Gone: a.gone, Happened: events.Add, Logger: a.logger,
	})
	a.recent = recent.New(recent.Options{Containers: a.collector.Containers, Root: a.options.metrics.hostRoot(), Logger: a.logger})
	a.api = api.New(a.apiConfig(events))
	a.budget = collector.NewBudget(a.options.spoolMax)
	a.spool, err = spool.Open(spool.Options{
		Dir: filepath.Join(a.options.stateDir, "spool"), Budget: a.budget,
		Saved: a.store.Positions, Logger: a.logger,
	})
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	defer func() { err = errors.Join(err, a.spool.Close()) }()
	a.usage = a.newUsage()
	defer a.usage.Close()
	a.register()

	// The logs' files stay open until the routes have ended.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	serving, stopServing := context.WithCancel(reading)
	servers := a.newServers(serving, listeners)
	var readers, rest sync.WaitGroup
	readers.Go(func() { a.collector.Run(reading) })
	readers.Go(func() { a.recent.Run(reading) })
	failed := make(chan error, len(servers))
	for i, server := range servers {
		rest.Go(func() {
			if err := a.serve(server, listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving HTTP: %w", err)
			}
		})
	}
	running, stop := context.WithCancel(ctx)
	if p := newProcessors(); p != nil {
		rest.Go(func() { p.run(running) })
	}
	rest.Go(func() { a.forget(running) })
	rest.Go(func() { a.greet(running, listeners[0].Addr(), stderr) })
	rest.Go(func() { a.reloadOnHangup(running, hangup) })
	rest.Go(func() { a.begin(running) })
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
	for _, server := range servers {
		if shutdown := server.Shutdown(closing); shutdown != nil {
			_ = server.Close() // What is left are clients that do not read.
		}
	}
	stopReading()
	rest.Wait()
	readers.Wait()
	a.logger.Info("stopped")
	return serveErr
}

// apiConfig is what the HTTP API tells of.
func (a *agent) apiConfig(events *api.EventLog) api.Config {
	return api.Config{
		Collector: a.collector, Logs: a.client, Files: &a.files, TempDir: a.tempDir, Recent: a.recent, Table: a.table, Events: events,
		Health: a.health, Version: a.options.build.Version, Root: a.options.metrics.hostRoot(), Logger: a.logger,
	}
}

// hostnameTimeout is how long the engine may take to tell its host's name.
const hostnameTimeout = 2 * time.Second

// hostname returns the name of the host. In a container the agent's own name
// says nothing, so that of Logspout's file goes first, then that which the
// engine tells.
func (a *agent) hostname(ctx context.Context) string {
	if a.options.hostname != "" {
		return a.options.hostname
	}
	ctx, cancel := context.WithTimeout(ctx, hostnameTimeout)
	defer cancel()
	if info, err := a.client.Info(ctx); err == nil && info.Name != "" {
		return info.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// found takes in what a container is now. The logs of one that is left out are
// nobody's.
func (a *agent) found(log collector.Log) {
	c := log.Container()
	if c.Running {
		a.usage.Track(c)
	} else {
		// What is open of its resource use would keep its network alive.
		a.usage.Forget(c.ID)
		a.recent.Stopped(c.ID)
	}
	if reason := a.options.selection.Reason(c); reason != "" {
		if _, told := a.leftOut.LoadOrStore(c.ID, struct{}{}); !told {
			a.logger.Info("a container is left out", "container", c.Name, "reason", reason)
		}
		return
	}
	a.table.Found(log)
}

func (a *agent) gone(id string) {
	a.leftOut.Delete(id)
	a.usage.Forget(id)
	a.recent.Stopped(id)
	a.table.Gone(id)
}

func (a *agent) register() {
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": a.options.build.Version},
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
	forgotten := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_positions_forgotten", Help: "Whether the positions of earlier runs could not be read, so that lines were repeated.",
	}, func() float64 {
		if a.store.Forgotten() {
			return 1
		}
		return 0
	})
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallyman_held_bytes", Help: "Bytes of disk taken by lines that exist nowhere else any more, of those that --spool-max allows.",
	}, func() float64 { return float64(a.budget.Held()) })
	a.registry.MustRegister(build, up, unreadable, forgotten, held, a.table,
		collectors.NewGoCollector(),
	)
}

// tidyAfter is how long after the containers were listed the memory is given back
// that the start has taken: routes have had their first lines by then.
const tidyAfter = 2 * time.Second

// begin does what is to be done when all containers are known that were there at
// the start.
func (a *agent) begin(ctx context.Context) {
	select {
	case <-a.collector.Listed():
	case <-ctx.Done():
		return
	}
	// Positions at which routes begin are kept from the start, so that a crash does
	// not make them begin anew.
	a.table.Save()
	select {
	case <-time.After(tidyAfter):
	case <-ctx.Done():
		return
	}
	// What the engine has told of all containers at once is garbage now, and so
	// are most of the routes' buffers: what pools hold goes in the second of two
	// collections.
	setGCPercent(gcPercent)
	runtime.GC()
	debug.FreeOSMemory()
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
	a.forgetUnseen(now)
}

// forgetUnseen drops the positions of containers and routes that are gone and were
// for long.
func (a *agent) forgetUnseen(now time.Time) {
	// What a removed container has left may wait for longer than is remembered.
	var identities []string
	ids := a.table.Reading()
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
