package routes_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
	"tallyman/routes/multiline"
)

// catcher keeps every message with its container's name and stream.
type catcher struct {
	mu   sync.Mutex
	got  []string
	fail func() error
}

func (a *catcher) Send(_ context.Context, b *record.Batch, done func(error)) {
	if a.fail != nil {
		if err := a.fail(); err != nil {
			done(err)
			return
		}
	}
	a.mu.Lock()
	for i := range b.Records {
		r := &b.Records[i]
		a.got = append(a.got, b.Container.Name+" "+r.Stream.String()+" "+string(r.Line))
	}
	a.mu.Unlock()
	done(nil)
}

func (a *catcher) Flush(context.Context) {}

func (a *catcher) Close(context.Context) error { return nil }

// messages returns what has come from a container's stream.
func (a *catcher) messages(name string, s record.Stream) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for _, text := range a.got {
		if rest, ok := strings.CutPrefix(text, name+" "+s.String()+" "); ok {
			list = append(list, rest)
		}
	}
	return list
}

// deliver runs a route over a log until all of it is settled, and returns the
// messages of stdout and the account.
func deliver(t *testing.T, options string, c record.Container, entries ...entry) (got []string, tally routes.Tally) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &catcher{}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + options: a})
		l := newLog(t, c)
		l.block = 3
		l.add(entries...)
		table.Found(l)
		stop := run(t, table)
		time.Sleep(time.Minute)
		stop()
		for _, text := range a.got {
			got = append(got, strings.TrimPrefix(text, c.Name+" "))
		}
		if tally = table.Routes()[0].Tally(); !tally.Balanced || tally.InFlight.Lines != 0 {
			t.Errorf("%s: the tally is %+v", options, tally)
		}
	})
	return got, tally
}

// TestLineStages: what each option makes of the same lines.
func TestLineStages(t *testing.T) {
	entries := []entry{
		{text: "level=info msg=started"},
		{text: "\x1b[31mERROR\x1b[0m mail to bob@example.com"},
		{text: "GET /health 200"},
		{text: "WARN slow"},
		{text: "no level", stream: record.Stderr},
		{text: "DEBUG \x1b[1mx"},
		{text: ""},
	}
	f := func(options string, filtered int, want ...string) {
		t.Helper()
		got, tally := deliver(t, options, newContainer("c"), entries...)
		if !slices.Equal(got, want) {
			t.Errorf("%s: there came\n%q, want\n%q", options, got, want)
		}
		if int(tally.Filtered.Lines) != filtered || int(tally.Delivered.Lines) != len(want) || tally.Read.Lines != 7 {
			t.Errorf("%s: the tally is %+v", options, tally.Account)
		}
	}
	f("?filter.include=started|slow", 5, "stdout level=info msg=started", "stdout WARN slow")
	f("?filter.exclude=GET|level|^$|(?i)debug&ansi=strip", 5, "stdout ERROR mail to bob@example.com", "stdout WARN slow")
	f("?filter.level=warning", 4, "stdout \x1b[31mERROR\x1b[0m mail to bob@example.com", "stdout WARN slow", "stderr no level")
	f("?filter.level=error&redact=email&filter.sources=stdout", 6, "stdout \x1b[31mERROR\x1b[0m mail to [redacted:email]")
	f("?filter.include=^ERROR mail&ansi=strip&redact.who=mail to (%5CS%2B)", 6, "stdout ERROR mail to [redacted:who]")
}

// TestCountsRedacted: lines that are delivered without their secrets are counted
// as altered.
func TestCountsRedacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &catcher{}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + "?redact=email": a})
		l := newLog(t, newContainer("c"))
		l.add(entry{text: "a@b.de c@d.de"}, entry{text: "none"}, entry{text: "e@f.de"})
		table.Found(l)
		stop := run(t, table)
		time.Sleep(time.Second)
		stop()
		if n := table.Routes()[0].Stats().Events()["redacted"]; n != 2 {
			t.Errorf("%d lines are counted", n)
		}
	})
}

// TestRate: a limit holds for each container, what it holds back is dropped under
// a reason of its own, and a line says how much that was, also when no other line
// comes and when a failure has had lines read twice.
func TestRate(t *testing.T) {
	const notice = "stdout tallyman: 7 lines held back, since there were more than 3/m"
	second := func(n int) entry { return entry{text: "x", at: time.Hour + time.Duration(n)*time.Second} }
	var entries []entry
	for n := range 10 {
		entries = append(entries, second(n))
	}
	got, tally := deliver(t, "?rate=3/m", newContainer("c"), entries...)
	if want := []string{"stdout x", "stdout x", "stdout x", notice}; !slices.Equal(got, want) {
		t.Errorf("there came %q, want %q", got, want)
	}
	if n := tally.DroppedFor("rate").Lines; n != 7 || tally.Delivered.Lines != 3 {
		t.Errorf("the account is %+v", tally.Account)
	}
	got, _ = deliver(t, "?rate=3/m", newContainer("c"), append(entries, second(100), second(101))...)
	if want := []string{"stdout x", "stdout x", "stdout x", notice, "stdout x", "stdout x"}; !slices.Equal(got, want) {
		t.Errorf("there came %q, want %q", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		sends := 0
		a := &catcher{fail: func() error {
			if sends++; sends == 2 || sends == 3 {
				return errBroken
			}
			return nil
		}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + "?rate=3/m": a})
		l := newLog(t, newContainer("c"))
		l.block = 2
		l.add(entries...)
		table.Found(l)
		stop := run(t, table)
		time.Sleep(time.Minute)
		stop()
		if want := []string{"x", "x", "x", strings.TrimPrefix(notice, "stdout ")}; !slices.Equal(a.messages("name-c", record.Stdout), want) {
			t.Errorf("after failures there came %q, want %q", a.got, want)
		}
	})
}

