package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"tallyman/cmd/agent/api"
	"tallyman/collector/record"
	"tallyman/routes"
)

func (c *command) tally() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "tally [--json] [CONTAINER…]", Short: "Tell what became of every line: did a container's log arrive?",
		Long:              "Tell what became of every line. A CONTAINER is a name or the beginning of an ID; without one it is all of them.",
		ValidArgsFunction: c.complete,
		RunE: func(cmd *cobra.Command, containers []string) error {
			return c.withAgent(cmd, func(ctx context.Context, s *session) error {
				var answer json.RawMessage
				if err := s.fetch(ctx, "/api/v1/tally?"+url.Values{"container": containers}.Encode(), &answer); err != nil {
					return err
				}
				if asJSON {
					_, err := fmt.Fprintf(c.Stdout, "%s\n", answer)
					return err
				}
				var report api.Tally
				if err := json.Unmarshal(answer, &report); err != nil {
					return fmt.Errorf("reading the agent's answer: %w", err)
				}
				return writeTally(c.Stdout, &report)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeTally prints the accounts, one table a route.
func writeTally(w io.Writer, report *api.Tally) error {
	if len(report.Routes) == 0 {
		_, err := fmt.Fprintln(w, "There is no route.")
		return err
	}
	for i := range report.Routes {
		t := &report.Routes[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n", t.Route)
		if t.Down {
			fmt.Fprintf(w, "  down: %s\n", t.Problem)
		}
		if !t.Balanced {
			fmt.Fprintln(w, "  the accounts do not agree: this is a mistake in the agent, please report it")
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "  CONTAINER\tREAD\tDELIVERED\tFILTERED\tDROPPED\tIN FLIGHT\tSENT AGAIN\tBEHIND\tSTATE")
		for _, c := range t.Containers {
			writeAccount(table, c.Name, &c.Account, c.InFlight, c.Resent, c.Behind, stateOf(&c))
		}
		writeAccount(table, "all since the start", &t.Account, t.InFlight, t.Resent, t.Behind, "")
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func writeAccount(w io.Writer, name string, a *record.Account, inFlight, resent record.Count, behind int64, state string) {
	fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%s\n", name, a.Read.Lines, a.Delivered.Lines, a.Filtered.Lines,
		dropsOf(a), inFlight.Lines, resent.Lines, units.BytesSize(float64(behind)), state)
}

// dropsOf writes what was dropped, with the reasons.
func dropsOf(a *record.Account) string {
	if len(a.Dropped) == 0 && a.Gaps == 0 {
		return "0"
	}
	var parts []string
	for _, d := range a.Dropped {
		parts = append(parts, fmt.Sprintf("%d %s", d.Lines, d.Reason))
	}
	if a.Gaps > 0 {
		parts = append(parts, fmt.Sprintf("%d times an unknown number", a.Gaps))
	}
	return strings.Join(parts, ", ")
}

// stateOf answers whether a container's log has arrived.
func stateOf(c *routes.ContainerTally) string {
	switch {
	case !c.Ended.IsZero() && c.Complete:
		return "removed, all arrived"
	case !c.Ended.IsZero():
		return "removed, not all arrived"
	case c.Complete:
		return "all arrived"
	case c.Behind > 0 || c.InFlight.Lines > 0:
		return "behind"
	default:
		return "not all arrived"
	}
}
