package metrics

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// Options say what NewContainers shows. Only Containers is needed.
type Options struct {
	// Containers returns the containers that exist now. It is called once in
	// every scrape.
	Containers func() []*record.Container
	// Root is the host's root folder, "/" when empty.
	Root string
	// Logger is told when a container, or the cgroups at all, cannot be read,
	// once each. Nothing is logged when it is nil.
	Logger *slog.Logger

	// OmitContainerLabels leaves out the container_label_* labels, except those
	// of the keys in LabelWhitelist. It is cAdvisor's
	// --store_container_labels=false; as there, the whitelist has no effect
	// without it.
	OmitContainerLabels bool
	LabelWhitelist      []string
	// EnvWhitelist are the beginnings of the names of variables that become
	// container_env_* labels, as in cAdvisor's --env_metadata_whitelist.
	EnvWhitelist []string
}

// Containers is the collector of the running containers and of the root cgroup.
// It is safe for concurrent use; scrapes take turns.
type Containers struct {
	containers func() []*record.Container
	root       string
	logger     *slog.Logger
	rules      labelRules
	table      []family
	descs      []*prometheus.Desc // by row of table

	// The families that are not about one container.
	scrapeError    *prometheus.Desc
	scrapeErrors   *prometheus.Desc
	scrapeDuration *prometheus.Desc

	mu sync.Mutex // guards what follows
	// fs is nil until the cgroup mounts have been found.
	fs *cgroup.FS
	// machine is the root cgroup, tracked the container of each id.
	machine *tracked
	tracked map[string]*tracked
	// union is the sorted names of the labels that containers bring; stale says
	// that a container has come, gone or changed since it was made.
	union []string
	stale bool
	// sample is what every container is read into in turn.
	sample cgroup.Sample
	// devices are the paths of the block devices, empty until the first is
	// asked for in a scrape: numbers may pass from one device to another.
	devices  map[cgroup.Device]string
	bootTime time.Time
	// failures counts what could not be read, and down says that the last
	// scrape found no cgroups.
	failures uint64
	down     bool
	// size is how many series to make room for, after the last scrape's.
	size int
}

// tracked is what is kept of a container from one scrape to the next.
type tracked struct {
	// container is the one that own was made from, nil for the root cgroup.
	container *record.Container
	// group is nil while the cgroup cannot be opened.
	group *cgroup.Cgroup
	own   map[string]string
	base  []*dto.LabelPair
	// failing says that the last reading failed, and was logged.
	failing bool
}

// close closes the open files.
func (t *tracked) close() {
	if t.group != nil {
		t.group.Close()
	}
}

// NewContainers returns the collector. Nothing is read before the first scrape.
func NewContainers(options Options) *Containers {
	c := &Containers{
		containers: options.Containers,
		root:       options.Root,
		logger:     options.Logger,
		rules:      newLabelRules(options),
		table:      containerTable(),
		tracked:    make(map[string]*tracked),
		devices:    make(map[cgroup.Device]string),

		scrapeError:    newDesc("container_scrape_error", "1 when a container could not be read in this scrape, else 0."),
		scrapeErrors:   newDesc("tallyman_scrape_errors_total", "Containers that could not be read, in all scrapes."),
		scrapeDuration: newDesc("tallyman_scrape_duration_seconds", "Time that reading all containers took in this scrape, in seconds."),
	}
	if c.root == "" {
		c.root = "/"
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	for _, row := range c.table {
		c.descs = append(c.descs, newDesc(row.name, row.help))
	}
	return c
}

// Describe describes nothing: the labels of the families are those of the
// containers that there are.
func (c *Containers) Describe(chan<- *prometheus.Desc) {}

// Collect reads every running container and the root cgroup.
func (c *Containers) Collect(metrics chan<- prometheus.Metric) {
	out := c.scrape(c.containers())
	for i := range out {
		metrics <- &out[i]
	}
}

// Forget closes what is open of a container. It is for when a container has
// stopped: an open handle would keep its network namespace until the next
// scrape.
func (c *Containers) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(id)
}

// Close closes all open files. A later scrape would open them again.
func (c *Containers) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.tracked {
		c.forgetLocked(id)
	}
	if c.machine != nil {
		c.machine.close()
		c.machine = nil
	}
}

// scrape reads the containers and returns their series.
func (c *Containers) scrape(list []*record.Container) []series {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := time.Now()
	before := c.failures
	out := c.readLocked(list)
	failed := 0.0
	if c.failures > before {
		failed = 1
	}
	return append(out,
		series{desc: c.scrapeError, kind: gauge, value: failed},
		series{desc: c.scrapeErrors, kind: counter, value: float64(c.failures)},
		series{desc: c.scrapeDuration, kind: gauge, value: time.Since(begun).Seconds()})
}

