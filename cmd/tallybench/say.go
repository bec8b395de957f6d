package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
)

// textVariable has what say writes.
const textVariable = "TEXT"

// runSay writes a text again and again, as a program does whose lines belong
// together.
func runSay(ctx context.Context, args []string, std stdio) error {
	flags := newFlags("say")
	times := flags.Int("times", 1, "how many `times` the text of the variable TEXT is written, each followed by a line \"round N\"")
	between := flags.Duration("pause", 0, "`time` between two lines")
	behind := flags.Int("behind", 0, "the same goes to stderr, so many `lines` behind stdout; 0 means none does")
	hold := flags.Duration("hold", 0, "`time` to live on after the last line")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	var lines []string
	for n := range *times {
		lines = append(lines, strings.Split(os.Getenv(textVariable), "\n")...)
		lines = append(lines, fmt.Sprint("round ", n))
	}
	// Whole lines, one write each.
	out, failures := bufio.NewWriter(std.out), bufio.NewWriter(std.err)
	for i := 0; i < len(lines)+*behind && ctx.Err() == nil; i++ {
		if i < len(lines) {
			fmt.Fprintln(out, lines[i])
		}
		if j := i - *behind; *behind > 0 && j >= 0 {
			fmt.Fprintln(failures, lines[j])
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		if err := failures.Flush(); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		pause(ctx, *between)
	}
	pause(ctx, *hold)
	return nil
}
