// Package agent is the program: flags, environment, wiring, HTTP server, signals.
// A main package says which adapters it has and calls Main.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	// The image has no files with time zones.
	_ "time/tzdata"

	"github.com/spf13/pflag"

	"tallyman/adapters"
	"tallyman/cmd/agent/cli"
)

// Build is what tells one program of this kind from another.
type Build struct {
	// Version is shown to people and in metrics; empty stands for "unreleased".
	Version string
	// Adapters are those that a route can name.
	Adapters []adapters.Description
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitUnreachable says that neither an agent nor the engine answers.
	exitUnreachable = 3
)

// usageError is an error in what the user has written: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// gcPercent is how much may be allocated before memory is collected, in hundredths
// of what is in use. Lines are delivered without an allocation, so that little
// is collected anyway: half of Go's default keeps some MiB less, costs a scrape
// some 3 % and delivery nothing. GOGC sets another.
//
// Until all containers are known next to nothing is in use, so that collecting as
// often as that took a fifth of the start's CPU time.
const (
	gcPercent        = 50
	gcPercentAtStart = 200
)

// setGCPercent sets the percentage, unless the user has.
func setGCPercent(percent int) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(percent)
	}
}

// Main runs the program with the arguments, the environment and the streams of
// the process, and returns its exit code.
func Main(b Build) int {
	setGCPercent(gcPercentAtStart)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	return run(ctx, b, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
}

// run runs a command and returns the exit code.
func run(ctx context.Context, b Build, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) int {
	if b.Version == "" {
		b.Version = "unreleased"
	}
	err := dispatch(ctx, b, args, lookupEnv, stdout, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		err = printHelp(b, stdout)
	}
	var usage usageError
	var unreachable cli.UnreachableError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tallyman: %v\nTry 'tallyman help'.\n", err)
		return exitUsage
	case errors.As(err, &unreachable):
		fmt.Fprintf(stderr, "tallyman: %v\n", err)
		return exitUnreachable
	default:
		fmt.Fprintf(stderr, "tallyman: %v\n", err)
		return exitFailed
	}
}

// runCommand runs a command of the package cli. What the agent would be told by
// flags comes from the environment.
func runCommand(ctx context.Context, b Build, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) error {
	o, _, err := parseFlags(b, nil, lookupEnv, nil)
	if err != nil {
		return err
	}
	addr, _ := lookupEnv("TALLYMAN_ADDR")
	ca, _ := lookupEnv("TALLYMAN_CA")
	noColor, _ := lookupEnv("NO_COLOR") // https://no-color.org
	err = cli.Run(ctx, cli.Config{
		Addr: addr, CA: ca, Listen: o.reachable(), Token: o.access.token, StateDir: o.stateDir, DockerRoot: o.dockerRoot, Root: o.metrics.hostRoot(), Engine: o.engine,
		Version: b.Version, NoColor: noColor != "", Stdout: stdout, Stderr: stderr,
	}, args)
	var usage cli.UsageError
	if errors.As(err, &usage) {
		return usageError{err}
	}
	return err
}

func dispatch(ctx context.Context, b Build, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	if cli.IsCommand(word) {
		return runCommand(ctx, b, args, lookupEnv, stdout, stderr)
	}
	switch word {
	case "version", "--version":
		_, err := fmt.Fprintf(stdout, "tallyman %s %s/%s %s\n", b.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	case "help", "--help", "-h":
		return printHelp(b, stdout)
	case "check":
		return check(b, args[1:], lookupEnv, stdout)
	}
	o, err := parseOptions(b, args, lookupEnv)
	if err != nil {
		return err
	}
	return runAgent(ctx, o, stderr)
}
