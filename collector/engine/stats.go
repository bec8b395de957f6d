package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/docker/docker/api/types/container"

	"tallyman/collector/record"
)

// statsLimit is more than the statistics of any container take.
const statsLimit = 4 << 20

// Stats returns a container's statistics as the engine writes them, JSON. The
// engine is asked for one sample, which takes it a second at most; one that does
// not know of that takes two. The error is ErrNotFound when the container has
// gone.
func (c *Client) Stats(ctx context.Context, id string) ([]byte, error) {
	doing := fmt.Sprintf("reading the statistics of container %q", id)
	var content []byte
	err := c.call(ctx, doing, func(ctx context.Context, api *library) error {
		response, err := api.stats(ctx, id)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		content, err = io.ReadAll(io.LimitReader(response.Body, statsLimit))
		return err
	})
	return content, err
}

// WritableLayer returns the folder on the engine's host that holds what a
// container has written, empty where the engine does not tell: it does for
// overlay file systems.
func WritableLayer(c *record.Container) string {
	if c.Inspect == nil {
		return ""
	}
	details, ok := c.Inspect.Unpack().(container.InspectResponse)
	if !ok || details.ContainerJSONBase == nil {
		return ""
	}
	return details.GraphDriver.Data["UpperDir"]
}