// readLocked opens what is new, closes what is gone and reads the rest.
func (c *Containers) readLocked(list []*record.Container) []series {
	if c.fs == nil {
		fs, err := cgroup.NewFS(c.root)
		if err != nil {
			c.failures++
			if !c.down {
				c.logger.Error("reading cgroups: there will be no container metrics", "error", err)
			}
			c.down = true
			return nil
		}
		c.fs, c.down = fs, false
	}
	clear(c.devices)
	if c.bootTime.IsZero() {
		c.bootTime = readBootTime(c.root)
	}
	c.trackLocked(list)
	c.renderLocked()
	r := reading{
		sample:     &c.sample,
		bootTime:   c.bootTime,
		memory:     readMemory(c.root).total,
		deviceName: c.deviceNameLocked,
	}
	out := make([]series, 0, c.size)
	out = c.appendLocked(out, c.machine, &r)
	for _, id := range slices.Sorted(maps.Keys(c.tracked)) {
		out = c.appendLocked(out, c.tracked[id], &r)
	}
	c.size = len(out) + len(out)/8
	return out
}

// trackLocked brings what is tracked in line with the containers there are.
func (c *Containers) trackLocked(list []*record.Container) {
	if c.machine == nil {
		c.machine, c.stale = new(tracked), true
	}
	if c.machine.group == nil {
		group, err := c.fs.OpenRoot()
		if err != nil {
			c.failedLocked(c.machine, err)
		}
		c.machine.group = group
	}
	running := make(map[string]*record.Container, len(list))
	for _, container := range list {
		if container.Running && container.PID > 0 {
			running[container.ID] = container
		}
	}
	for id, known := range c.tracked {
		now := running[id]
		if now == nil || now.PID != known.container.PID || !now.Started.Equal(known.container.Started) {
			c.forgetLocked(id)
		}
	}
	for id, container := range running {
		known := c.tracked[id]
		if known == nil {
			known = new(tracked)
			c.tracked[id] = known
		}
		if known.container != container {
			known.container, known.own = container, c.rules.own(container)
			c.stale = true
		}
		if known.group != nil {
			continue
		}
		group, err := c.fs.Open(container.PID, id)
		if err != nil {
			c.failedLocked(known, err)
			continue
		}
		known.group, c.stale = group, true
	}
}

// failedLocked deals with a container that could not be read. One that ended
// meanwhile is no failure.
func (c *Containers) failedLocked(known *tracked, err error) {
	if errors.Is(err, cgroup.ErrGone) && known.container != nil {
		c.forgetLocked(known.container.ID)
		return
	}
	c.failures++
	if !known.failing {
		name := "/"
		if known.container != nil {
			name = known.container.Name
		}
		c.logger.Warn("reading the metrics of a container", "container", name, "error", err)
	}
	known.failing = true
}

// forgetLocked closes and forgets a container.
func (c *Containers) forgetLocked(id string) {
	if known := c.tracked[id]; known != nil {
		known.close()
		delete(c.tracked, id)
		c.stale = true
	}
}

// renderLocked renders the labels anew where the containers have changed.
func (c *Containers) renderLocked() {
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
		if known.group != nil {
			known.base = baseLabels(known.group.Path(), known.container.Name, known.container.Image, known.own, c.union)
		}
	}
	c.machine.base = baseLabels("/", "", "", nil, c.union)
}

// appendLocked reads one container and appends its series.
func (c *Containers) appendLocked(out []series, known *tracked, r *reading) []series {
	if known.group == nil {
		return out
	}
	err := known.group.Read(&c.sample)
	if err != nil {
		c.failedLocked(known, err)
		if errors.Is(err, cgroup.ErrGone) {
			return out
		}
	}
	known.failing = err != nil
	r.container, r.now = known.container, time.Now()
	// One function serves all rows: a new one for each would be a piece of
	// garbage for each family and container.
	var at int
	give := func(value float64, labels ...string) {
		row := &c.table[at]
		out = append(out, series{
			desc:   c.descs[at],
			kind:   row.kind,
			labels: mergeLabels(known.base, row.labels, labels),
			value:  value,
		})
	}
	for at = range c.table {
		c.table[at].read(r, give)
	}
	return out
}

// deviceNameLocked returns the path of a block device, as in "/dev/sda". A
// device without a name is called by its numbers, so that two of them stay apart.
func (c *Containers) deviceNameLocked(device cgroup.Device) string {
	if path, ok := c.devices[device]; ok {
		return path
	}
	names, err := c.fs.Devices()
	if err != nil {
		c.logger.Warn("naming block devices by their numbers", "error", err)
	}
	for number, name := range names {
		c.devices[number] = "/dev/" + name
	}
	if _, ok := c.devices[device]; !ok {
		c.devices[device] = device.String()
	}
	return c.devices[device]
}
