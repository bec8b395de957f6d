package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"tallyman/collector/record"
)

// Info describes the engine and its host.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var result Info
	err := c.call(ctx, "asking the engine about itself", func(ctx context.Context, api *client.Client) error {
		info, err := api.Info(ctx)
		if err != nil {
			return err
		}
		result = Info{
			ID:            info.ID,
			Name:          info.Name,
			Version:       info.ServerVersion,
			APIVersion:    api.ClientVersion(),
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
	err := c.call(ctx, "listing containers", func(ctx context.Context, api *client.Client) error {
		summaries, err := api.ContainerList(ctx, container.ListOptions{All: true})
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
	err := c.call(ctx, fmt.Sprintf("inspecting container %q", id), func(ctx context.Context, api *client.Client) error {
		response, err := api.ContainerInspect(ctx, id)
		if err != nil {
			return err
		}
		result = fromInspect(id, response)
		return nil
	})
	return result, err
}

// fromInspect translates the engine's answer. Any of its parts may be missing:
// other engines speak this API too.
func fromInspect(id string, r container.InspectResponse) *record.Container {
	c := &record.Container{ID: id, Inspect: r}
	if base := r.ContainerJSONBase; base != nil {
		if base.ID != "" {
			c.ID = base.ID
		}
		c.Name = strings.TrimPrefix(base.Name, "/")
		c.ImageID = base.Image
		if base.Path != "" {
			c.Command = append([]string{base.Path}, base.Args...)
		}
		c.LogPath = base.LogPath
		c.RestartCount = base.RestartCount
		c.Created = parseTime(base.Created)
		if state := base.State; state != nil {
			setState(c, state)
		}
		if host := base.HostConfig; host != nil {
			c.LogDriver = host.LogConfig.Type
			c.CgroupParent = host.CgroupParent
			c.NetworkMode = string(host.NetworkMode)
		}
	}
	if config := r.Config; config != nil {
		c.Image = config.Image
		c.Hostname = config.Hostname
		c.Env = config.Env
		c.Labels = config.Labels
		c.TTY = config.Tty
	}
	return c
}

func setState(c *record.Container, state *container.State) {
	c.Status = state.Status
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
