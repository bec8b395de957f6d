package record

import "time"

// Container is what the agent knows of a container. It is immutable: a change
// of name or state makes a new one, so that it can be shared without a lock.
type Container struct {
	// ID is the engine's 64 hexadecimal digits.
	ID string
	// Name is the container's name without the leading slash.
	Name string
	// Image is the image as it was named when the container was made, ImageID
	// its digest.
	Image, ImageID string
	// Hostname is the container's own host name.
	Hostname string
	// Command is the path and arguments of the container's process.
	Command []string
	// Env is the environment, as KEY=value. It may hold secrets: it is never
	// shown, only looked up.
	Env []string
	// Labels are the container's labels.
	Labels map[string]string
	// LogDriver is the logging driver's name, LogPath the driver's file where
	// it tells one.
	LogDriver, LogPath string
	// LogFiles is how many files the driver keeps at most where it was told,
	// max-file, else 0.
	LogFiles int
	// TTY says that the container has a terminal, and so only one stream.
	TTY bool

	// Status is the engine's word: created, running, paused, restarting,
	// removing, exited or dead.
	Status string
	// Running is true also while the container is paused.
	Running bool
	// PID is the process id of the container's init in the engine's process
	// namespace, 0 when it is not running.
	PID int
	// ExitCode is the last exit code of a container that is not running.
	ExitCode int
	// OOMKilled says that the last run ended for want of memory.
	OOMKilled bool
	// Health is the engine's word for the health check: empty where there is
	// none, else starting, healthy or unhealthy.
	Health string
	// RestartCount is how often the engine has restarted the container.
	RestartCount int
	// Created, Started and Finished are the engine's times; zero when unknown.
	Created, Started, Finished time.Time
	// AsOf is when the engine was asked, by the clock of this host; its answer
	// is not older. It is zero when the engine could not be asked.
	AsOf time.Time

	// CgroupParent is the parent cgroup that was asked for, often empty.
	CgroupParent string
	// NetworkMode is the network mode: bridge, host, none, container:ID or the
	// name of a network.
	NetworkMode string

	// Inspect is the engine's whole answer about the container, for templates
	// that name its fields. It is nil when the container vanished before the
	// engine could be asked. It is not written down, for it has the environment.
	Inspect *Answer `json:"-"`
}

// Rests reports whether the container did not run when the engine was asked: what
// it had written until then was in its log, and what is newer is of another run.
func (c *Container) Rests() bool {
	return !c.AsOf.IsZero() && (!c.Running || c.Status == "restarting")
}

// ShortID returns the first 12 digits of the ID, as the engine's own client
// prints it.
func (c *Container) ShortID() string {
	if len(c.ID) > 12 {
		return c.ID[:12]
	}
	return c.ID
}

// Label returns the value of a label, empty when it is not set.
func (c *Container) Label(key string) string { return c.Labels[key] }

// LookupEnv returns the value of a variable of the container's environment.
func (c *Container) LookupEnv(key string) (string, bool) {
	for _, kv := range c.Env {
		if len(kv) > len(key) && kv[len(key)] == '=' && kv[:len(key)] == key {
			return kv[len(key)+1:], true
		}
	}
	return "", false
}
