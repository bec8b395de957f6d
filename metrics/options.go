package metrics

import (
	"context"
	"log/slog"
	"time"

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

	// Kinds are what is shown, DefaultKinds when zero.
	Kinds Kinds
	// OmitRoot leaves out id="/", as cAdvisor's --disable_root_cgroup_stats.
	OmitRoot bool
	// OmitContainerLabels leaves out the container_label_* labels, except those
	// of the keys in LabelWhitelist. It is cAdvisor's
	// --store_container_labels=false; as there, the whitelist has no effect
	// without it.
	OmitContainerLabels bool
	LabelWhitelist      []string
	// EnvWhitelist are the beginnings of the names of variables that become
	// container_env_* labels, as in cAdvisor's --env_metadata_whitelist.
	EnvWhitelist []string

	// LogUse returns what is known of the log of the container with an ID, false
	// where nothing is. It may be nil.
	LogUse func(id string) (record.LogUse, bool)
	// Layer returns the folder of a container's writable layer on the host,
	// empty where the engine does not tell. It may be nil.
	Layer func(*record.Container) string
	// Deadline is how long a scrape waits for the containers' files, 5 seconds
	// when zero. What has not come by then is left out and counted.
	Deadline time.Duration
	// Stats asks the engine's API for a container's statistics, as JSON. It is
	// used for containers whose cgroups cannot be seen, and may be nil. Its error
	// is ErrGone when the engine does not know the container.
	Stats func(ctx context.Context, id string) ([]byte, error)
}

// ErrGone says that a container is no more.
var ErrGone = cgroup.ErrGone

// defaultDeadline is less than Prometheus's own of 10 seconds.
const defaultDeadline = 5 * time.Second

// inUse is how long after a scrape containers are followed as they start and
// end. Without scrapes that would be work for nobody.
const inUse = 10 * time.Minute
