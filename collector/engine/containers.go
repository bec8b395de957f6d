package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/docker/docker/api/types/container"

	"tallyman/collector/record"
)

// Info describes the engine and its host.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var result Info
	err := c.call(ctx, "asking the engine about itself", func(ctx context.Context, api *library) error {
		info, err := api.info(ctx)
		if err != nil {
			return err
		}
		result = Info{
			ID:            info.ID,
			Name:          info.Name,
			Version:       info.ServerVersion,
			APIVersion:    api.version,
			Root:          info.DockerRootDir,
			LoggingDriver: info.LoggingDriver,
			CgroupDriver:  info.CgroupDriver,
			CgroupVersion: info.CgroupVersion,
			Kernel:        info.KernelVersion,
			OS:            info.OperatingSystem,
			NCPU:          info.NCPU,
			MemTotal:      info.MemTotal,
		}
		return nil
	})
	return result, err
}

// List returns all containers, also those that are not running.
func (c *Client) List(ctx context.Context) ([]Entry, error) {
	var entries []Entry
	err := c.call(ctx, "listing containers", func(ctx context.Context, api *library) error {
		summaries, err := api.list(ctx, container.ListOptions{All: true})
		if err != nil {
			return err
		}
		entries = make([]Entry, len(summaries))
		for i, s := range summaries {
			entries[i] = Entry{
				ID:      s.ID,
				Name:    ownName(s.Names),
				State:   s.State,
				Labels:  s.Labels,
				Image:   s.Image,
				Created: time.Unix(s.Created, 0).UTC(),
			}
		}
		return nil
	})
	return entries, err
}

// ownName picks a container's own name among those that links give it, which
// have the linking container's name in front.
func ownName(names []string) string {
	for _, name := range names {
		name = strings.TrimPrefix(name, "/")
		if !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}

// Inspect returns all that is known of one container. The error is ErrNotFound
// when it has gone.
func (c *Client) Inspect(ctx context.Context, id string) (*record.Container, error) {
	var result *record.Container
	asked := time.Now()
	err := c.call(ctx, fmt.Sprintf("inspecting container %q", id), func(ctx context.Context, api *library) error {
		response, raw, err := api.inspect(ctx, id, false)
		if err != nil {
			return err
		}
		result = fromInspect(id, &response)
		result.AsOf, result.Inspect = asked, c.answers.pack(raw)
		return nil
	})
	return result, err
}

// fromInspect translates the engine's answer. Any of its parts may be missing:
// other engines speak this API too.
func fromInspect(id string, r *container.InspectResponse) *record.Container {
	c := &record.Container{ID: id}
	if base := r.ContainerJSONBase; base != nil {
		if base.ID != "" {
			c.ID = base.ID
		}
		c.Name = strings.TrimPrefix(base.Name, "/")
		c.ImageID = shared(base.Image)
		if base.Path != "" {
			c.Command = sharedAll(append([]string{base.Path}, base.Args...))
		}
		c.LogPath = shared(base.LogPath)
		c.RestartCount = base.RestartCount
		c.Created = parseTime(base.Created)
		if state := base.State; state != nil {
			setState(c, state)
		}
		if host := base.HostConfig; host != nil {
			c.LogDriver = shared(host.LogConfig.Type)
			// dockerd takes no other values; without one it keeps the file it writes to.
			c.LogFiles, _ = strconv.Atoi(host.LogConfig.Config["max-file"])
			c.CgroupParent = host.CgroupParent
			c.NetworkMode = shared(string(host.NetworkMode))
		}
	}
	if config := r.Config; config != nil {
		c.Image = shared(config.Image)
		c.Hostname = config.Hostname
		c.Env = sharedAll(config.Env)
		c.Labels = sharedLabels(config.Labels)
		c.TTY = config.Tty
	}
	return c
}

// shared returns the text s in the memory that an equal one of another container
// has, if both were read between two collections of garbage, as those of a list
// mostly are: containers of one image or project differ in little.
func shared(s string) string { return unique.Make(s).Value() }

func sharedAll(texts []string) []string {
	all := make([]string, len(texts))
	for i, s := range texts {
		all[i] = shared(s)
	}
	return all
}

func sharedLabels(labels map[string]string) map[string]string {
	all := make(map[string]string, len(labels))
	for key, value := range labels {
		all[shared(key)] = shared(value)
	}
	return all
}

func setState(c *record.Container, state *container.State) {
	c.Status = shared(state.Status)
	c.Running = state.Running
	c.PID = state.Pid
	c.ExitCode = state.ExitCode
	c.OOMKilled = state.OOMKilled
	c.Started = parseTime(state.StartedAt)
	c.Finished = parseTime(state.FinishedAt)
	if state.Health != nil && state.Health.Status != container.NoHealthcheck {
		c.Health = state.Health.Status
	}
}

// parseTime reads a time of the engine. The engine's word for "never" is Go's
// zero time; what cannot be read is the same to us.
func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.IsZero() {
		return time.Time{}
	}
	return t
}
