package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/metrics/recent"
	"tallyman/routes"
)

// Container is a container as the API tells it.
type Container struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Image     string            `json:"image"`
	State     string            `json:"state"`
	Status    string            `json:"status"`
	Health    string            `json:"health"`
	ExitCode  int               `json:"exit_code"`
	OOMKilled bool              `json:"oom_killed"`
	Restarts  int               `json:"restarts"`
	Created   time.Time         `json:"created,omitzero"`
	Started   time.Time         `json:"started,omitzero"`
	Finished  time.Time         `json:"finished,omitzero"`
	Labels    map[string]string `json:"labels"`
	Group     string            `json:"group"`
	Service   string            `json:"service"`
	TTY       bool              `json:"tty"`
	LogDriver string            `json:"log_driver"`
	// Reader is how the log is read: file, api, or none for the Reason.
	Reader string `json:"reader"`
	Reason string `json:"reason"`
	// Now is nil for a container that does not run, or was not measured yet.
	Now            *Usage  `json:"now"`
	LinesPerSecond float64 `json:"lines_per_second"`
	// EnvNames are told of a single container alone.
	EnvNames []string `json:"env_names,omitempty"`
}

// Usage is what a container uses now. The rates are over the last second
// or so, the totals since the container was started.
type Usage struct {
	CPUPercent       float64 `json:"cpu_percent"`
	MemoryBytes      uint64  `json:"memory_bytes"`
	MemoryLimitBytes uint64  `json:"memory_limit_bytes"`
	NetworkRxBPS     float64 `json:"network_rx_bps"`
	NetworkTxBPS     float64 `json:"network_tx_bps"`
	DiskReadBPS      float64 `json:"disk_read_bps"`
	DiskWriteBPS     float64 `json:"disk_write_bps"`
	Pids             uint64  `json:"pids"`
	NetworkRxBytes   uint64  `json:"network_rx_bytes"`
	NetworkTxBytes   uint64  `json:"network_tx_bytes"`
	DiskReadBytes    uint64  `json:"disk_read_bytes"`
	DiskWriteBytes   uint64  `json:"disk_write_bytes"`
}

type Containers struct {
	Containers []Container `json:"containers"`
}

func (a *Server) serveContainers(w http.ResponseWriter, _ *http.Request) error {
	// Who is told of some of them takes the others for removed.
	if err := a.listed(); err != nil {
		return err
	}
	status := a.Collector.Status()
	reasons := make(map[string]string)
	for _, u := range status.Unreadable {
		reasons[u.ID] = u.Reason
	}
	report := Containers{Containers: []Container{}}
	for _, c := range a.Collector.Containers() {
		report.Containers = append(report.Containers, a.report(c, reasons[c.ID], uint64(status.Engine.MemTotal)))
	}
	slices.SortFunc(report.Containers, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return writeJSON(w, report)
}

// one returns the container that a request's path names.
func (a *Server) one(r *http.Request) (*record.Container, error) {
	word := r.PathValue("id")
	list, err := a.find(&selection{words: []string{word}})
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if c.Name == word || c.ID == word {
			return c, nil
		}
	}
	if len(list) > 1 {
		return nil, badRequest("the IDs of %d containers begin with %q; write more of it", len(list), word)
	}
	return list[0], nil
}

func (a *Server) serveContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := a.one(r)
	if err != nil {
		return err
	}
	status := a.Collector.Status()
	reason := ""
	for _, u := range status.Unreadable {
		if u.ID == c.ID {
			reason = u.Reason
		}
	}
	report := a.report(c, reason, uint64(status.Engine.MemTotal))
	for _, variable := range c.Env {
		name, _, _ := strings.Cut(variable, "=")
		report.EnvNames = append(report.EnvNames, name)
	}
	return writeJSON(w, report)
}

