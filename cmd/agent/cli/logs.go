package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tallyman/cmd/agent/api"
)

// logsCommand is tallyman logs.
type logsCommand struct {
	*command
	follow, times             bool
	tail, since, until        string
	stream, level             string
	include, exclude          []string
	highlight, output, colour string
	printer                   linePrinter
}

func (c *command) logs() *cobra.Command {
	l := &logsCommand{command: c}
	cmd := &cobra.Command{
		Use:   "logs [flags] [QUERY…]",
		Short: "Print the logs of containers, merged by time",
		Long: "Print the logs of containers, merged by time. A QUERY is a name, the beginning of an ID, a pattern such as 'web_*', " +
			"or an expression as in '/^web/'; without one it is every container that runs.\n\n" +
			"Expressions are RE2's. Case matters where one has an upper-case letter.",
		Example:           "  tallyman logs -n 100 web\n  tallyman logs -f --level warn 'shop_*'\n  tallyman logs --since 1h -i timeout -e healthcheck web db",
		ValidArgsFunction: c.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.prepare(); err != nil {
				return err
			}
			return c.withSession(cmd, func(ctx context.Context, s *session) error { return l.run(ctx, s, args) })
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "go on with the lines to come")
	f.StringVarP(&l.tail, "tail", "n", "all", "how many of the last `LINES`")
	f.BoolVarP(&l.times, "timestamps", "t", false, "print the time of each line")
	f.StringVar(&l.since, "since", "", "lines from a `TIME` on: 2006-01-02T15:04:05Z, seconds since 1970, or 10m for ten minutes ago")
	f.StringVar(&l.until, "until", "", "lines up to a `TIME`")
	f.StringVar(&l.stream, "stream", "", "only stdout or stderr")
	f.StringVar(&l.level, "level", "", "lines of this `LEVEL` or graver: debug, info, warn, error, …")
	f.StringArrayVarP(&l.include, "include", "i", nil, "lines that match an `EXPRESSION`; given again, that match all")
	f.StringArrayVarP(&l.exclude, "exclude", "e", nil, "no lines that match an `EXPRESSION`")
	f.StringVarP(&l.highlight, "highlight", "H", "", "mark what matches an `EXPRESSION`")
	f.StringVarP(&l.output, "output", "o", "text", "text, raw or json")
	f.StringVar(&l.colour, "color", "auto", "auto, always or never")
	return cmd
}

// prepare checks the flags.
func (l *logsCommand) prepare() error {
	l.printer = linePrinter{out: bufio.NewWriter(l.Stdout), times: l.times, output: l.output}
	switch l.output {
	case "text", "raw", "json":
	default:
		return usagef("bad value %q of --output; known are text, raw, json", l.output)
	}
	switch l.colour {
	case "always":
		l.printer.colour = true
	case "auto":
		l.printer.colour = !l.NoColor && isTerminal(l.Stdout)
	case "never":
	default:
		return usagef("bad value %q of --color; known are auto, always, never", l.colour)
	}
	if l.tail != "all" {
		if n, err := strconv.Atoi(l.tail); err != nil || n < 0 {
			return usagef("bad value %q of --tail; it is a number of lines, or all", l.tail)
		}
	}
	for name, text := range map[string]*string{"since": &l.since, "until": &l.until} {
		// Times without a zone are meant in that of the person who asks.
		at, err := api.ParseTime("--"+name, *text, time.Now())
		if err != nil {
			return UsageError{err}
		}
		if at != 0 {
			*text = time.Unix(0, at).UTC().Format(time.RFC3339Nano)
		}
	}
	expressions := l.include
	if l.highlight != "" {
		expressions = append(expressions[:len(expressions):len(expressions)], l.highlight)
	}
	for _, text := range expressions {
		flags := "(?i)"
		if strings.ToLower(text) != text {
			flags = ""
		}
		re, err := regexp.Compile(flags + text)
		if err != nil {
			return usagef("the expression %q cannot be read: %w", text, err)
		}
		l.printer.marked = append(l.printer.marked, re)
	}
	return nil
}

