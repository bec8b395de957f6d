package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tallyman/cmd/internal/oracle"
)

// sinkEvent is what sink prints before its report: where it listens, and that
// everything has come.
type sinkEvent struct {
	Address  string `json:"address,omitempty"`
	Complete bool   `json:"complete,omitempty"`
}

func runSink(ctx context.Context, args []string, std stdio) error {
	flags := newFlags("sink")
	network := flags.String("network", "tcp", "`tcp` or udp")
	address := flags.String("listen", "127.0.0.1:0", "`host:port` to listen at; with port 0 any free one, which is printed")
	count := flags.Bool("count", false, "count lines without looking at them")
	lines := flags.Int64("lines", 0, "say so when so many `lines` have come")
	stay := flags.Bool("stay", false, "stay until a signal, also when everything has come")
	limit := flags.Duration("limit", 0, "end after so long whatever has come; 0 means never")
	from := flags.Int64("from", 0, "measure the delays of lines that were written at this time or later, in `nanoseconds` since the Unix epoch")
	until := flags.Int64("until", 0, "measure the delays of lines that were written before this time, in `nanoseconds`; 0 is no bound")
	last := map[[2]string]uint64{}
	flags.Func("expect", "say so when all lines of a source have come, as `NAME/RUN=LAST`; may be repeated", func(s string) error {
		source, number, found := strings.Cut(s, "=")
		name, run, foundRun := strings.Cut(source, "/")
		n, err := strconv.ParseUint(number, 10, 64)
		if !found || !foundRun || err != nil || n == 0 {
			return errors.New("want NAME/RUN=LAST")
		}
		last[[2]string{name, run}] = n
		return nil
	})
	if err := parse(flags, args, std); err != nil {
		return err
	}
	if *count && len(last) > 0 {
		fmt.Fprintln(std.err, "-expect needs a look at the lines, which -count forbids")
		return errUsage
	}
	sink, err := oracle.New(oracle.Config{Network: *network, Address: *address, CountOnly: *count, From: *from, Until: *until})
	if err != nil {
		return err
	}
	defer func() { _ = sink.Close() }() // It is closed below unless something else failed.
	for source, n := range last {
		sink.Expect(source[0], source[1], n)
	}
	printed := json.NewEncoder(std.out)
	if err := printed.Encode(sinkEvent{Address: sink.Address()}); err != nil {
		return err
	}

	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if *limit > 0 {
		defer time.AfterFunc(*limit, cancel).Stop()
	}
	if *lines == 0 && len(last) == 0 {
		<-waiting.Done()
	}
	complete := sink.WaitLines(waiting, *lines) == nil
	if complete && len(last) > 0 {
		complete = sink.WaitComplete(waiting) == nil
	}
	if complete && (*lines > 0 || len(last) > 0) {
		if err := printed.Encode(sinkEvent{Complete: true}); err != nil {
			return err
		}
	}
	if *stay {
		<-waiting.Done()
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("closing the sink: %w", err)
	}
	return printed.Encode(sinkReport{Report: sink.Report()}.withRate())
}

// sinkReport is the last thing that sink prints.
type sinkReport struct {
	oracle.Report
	Seconds        float64 `json:"seconds"`
	LinesPerSecond float64 `json:"lines_per_second"`
}

func (r sinkReport) withRate() sinkReport {
	if took := r.Last.Sub(r.First); took > 0 {
		r.Seconds = took.Seconds()
		r.LinesPerSecond = float64(r.Lines) * float64(time.Second) / float64(took)
	}
	return r
}
