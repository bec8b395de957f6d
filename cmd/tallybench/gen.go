package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"tallyman/cmd/internal/oracle"
)

// The texts that lines are filled up with. The second has all that makes JSON
// expensive to write and to read.
const (
	plainFiller  = "GET /api/v1/items?limit=50&offset=100 HTTP/1.1 200 5123 - Mozilla/5.0 (X11; Linux x86_64) upstream=10.0.3.17:8080 rt=0.012 "
	quotedFiller = `{"level":"info","msg":"request \"done\"","path":"C:\\srv\\app","html":"<b>&</b>","status":200,"user":"häns"} `
)

// lineMaker makes numbered lines of one size.
type lineMaker struct {
	name, run string
	size      int
	filler    string
}

func newLineMaker(name, run string, size int, quotes bool) *lineMaker {
	text := plainFiller
	if quotes {
		text = quotedFiller
	}
	filler := make([]byte, 0, size+len(text))
	for len(filler) < size {
		filler = append(filler, text...)
	}
	return &lineMaker{name: name, run: run, size: size, filler: string(filler)}
}

// appendLine appends a line without its line feed. A mark longer than the size
// stays whole.
func (m *lineMaker) appendLine(dst []byte, seq uint64, at int64, stream byte) []byte {
	start := len(dst)
	dst = oracle.AppendMark(dst, m.name, m.run, seq, at, stream)
	n := m.size - (len(dst) - start)
	if n <= 0 {
		return dst
	}
	cut := n
	for cut > 0 && cut < len(m.filler) && !utf8.RuneStart(m.filler[cut]) {
		cut--
	}
	dst = append(dst, m.filler[:cut]...)
	for ; cut < n; cut++ {
		dst = append(dst, '.')
	}
	return dst
}

// genConfig is what gen's flags say.
type genConfig struct {
	lines        uint64
	rate         float64
	burst        int
	stderrEvery  uint64
	unterminated bool
	maker        *lineMaker
}

func runGen(ctx context.Context, args []string, std stdio) error {
	flags := newFlags("gen")
	lines := flags.Uint64("lines", 1000, "how many `lines`; 0 means until it is ended")
	rate := flags.Float64("rate", 0, "`lines` a second; 0 means as fast as they are taken")
	burst := flags.Int("burst", 0, "with -rate, write so many `lines` at once and then wait; 0 means about a millisecond's worth")
	size := flags.Int("size", 200, "`bytes` of a line without its line feed")
	name := flags.String("name", "gen", "the source's `name`, without spaces")
	runName := flags.String("run", "1", "the source's `run`, without spaces")
	stderrEvery := flags.Uint64("stderr-every", 0, "write every `N`th line to stderr; 0 means none")
	quotes := flags.Bool("quotes", false, "fill lines with text full of quotes and backslashes")
	unterminated := flags.Bool("unterminated", false, "leave out the line feed of the last line")
	wait := flags.Duration("wait", 0, "wait so long before the first line")
	hold := flags.Duration("hold", 0, "stay so long after the last line")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	c := genConfig{
		lines: *lines, rate: *rate, burst: *burst, stderrEvery: *stderrEvery, unterminated: *unterminated,
		maker: newLineMaker(*name, *runName, *size, *quotes),
	}
	// Being told to end is how a container without a last line ends.
	pause(ctx, *wait)
	if err := gen(ctx, c, std); err != nil {
		return err
	}
	pause(ctx, *hold)
	return nil
}

// gen writes lines until they are all written or ctx ends.
func gen(ctx context.Context, c genConfig, std stdio) (err error) {
	out, stderr := bufio.NewWriterSize(cheapWriter(std.out), 64<<10), bufio.NewWriterSize(cheapWriter(std.err), 4<<10)
	alarm, err := newAlarm(ctx)
	if err != nil {
		return fmt.Errorf("making a timer: %w", err)
	}
	defer func() { err = errors.Join(err, alarm.close()) }()
	if c.burst <= 0 {
		c.burst = max(1, int(c.rate/1000))
	}
	started := time.Now()
	var line []byte
	for seq := uint64(1); (c.lines == 0 || seq <= c.lines) && ctx.Err() == nil; seq++ {
		target, stream := out, byte('o')
		if c.stderrEvery > 0 && seq%c.stderrEvery == 0 {
			target, stream = stderr, 'e'
		}
		line = c.maker.appendLine(line[:0], seq, time.Now().UnixNano(), stream)
		if seq != c.lines || !c.unterminated {
			line = append(line, '\n')
		}
		if _, err := target.Write(line); err != nil {
			return fmt.Errorf("writing line %d: %w", seq, err)
		}
		if c.rate > 0 && seq%uint64(c.burst) == 0 {
			if err := errors.Join(out.Flush(), stderr.Flush()); err != nil {
				return fmt.Errorf("writing line %d: %w", seq, err)
			}
			due := started.Add(time.Duration(float64(seq) / c.rate * float64(time.Second)))
			if err := alarm.wait(due); err != nil {
				return fmt.Errorf("waiting to write line %d: %w", seq+1, err)
			}
		}
	}
	if err := errors.Join(out.Flush(), stderr.Flush()); err != nil {
		return fmt.Errorf("writing the last lines: %w", err)
	}
	return nil
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
