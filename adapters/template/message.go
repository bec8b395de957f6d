package template

import (
	"strings"
	"time"

	"tallyman/collector/record"
)

// message is what a template sees as its dot: the fields and methods of
// Logspout's messages.
type message struct {
	// Container is the engine's answer about the container; nil until a template
	// reads it.
	Container any
	// Source is stdout or stderr.
	Source string
	// Data is the line without its newline.
	Data string
	// Time is when the engine took the line.
	Time time.Time

	container *record.Container
	record    *record.Record
	runner    *Runner
}

// Logspout's facility, user, and severities, info and err (RFC 5424, section
// 6.2.1).
const (
	facilityUser = 1
	severityInfo = 6
	severityErr  = 3
)

// Priority returns the number at a syslog message's beginning.
func (m *message) Priority() int { return m.Facility()<<3 | m.Severity() }

// Severity returns the lower part of the priority, 0 to 7.
func (m *message) Severity() int {
	switch {
	case m.runner.Severity != nil:
		return m.runner.Severity(m.record)
	case m.record.Stream == record.Stderr:
		return severityErr
	default:
		return severityInfo
	}
}

// Facility returns the upper part of the priority, 0 to 23.
func (m *message) Facility() int {
	if m.runner.Severity == nil {
		return facilityUser
	}
	return m.runner.Facility
}

// Timestamp returns the time as a message's header has it.
func (m *message) Timestamp() string {
	layout := m.runner.Layout
	if layout == "" {
		layout = time.RFC3339
	}
	return m.Time.Format(layout)
}

// Hostname returns the container's own host name.
func (m *message) Hostname() string { return m.container.Hostname }

// Host returns the name of the agent's host.
func (m *message) Host() string { return m.runner.Host }

// ContainerName returns the container's name without the leading slash.
func (m *message) ContainerName() string { return m.container.Name }

// ContainerNameSplitN splits the container's name at sep into at most n parts.
func (m *message) ContainerNameSplitN(sep string, n int) []string {
	return strings.SplitN(m.container.Name, sep, n)
}

// inspected returns the engine's answer about c. For a container that was gone
// before the engine could be asked it is what the agent knows, in the same
// shape, so that templates need not tell the two apart.
func inspected(c *record.Container) any {
	if c.Inspect != nil {
		return c.Inspect.Keep()
	}
	known := &answer{
		ID: c.ID, Name: "/" + c.Name, Image: c.ImageID, LogPath: c.LogPath, RestartCount: c.RestartCount,
		State: &state{
			Status: c.Status, Running: c.Running, OOMKilled: c.OOMKilled, Pid: c.PID, ExitCode: c.ExitCode,
			StartedAt: c.Started.UTC().Format(time.RFC3339Nano), FinishedAt: c.Finished.UTC().Format(time.RFC3339Nano),
		},
		HostConfig: &hostConfig{NetworkMode: c.NetworkMode, CgroupParent: c.CgroupParent, LogConfig: logConfig{Type: c.LogDriver}},
		Config:     &config{Hostname: c.Hostname, Image: c.Image, Labels: c.Labels, Env: c.Env, Tty: c.TTY},
	}
	if !c.Created.IsZero() {
		known.Created = c.Created.UTC().Format(time.RFC3339Nano)
	}
	if len(c.Command) > 0 {
		known.Path, known.Args = c.Command[0], c.Command[1:]
	}
	return known
}

// answer has the fields of GET /containers/{id}/json of the Docker Engine API
// that the agent can fill.
type answer struct {
	ID           string `json:"Id"`
	Created      string
	Path         string
	Args         []string
	State        *state
	Image        string
	LogPath      string
	Name         string
	RestartCount int
	HostConfig   *hostConfig
	Config       *config
}

type state struct {
	Status                string
	Running, OOMKilled    bool
	Pid, ExitCode         int
	StartedAt, FinishedAt string
}

type hostConfig struct {
	LogConfig    logConfig
	NetworkMode  string
	CgroupParent string
}

type logConfig struct{ Type string }

type config struct {
	Hostname, Image string
	Labels          map[string]string
	Env             []string
	Tty             bool
}
