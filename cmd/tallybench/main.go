// tallybench writes, receives and measures log lines: the parts of the tests and
// of the bench that run as processes of their own, in one static program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: tallybench COMMAND [FLAGS]

  gen    write numbered lines to stdout and stderr
  say    write a text to stdout and stderr
  sink   receive lines and say what came, as JSON
  write  make a json-file log as dockerd writes it
  floor  send a json-file log over TCP with as little work as can be
  bench  compare an agent with the floor, with rsyslog and with others

tallybench COMMAND -h lists the flags.
`

// stdio are the standard streams of a command.
type stdio struct{ out, err io.Writer }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends a process that hangs on its output.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], stdio{out: os.Stdout, err: os.Stderr})
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "tallybench:", err)
		os.Exit(1)
	}
}

// errUsage says that the arguments were wrong and the user has been told.
var errUsage = errors.New("bad arguments")

func run(ctx context.Context, args []string, std stdio) error {
	commands := map[string]func(context.Context, []string, stdio) error{
		"gen": runGen, "say": runSay, "sink": runSink, "write": runWrite, "floor": runFloor, "bench": runBench,
	}
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(ctx, args[1:], std)
		}
	}
	fmt.Fprint(std.err, usage)
	return errUsage
}

// parse parses a command's flags. The flag package has told the user what is
// wrong when it fails.
func parse(flags *flag.FlagSet, args []string, std stdio) error {
	flags.SetOutput(std.err)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(std.err, "unexpected argument %q\n", flags.Arg(0))
		return errUsage
	}
	return nil
}

func newFlags(name string) *flag.FlagSet {
	return flag.NewFlagSet("tallybench "+name, flag.ContinueOnError)
}