// TestSample: the account has what was not chosen under a reason of its own.
func TestSample(t *testing.T) {
	got, tally := deliver(t, "?sample=1/2", newContainer("c"), slices.Repeat([]entry{{text: "x"}}, 500)...)
	sampled := int(tally.DroppedFor("sampled").Lines)
	if len(got)+sampled != 500 || sampled < 150 || sampled > 350 {
		t.Errorf("%d lines came and %d are dropped", len(got), sampled)
	}
}

// TestMultilineCorpus: the messages of several containers and both of their
// streams come whole, however the logs are read and rotated, and no position is
// kept that lies within one.
func TestMultilineCorpus(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			a := &catcher{}
			table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + "?name=all": a})
			stop := run(t, table)
			want := make(map[string][]string)
			var logs []*fakeLog
			for _, name := range multiline.Presets() {
				text, err := os.ReadFile("multiline/testdata/" + name + ".txt")
				if err != nil {
					t.Fatal(err)
				}
				want[name] = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n---8<---\n")
				l := newLog(t, record.Container{
					ID: name, Name: name, Created: time.Now().Add(time.Hour), Labels: map[string]string{"tallyman.multiline": name},
				})
				l.block = 1 + rng.IntN(9)
				table.Found(l)
				logs = append(logs, l)
			}
			var group sync.WaitGroup
			for _, l := range logs {
				pause := time.Duration(rng.IntN(20)) * time.Millisecond
				group.Go(func() {
					lines := strings.Split(strings.Join(want[l.id()], "\n"), "\n")
					for n := range len(lines) + 7 {
						// The same text on both streams, one some lines behind the other.
						if n < len(lines) {
							l.add(entry{text: lines[n]})
						}
						if n >= 7 {
							l.add(entry{text: lines[n-7], stream: record.Stderr})
						}
						time.Sleep(pause)
					}
				})
			}
			group.Wait()
			time.Sleep(multiline.DefaultWait + 100*time.Millisecond)
			for name := range want {
				for stream := range record.Stream(record.Streams) {
					if got := a.messages(name, stream); !slices.Equal(got, want[name]) {
						t.Errorf("seed %d: %s has on %s\n%q, want\n%q", seed, name, stream, got, want[name])
					}
				}
			}
			if lag := table.Routes()[0].Lag(); lag.Bytes != 0 {
				t.Errorf("%d entries lag behind though all has come", lag.Bytes)
			}
			stop()
		})
	}
}

// TestMultilineTimes: a message is out within its time, a line that comes too
// late begins anew, also when both are read at once, and the end of a log
// completes what is open.
func TestMultilineTimes(t *testing.T) {
	const options = "?multiline=^A&multiline.flush=200ms"
	ms := func(text string, n int) entry {
		return entry{text: text, at: time.Hour + time.Duration(n)*time.Millisecond}
	}
	got, _ := deliver(t, options, newContainer("c"), ms("A", 0), ms("b", 150), ms("c", 300), ms("d", 501), ms("A", 502))
	if want := []string{"stdout A\nb\nc", "stdout d", "stdout A"}; !slices.Equal(got, want) {
		t.Errorf("there came %q, want %q", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		a, p := &catcher{}, newPositions()
		table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri + options: a})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		synctest.Wait()
		come := func() int { return len(a.messages("name-c", record.Stdout)) }
		l.add(entry{text: "A"})
		time.Sleep(199 * time.Millisecond)
		l.add(entry{text: "b"})
		time.Sleep(199 * time.Millisecond)
		table.Save()
		if come() != 0 || p.saved(uri)["c"] == place(2) {
			t.Error("the message was out before its time")
		}
		time.Sleep(2 * time.Millisecond)
		table.Save()
		if come() != 1 || p.saved(uri)["c"] != place(2) {
			t.Error("the message is not out within its time")
		}
		l.add(entry{text: "A"}, entry{text: "c"})
		l.end()
		synctest.Wait()
		if come() != 2 {
			t.Error("the end of the log does not complete the message")
		}
		stop()
		if got := a.messages("name-c", record.Stdout); !slices.Equal(got, []string{"A\nb", "A\nc"}) {
			t.Errorf("there came %q", got)
		}
	})
}

// TestMultilinePlaces: a message has the place of its last line, by which
// JetStream tells it from others of the same time.
func TestMultilinePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &places{}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + "?multiline=^A": a})
		l := newLog(t, newContainer("c"))
		l.block = 3
		for _, text := range []string{"A", "b", "A", "A", "b", "b", "A"} {
			l.add(entry{text: text, at: time.Hour})
		}
		l.add(entry{text: "A", at: time.Hour, stream: record.Stderr})
		table.Found(l)
		stop := run(t, table)
		time.Sleep(time.Minute)
		stop()
		if want := []int64{2, 3, 6, 7, 8}; !slices.Equal(a.at, want) {
			t.Errorf("the places are %v, want %v", a.at, want)
		}
	})
}

// places keeps the place of every record.
type places struct {
	catcher
	at []int64
}

func (a *places) Send(_ context.Context, b *record.Batch, done func(error)) {
	for i := range b.Records {
		a.at = append(a.at, b.Records[i].Resume)
	}
	done(nil)
}
