package metrics

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// Containers is what is shown of the running containers and of the root cgroup.
// It is safe for concurrent use; scrapes take turns.
type Containers struct {
	containers func() []*record.Container
	stats      func(ctx context.Context, id string) ([]byte, error)
	logUse     func(id string) (record.LogUse, bool)
	root       string
	logger     *slog.Logger
	rules      labelRules
	kinds      Kinds
	omitRoot   bool
	deadline   time.Duration
	table      []family
	layers     *layerWalker
	mounts     mountTable

	// seen says that a container's cgroup has been found: only then does not
	// finding one say that it has gone.
	seen atomic.Bool

	// The families that are not about one container.
	scrapeError, scrapeErrors, scrapeDuration description

	// ctx ends with Close, which waits for running.
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu sync.Mutex // guards what follows
	// fs is nil until the cgroup mounts have been found.
	fs *cgroup.FS
	// machine is the root cgroup, tracked the container of each id.
	machine *tracked
	tracked map[string]*tracked
	// ids are the ids of those tracked, sorted, and list the containers that they
	// were last brought in line with; both are nil when that has to be done.
	ids  []string
	list []*record.Container
	// killed is how many processes of each container were killed for want of
	// memory in its earlier runs.
	killed map[string]uint64
	// union is the sorted names of the labels that containers bring; stale says
	// that a container has come, gone or changed since it was made.
	union []string
	stale bool
	// renewed says that it was made in this scrape. states is rendered with it.
	renewed bool
	states  states
	host    hostState
	// readings are the containers of this scrape, shown those with a new sample, and
	// owners whose network is whose; the memory is reused.
	readings []reading
	shown    []shown
	owners   map[networkKey]*tracked
	// buffers is the memory that files are read into.
	buffers sync.Pool
	// failures counts by container what could not be read, and down is why the
	// last scrape found no cgroups, nil when it did.
	failures map[string]uint64
	down     error
	// asked says that the last scrape had to ask the engine.
	asked bool
	// scraped is when the last scrape was.
	scraped time.Time
}

// seriesOfContainer is about how many series a container has, and seriesLength how
// long one is without the container's labels.
const (
	seriesOfContainer = 80
	seriesLength      = 80
)

// NewContainers returns the containers' part of an exposition. Nothing is read
// before the first scrape. Close ends it.
func NewContainers(options Options) *Containers {
	c := &Containers{
		containers: options.Containers,
		stats:      options.Stats,
		logUse:     options.LogUse,
		root:       options.Root,
		logger:     options.Logger,
		rules:      newLabelRules(options),
		kinds:      options.Kinds.orDefault(),
		omitRoot:   options.OmitRoot,
		deadline:   options.Deadline,
		tracked:    make(map[string]*tracked),
		killed:     make(map[string]uint64),
		owners:     make(map[networkKey]*tracked),
		buffers:    sync.Pool{New: func() any { return new(cgroup.Buffer) }},
		states:     newStates(),
		failures:   map[string]uint64{"/": 0},
		host:       hostState{devices: make(map[cgroup.Device]*deviceName)},

		scrapeError:    description{name: "container_scrape_error", help: "1 when a container could not be read in this scrape, else 0."},
		scrapeErrors:   description{name: "tallyman_scrape_errors_total", help: "How often a container could not be read, or not in time; \"/\" is the machine.", typ: counter, labels: []string{"container"}},
		scrapeDuration: description{name: "tallyman_scrape_duration_seconds", help: "Time that reading and rendering all containers took in this scrape, in seconds."},
	}
	if c.root == "" {
		c.root = "/"
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if c.deadline == 0 {
		c.deadline = defaultDeadline
	}
	c.mounts.path, c.host.files.root = mountinfo(c.root), c.root
	c.table = containerTable(c.kinds)
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.layers = &layerWalker{root: c.root, folders: layerFolders(c.root, options.Layer), uses: make(map[string]*layerUse)}
	return c
}

// Close ends what runs in the background and closes all open files. It waits for
// what has begun, but no longer than a scrape does: a file that the kernel never
// gives would hold up the agent's end, and closes whenever it comes. There must
// be no scrape after it.
func (c *Containers) Close() {
	c.stop()
	c.mounts.close()
	c.mu.Lock()
	for id := range c.tracked {
		c.forgetLocked(id)
	}
	if c.machine != nil {
		c.machine.drop()
		c.machine = nil
	}
	c.host.files.close()
	fs := c.fs
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.running.Wait()
		c.layers.rounds.Wait()
	}()
	deadline := time.NewTimer(c.deadline)
	defer deadline.Stop()
	select {
	case <-ended:
	case <-deadline.C:
		c.logger.Warn("a file of a container could not be read to the end")
	}
	if fs != nil {
		fs.Close()
	}
}