// isTerminal reports whether what is written is seen by a person.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (l *logsCommand) run(ctx context.Context, s *session, queries []string) error {
	list, err := l.containers(ctx, s)
	if err != nil {
		return err
	}
	chosen, err := choose(list, queries)
	if err != nil {
		return err
	}
	open := len(queries) == 0 && l.follow
	if len(chosen) == 0 && !open {
		fmt.Fprintln(l.Stderr, "tallyman: no container runs; tallyman ps -a lists those that have ended")
		return nil
	}
	l.printer.names = len(chosen) > 1 || open
	for i := range chosen {
		l.printer.width = max(l.printer.width, len(chosen[i].Name))
	}
	query := l.query()
	for i := range chosen {
		query.Add("container", chosen[i].ID[:16])
	}
	after := ""
	if len(chosen) > 0 {
		if after, err = l.past(ctx, s, query); err != nil {
			return err
		}
	}
	if !l.follow || l.until != "" {
		return nil
	}
	if open {
		query.Del("container")
	}
	return l.live(ctx, s, query, after)
}

// query returns what the flags ask the agent for.
func (l *logsCommand) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"since": l.since, "until": l.until, "stream": l.stream, "level": l.level} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for _, text := range l.include {
		query.Add("q", text)
	}
	for _, text := range l.exclude {
		query.Add("q", "!"+text)
	}
	return query
}

// past prints what there is and returns where a stream goes on.
func (l *logsCommand) past(ctx context.Context, s *session, query url.Values) (after string, err error) {
	query.Set("order", "oldest")
	query.Set("tail", l.tail)
	body, err := s.open(ctx, "/api/v1/search?"+query.Encode(), nil)
	query.Del("order")
	query.Del("tail")
	if err != nil {
		return "", err
	}
	defer body.Close()
	decoder := json.NewDecoder(bufio.NewReaderSize(body, 64<<10))
	for {
		var f api.Found
		if err := decoder.Decode(&f); err != nil {
			return "", fmt.Errorf("reading the agent's answer: %w", errors.Join(err, l.printer.out.Flush()))
		}
		switch {
		case f.Line != nil:
			if err := l.printer.print(f.Line); err != nil {
				return "", err
			}
		case f.Done != nil:
			return f.Done.After, l.printer.out.Flush()
		}
	}
}

// live prints the lines to come. A connection that breaks is made again and goes
// on behind the last line.
func (l *logsCommand) live(ctx context.Context, s *session, query url.Values, after string) error {
	query.Del("since")
	told := false
	for {
		header := http.Header{}
		if after != "" {
			header.Set("Last-Event-ID", after)
		}
		body, err := s.open(ctx, "/api/v1/logs/stream?"+query.Encode(), header)
		if err == nil {
			told = false
			var ended bool
			ended, err = l.events(body, &after)
			_ = body.Close() // It was only read.
			if ended {
				return err
			}
		}
		var status statusError
		if errors.As(err, &status) && !status.passing {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if !told {
			told = true
			fmt.Fprintf(l.Stderr, "tallyman: the agent does not answer, trying again: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// events prints what a stream tells. ended says that there will be nothing more,
// or that nothing can be printed.
func (l *logsCommand) events(body io.Reader, after *string) (ended bool, err error) {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(nil, 64<<20)
	var event, id string
	for scanner.Scan() {
		key, value, _ := strings.Cut(scanner.Text(), ": ")
		switch key {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			switch event {
			case "batch":
				var batch struct{ Lines []api.Line }
				if err := json.Unmarshal([]byte(value), &batch); err != nil {
					return true, fmt.Errorf("reading the agent's answer: %w", err)
				}
				for i := range batch.Lines {
					if err := l.printer.print(&batch.Lines[i]); err != nil {
						return true, err
					}
				}
				if err := l.printer.out.Flush(); err != nil {
					return true, err
				}
				*after = id
			case "ping":
				*after = id
			case "dropped":
				fmt.Fprintf(l.Stderr, "tallyman: lines were left out: %s\n", value)
			case "end":
				return true, nil
			}
		}
	}
	return false, scanner.Err()
}
