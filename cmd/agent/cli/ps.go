package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"tallyman/cmd/agent/api"
	"tallyman/routes"
)

func (c *command) ps() *cobra.Command {
	all, format := false, "table"
	cmd := &cobra.Command{
		Use: "ps [flags] [QUERY…]", Short: "List containers with their state and what they use",
		ValidArgsFunction: c.complete,
		RunE: func(cmd *cobra.Command, queries []string) error {
			if format != "table" && format != "json" {
				return usagef("bad value %q of --format; known are table, json", format)
			}
			return c.withSession(cmd, func(ctx context.Context, s *session) error {
				list, err := c.containers(ctx, s)
				if err != nil {
					return err
				}
				if !all || len(queries) > 0 {
					if list, err = choose(list, queries); err != nil {
						return err
					}
				}
				if format == "json" {
					return writeLines(c.Stdout, list)
				}
				return writeContainers(c.Stdout, list)
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that do not run")
	cmd.Flags().StringVar(&format, "format", format, "table or json")
	return cmd
}

// writeLines prints a JSON object a line.
func writeLines[T any](w io.Writer, list []T) error {
	encoder := json.NewEncoder(w)
	for i := range list {
		if err := encoder.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeContainers(w io.Writer, list []api.Container) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CONTAINER ID\tNAME\tGROUP\tIMAGE\tSTATUS\tLOG\tLINES/S\tCPU %\tMEMORY")
	for i := range list {
		r := &list[i]
		cpu, memory := "-", "-"
		if r.Now != nil {
			cpu, memory = fmt.Sprintf("%.2f%%", r.Now.CPUPercent), units.BytesSize(float64(r.Now.MemoryBytes))
		}
		group := r.Group
		if group == "" {
			group = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%s\t%s\n", short(r.ID), r.Name, group, r.Image, r.Status, r.Reader, r.LinesPerSecond, cpu, memory)
	}
	return table.Flush()
}

func (c *command) routes() *cobra.Command {
	cmd := &cobra.Command{
		Use: "routes", Short: "List the running agent's routes, or change them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAgent(cmd, func(ctx context.Context, s *session) error {
				var report struct{ Routes []api.Route }
				if err := s.fetch(ctx, "/api/v1/routes", &report); err != nil {
					return err
				}
				return writeRouteTable(c.Stdout, report.Routes)
			})
		},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "add URI", Short: "Add a route to the running agent", Args: cobra.ExactArgs(1),
			Example: "  tallyman routes add 'syslog+tls://logs.example:6514?filter.name=web_*'",
			RunE: func(cmd *cobra.Command, args []string) error {
				body, err := routeBody(args[0])
				if err != nil {
					return err
				}
				return c.change(cmd, http.MethodPost, "/routes", body)
			},
		},
		&cobra.Command{
			Use: "rm ID", Short: "Remove a route from the running agent", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return c.change(cmd, http.MethodDelete, "/routes/"+url.PathEscape(args[0]), nil)
			},
		},
	)
	return cmd
}

// routeBody returns the route of a URI as the agent's API takes it.
func routeBody(uri string) ([]byte, error) {
	u, err := url.Parse(uri)
	if err != nil || !strings.Contains(uri, "://") {
		return nil, usagef("the route %q cannot be read; it is written adapter://host:port?option=value", uri)
	}
	if u.Fragment != "" {
		return nil, usagef("what is behind the route's # would be left out; a # in an option is written %%23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, usagef("the route's options cannot be read: %w", err)
	}
	route := routes.Spec{Adapter: u.Scheme, Address: u.Host + u.EscapedPath(), Options: make(map[string]string)}
	if u.User != nil {
		route.Address = u.User.String() + "@" + route.Address
	}
	for key, values := range query {
		if len(values) > 1 {
			return nil, usagef("the route's option %q is given %d times", key, len(values))
		}
		switch value := values[0]; key {
		case "name":
			route.ID = value
		case "filter.id":
			route.FilterID = value
		case "filter.name":
			route.FilterName = value
		case "filter.sources":
			route.FilterSources = api.Words(value)
		case "filter.labels":
			route.FilterLabels = api.Words(value)
		default:
			route.Options[key] = value
		}
	}
	return json.Marshal(route)
}

// change asks the agent to change its routes and prints what it answers.
func (c *command) change(cmd *cobra.Command, method, path string, body []byte) error {
	return c.withAgent(cmd, func(ctx context.Context, s *session) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		response, err := s.do(ctx, method, path, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("asking the agent: %w", err)
		}
		defer response.Body.Close()
		if err := refusal(response); err != nil {
			return err
		}
		_, err = io.Copy(c.Stdout, response.Body)
		return err
	})
}

func writeRouteTable(w io.Writer, list []api.Route) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "There is no route.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "ROUTE\tSTATE\tCONTAINERS\tDELIVERED\tIN FLIGHT\tDROPPED\tBEHIND\tLAG\tPROBLEM")
	for i := range list {
		r := &list[i]
		state := "up"
		if r.Down {
			state = "down"
		}
		dropped := int64(0)
		for _, d := range r.Dropped {
			dropped += d.Lines
		}
		lag := time.Duration(r.LagSeconds * float64(time.Second)).Round(time.Millisecond)
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", r.Route, state, r.Containers, r.Delivered.Lines,
			r.InFlight.Lines, dropped, units.BytesSize(float64(r.Behind)), lag, r.Problem)
	}
	return table.Flush()
}