// write reads every running container and the root cgroup and renders them.
func (c *Containers) write(w *writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	list := c.containers()
	before := c.failedLocked()
	c.readLocked(list, true)
	expected := 0
	for i := range c.readings {
		expected += seriesOfContainer * (len(c.readings[i].labels.text) + seriesLength)
	}
	// A page that grew step by step would leave its earlier selves behind.
	w.buf = slices.Grow(w.buf, expected)
	for i := range c.table {
		row := &c.table[i]
		w.begin(&row.description)
		for j := range c.readings {
			w.block = c.readings[j].labels
			row.read(&c.readings[j], w)
		}
	}
	c.states.write(w, list, c.rules, c.union, c.renewed)
	w.block = new(block)
	w.begin(&c.scrapeError)
	failed := 0.0
	if c.failedLocked() > before {
		failed = 1
	}
	w.with(failed)
	w.begin(&c.scrapeErrors)
	for _, name := range slices.Sorted(maps.Keys(c.failures)) {
		w.with(float64(c.failures[name]), name)
	}
	w.begin(&c.scrapeDuration)
	w.with(time.Since(begun).Seconds())
}

// readLocked reads every running container and the root cgroup. With show what
// was read is taken for shown.
func (c *Containers) readLocked(list []*record.Container, show bool) {
	c.readings = c.readings[:0]
	c.scraped = time.Now()
	if !c.openLocked() {
		return
	}
	c.trackLocked(list)
	c.sampleLocked()
	c.renderLocked()
	c.readHostLocked()
	c.collectLocked(show)
	if c.kinds.has(kindDisk) {
		c.layers.wake(c.ctx, list)
	}
}

// failedLocked returns how often anything could not be read.
func (c *Containers) failedLocked() uint64 {
	var n uint64
	for _, times := range c.failures {
		n += times
	}
	return n
}

// openLocked finds the cgroups. It reports whether there is something to read.
func (c *Containers) openLocked() bool {
	if c.fs != nil {
		return true
	}
	fs, err := cgroup.NewFS(c.root, c.kinds.parts())
	if err != nil {
		if c.stats == nil {
			c.failures["/"]++
		}
		if c.down == nil && c.stats == nil {
			c.logger.Error("reading cgroups: there will be no container metrics", "error", err)
		}
		c.down = err
		return c.stats != nil
	}
	c.fs, c.down = fs, nil
	return true
}

// renderLocked renders the labels anew where the containers have changed.
func (c *Containers) renderLocked() {
	for _, known := range c.tracked {
		// A path is known once the cgroup has been opened.
		c.stale = c.stale || known.block == nil && known.look(false).path != ""
	}
	c.renewed = c.stale
	if !c.stale {
		return
	}
	c.stale = false
	names := make(map[string]bool)
	for _, known := range c.tracked {
		for name := range known.own {
			names[name] = true
		}
	}
	c.union = slices.Sorted(maps.Keys(names))
	for _, known := range c.tracked {
		if path := known.look(false).path; path != "" {
			known.block = containerBlock(path, known.container.Name, known.container.Image, known.own, c.union)
		}
	}
	if c.machine != nil {
		c.machine.block = containerBlock("/", "", "", nil, c.union)
	}
}

// collectLocked gathers the readings: first the machine, then the containers in
// the order of their IDs.
func (c *Containers) collectLocked(show bool) {
	if c.machine != nil {
		if v := c.machine.look(show); v.fresh {
			c.readings = append(c.readings, reading{path: v.path, labels: c.machine.block, sample: v.sample, at: v.at, host: &c.host, killed: c.machine.kills(v.sample)})
		}
	}
	if c.ids == nil {
		c.ids = slices.Sorted(maps.Keys(c.tracked))
	}
	// Each is looked at once: samples are published in the background meanwhile.
	clear(c.shown)
	c.shown = c.shown[:0]
	for _, id := range c.ids {
		known := c.tracked[id]
		if known.block == nil {
			// It was opened in the background since the labels were rendered.
			continue
		}
		if v := known.look(show); v.fresh {
			c.shown = append(c.shown, shown{id: id, known: known, view: v})
		}
	}
	c.shareLocked(c.shown)
	for i := range c.shown {
		s := &c.shown[i]
		c.readings = append(c.readings, reading{
			container: s.known.container, path: s.path, labels: s.known.block, sample: s.sample, at: s.at, host: &c.host,
			killed: c.killed[s.id] + s.known.kills(s.sample), sharedWith: s.sharedWith, layer: c.layers.use(s.id), log: c.logOf(s.id),
		})
		s.known.remember(&c.readings[len(c.readings)-1])
	}
}