// report tells of a container. memory is that of the machine, which is the limit
// of a container that has none.
func (a *Server) report(c *record.Container, reason string, memory uint64) Container {
	report := Container{
		ID: c.ID, Name: c.Name, Image: c.Image, State: c.Status, Status: statusText(c, time.Now()), Health: c.Health,
		ExitCode: c.ExitCode, OOMKilled: c.OOMKilled, Restarts: c.RestartCount, Created: c.Created, Started: c.Started,
		Finished: c.Finished, Labels: c.Labels, Group: group(c), Service: service(c), TTY: c.TTY, LogDriver: c.LogDriver,
		Reader: "api", Reason: reason,
	}
	if report.Labels == nil {
		report.Labels = map[string]string{}
	}
	dir, err := a.Files.Get()
	switch {
	case reason != "" || a.Collector.Log(c.ID) == nil:
		report.Reader = "none"
	case err == nil && (c.LogDriver == "" || c.LogDriver == jsonfile.Driver):
		report.Reader = "file"
		report.LinesPerSecond = a.lines.rate(dir, c.ID, time.Now())
	}
	now, ok := a.Recent.Now(c.ID)
	if !ok || !c.Running {
		return report
	}
	if now.MemoryLimit == 0 || now.MemoryLimit > memory && memory > 0 {
		now.MemoryLimit = memory
	}
	report.Now = &Usage{
		CPUPercent: now.CPUPercent, MemoryBytes: uint64(now.MemoryBytes), MemoryLimitBytes: now.MemoryLimit,
		NetworkRxBPS: now.NetworkRx, NetworkTxBPS: now.NetworkTx, DiskReadBPS: now.DiskRead, DiskWriteBPS: now.DiskWrite,
		Pids: now.Pids, NetworkRxBytes: now.NetworkRxTotal, NetworkTxBytes: now.NetworkTxTotal,
		DiskReadBytes: now.DiskReadTotal, DiskWriteBytes: now.DiskWriteTotal,
	}
	return report
}

// statusText says what a container does in the words of docker ps.
func statusText(c *record.Container, now time.Time) string {
	text := ""
	switch {
	case c.Running && c.Status == "restarting":
		text = fmt.Sprintf("Restarting (%d) %s ago", c.ExitCode, units.HumanDuration(now.Sub(c.Finished)))
	case c.Running:
		text = "Up " + units.HumanDuration(now.Sub(c.Started))
		if c.Status == "paused" {
			text += " (Paused)"
		} else if c.Health != "" {
			text += " (" + c.Health + ")"
		}
	case c.Status == "exited":
		text = fmt.Sprintf("Exited (%d) %s ago", c.ExitCode, units.HumanDuration(now.Sub(c.Finished)))
	case c.Status != "":
		text = strings.ToUpper(c.Status[:1]) + c.Status[1:]
	}
	return text
}

// Stats is what GET /api/v1/containers/{id}/stats says.
type Stats struct {
	IntervalSeconds float64        `json:"interval_seconds"`
	Points          []recent.Point `json:"points"`
}

func (a *Server) serveStats(w http.ResponseWriter, r *http.Request) error {
	c, err := a.one(r)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("window")
	if name == "" {
		name = recent.Windows()[0].Name
	}
	var names []string
	for _, window := range recent.Windows() {
		if window.Name == name {
			return writeJSON(w, Stats{window.Interval.Seconds(), a.Recent.Points(c.ID, name)})
		}
		names = append(names, window.Name)
	}
	return badRequest("unknown window %q; known are %s", name, strings.Join(names, ", "))
}

// Route is a route's state with its account.
type Route struct {
	routes.Tally
	LagSeconds float64 `json:"lag_seconds"`
	Containers int     `json:"containers"`
}

func (a *Server) serveRoutes(w http.ResponseWriter, _ *http.Request) error {
	list := []Route{}
	for _, route := range a.routes() {
		lag := route.Lag()
		list = append(list, Route{route.Tally(), lag.Age.Seconds(), lag.Containers})
	}
	return writeJSON(w, map[string]any{"routes": list})
}

// routes returns what is delivered to.
func (a *Server) routes() []*routes.Route {
	if a.Table == nil {
		return nil
	}
	return a.Table.Routes()
}
