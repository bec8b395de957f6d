package engine

import (
	"context"
	"io"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
)

// library is what is used of a client of Docker's library, with the version of
// the API that it speaks. It is functions, and not the client: the linker keeps
// every exported method of a type that an interface may come to hold, and with
// the client's hundred that would be half a megabyte of the program.
type library struct {
	version string
	info    func(context.Context) (system.Info, error)
	list    func(context.Context, container.ListOptions) ([]container.Summary, error)
	inspect func(ctx context.Context, id string, size bool) (container.InspectResponse, []byte, error)
	stats   func(ctx context.Context, id string) (container.StatsResponseReader, error)
	logs    func(ctx context.Context, id string, o container.LogsOptions) (io.ReadCloser, error)
	events  func(context.Context, events.ListOptions) (<-chan events.Message, <-chan error)
	close   func() error
}

func libraryOf(c *client.Client) *library {
	return &library{
		version: c.ClientVersion(),
		info:    c.Info,
		list:    c.ContainerList,
		inspect: c.ContainerInspectWithRaw,
		stats:   c.ContainerStatsOneShot,
		logs:    c.ContainerLogs,
		events:  c.Events,
		close:   c.Close,
	}
}
