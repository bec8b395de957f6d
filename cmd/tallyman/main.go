// Command tallyman delivers the logs of a host's containers to where they are
// kept, and exposes the containers' resource use to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	// The image has no files with time zones.
	_ "time/tzdata"
)

// version is set by the linker from git.
var version = "unreleased"

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error in what the user has written: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// run runs a command and returns the exit code.
func run(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, lookupEnv, stdout, stderr)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tallyman: %v\nTry 'tallyman help'.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "tallyman: %v\n", err)
		return exitFailed
	}
}

func dispatch(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case "version", "--version":
		_, err := fmt.Fprintf(stdout, "tallyman %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	case "help", "--help", "-h":
		return printHelp(stdout)
	case "health":
		o, err := parseOptions(args[1:], lookupEnv)
		if err != nil {
			return err
		}
		return checkHealth(ctx, o.listen, stdout)
	}
	o, err := parseOptions(args, lookupEnv)
	if err != nil {
		return err
	}
	return runAgent(ctx, o, stderr)
}
