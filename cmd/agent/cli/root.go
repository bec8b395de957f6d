// Package cli is the commands that look at containers, through the API of the
// running agent or, where none runs, of this process.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tallyman/cmd/agent/api"
	"tallyman/collector/engine"
)

// askTimeout is the time that the running agent may take to answer a command.
const askTimeout = 5 * time.Second

// Config is what the commands are given.
type Config struct {
	// Addr is where the agent is, empty for the places where it usually is: its
	// socket in StateDir, then Listen.
	Addr string
	// CA is a file with certificates of authorities to trust besides the system's
	// when Addr is an address of HTTPS, empty for none.
	CA string
	// Listen is the address of the agent's HTTP server that a client on the same
	// machine reaches best.
	Listen string
	// Token is shown to an agent that is asked over TCP, empty for none.
	Token string
	// StateDir is the agent's state folder.
	StateDir string
	// DockerRoot, Root and Engine are how the host is read where no agent runs:
	// the folder of the engine's data, empty for where the engine says, the host's
	// root folder, empty for this process's own, and how the engine is reached.
	DockerRoot, Root string
	Engine           engine.Options
	Version          string
	// NoColor says that nothing is coloured unless it is asked for.
	NoColor bool
	// Stdout takes what was asked for, Stderr all else.
	Stdout, Stderr io.Writer
}

// UsageError is an error in what the user has written.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }
func (e UsageError) Unwrap() error { return e.Err }

func usagef(format string, args ...any) error {
	return UsageError{fmt.Errorf(format, args...)}
}

// UnreachableError says that no agent answers, nor the engine in its place.
type UnreachableError struct{ Err error }

func (e UnreachableError) Error() string { return e.Err.Error() }
func (e UnreachableError) Unwrap() error { return e.Err }

// command is what all commands have in common.
type command struct {
	Config
	// ca is what --ca says; Config's is the environment's, which also commands have
	// that ask no agent over TLS.
	ca string
}

// IsCommand reports whether a word is one of the commands that Run runs.
func IsCommand(word string) bool {
	switch word {
	case "logs", "top", "ps", "routes", "tally", "health", "spool", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true
	}
	return false
}

// Run runs a command that asks the agent or, where none runs, the host. args are
// the words behind the program's name.
func Run(ctx context.Context, config Config, args []string) error {
	// A reader that has enough closes the pipe: then writing fails, which ends
	// the command without an error.
	signal.Ignore(syscall.SIGPIPE)
	c := &command{Config: config}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(c.Stdout)
	root.SetErr(c.Stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return nil
	}
	return err
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use: "tallyman", Short: "Delivers the logs of this host's containers and shows their resource use",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&c.Addr, "addr", c.Addr, "`ADDRESS` of the agent: host:port, https://host:port or unix:///path (default: its socket in the state folder, then --listen)")
	flags.StringVar(&c.ca, "ca", "", "PEM `FILE` of certificate authorities to trust besides the system's, for https")
	flags.StringVar(&c.Listen, "listen", c.Listen, "address of the agent's HTTP server")
	flags.StringVar(&c.StateDir, "state-dir", c.StateDir, "the agent's state folder")
	flags.StringVar(&c.DockerRoot, "docker-root", c.DockerRoot, "folder of the engine's data, where no agent runs")
	root.AddCommand(c.logs(), c.top(), c.ps(), c.routes(), c.tally(), c.health(), c.spool())
	// These are run before the words are looked at here; they are known for the
	// sake of completion.
	for name, short := range map[string]string{
		"check": "Say what would run", "version": "Print the version",
	} {
		root.AddCommand(&cobra.Command{Use: name, Short: short, DisableFlagParsing: true, Run: func(*cobra.Command, []string) {}})
	}
	return root
}

// containers returns the containers that there are.
func (c *command) containers(ctx context.Context, s *session) ([]api.Container, error) {
	var report api.Containers
	if err := s.fetch(ctx, "/api/v1/containers", &report); err != nil {
		return nil, err
	}
	return report.Containers, nil
}

// choose returns the containers that words name: by name or the beginning of an
// ID, by a pattern such as web_*, or by an expression as in /^web/. Without a word
// it is those that run.
func choose(list []api.Container, queries []string) ([]api.Container, error) {
	var chosen []api.Container
	taken := make(map[string]bool)
	take := func(want func(*api.Container) bool) int {
		n := 0
		for i := range list {
			if want(&list[i]) {
				n++
				if !taken[list[i].ID] {
					taken[list[i].ID] = true
					chosen = append(chosen, list[i])
				}
			}
		}
		return n
	}
	if len(queries) == 0 {
		take(isRunning)
		return chosen, nil
	}
	for _, query := range queries {
		if take(func(r *api.Container) bool { return r.Name == query }) > 0 {
			continue
		}
		var want func(*api.Container) bool
		switch {
		case len(query) > 2 && strings.HasPrefix(query, "/") && strings.HasSuffix(query, "/"):
			re, err := regexp.Compile(query[1 : len(query)-1])
			if err != nil {
				return nil, usagef("the expression %s cannot be read: %w", query, err)
			}
			want = func(r *api.Container) bool { return re.MatchString(r.Name) }
		case strings.ContainsAny(query, "*?["):
			if _, err := path.Match(query, ""); err != nil {
				return nil, usagef("the pattern %q cannot be read: %w", query, err)
			}
			want = func(r *api.Container) bool { ok, _ := path.Match(query, r.Name); return ok }
		default:
			want = func(r *api.Container) bool { return strings.HasPrefix(r.ID, query) }
		}
		if take(want) == 0 {
			return nil, fmt.Errorf("there is no container %s; tallyman ps -a lists those there are", query)
		}
	}
	return chosen, nil
}

// isRunning reports whether a container runs, or is about to again.
func isRunning(r *api.Container) bool {
	switch r.State {
	case "running", "paused", "restarting":
		return true
	}
	return false
}

// complete offers the names of containers to a shell.
func (c *command) complete(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	s, err := c.connect(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	list, err := c.containers(cmd.Context(), s)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range list {
		if strings.HasPrefix(list[i].Name, begun) {
			names = append(names, list[i].Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// withAgent is withSession for what only a running agent knows.
func (c *command) withAgent(cmd *cobra.Command, run func(context.Context, *session) error) error {
	s, err := c.agent(cmd.Context(), hostPath)
	if err != nil {
		return err
	}
	defer s.close()
	return run(cmd.Context(), s)
}

// withSession connects, calls run, and ends the connection.
func (c *command) withSession(cmd *cobra.Command, run func(context.Context, *session) error) error {
	s, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	return run(cmd.Context(), s)
}
