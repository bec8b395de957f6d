package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"tallyman/cmd/agent/api"
	"tallyman/cmd/internal/oracle"
	"tallyman/routes"
)

// tally returns the agent's accounts.
func (p *process) tally() []routes.Tally {
	p.t.Helper()
	_, body, err := p.get("/api/v1/tally")
	if err != nil {
		p.t.Fatal(err)
	}
	var report api.Tally
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		p.t.Fatal(err)
	}
	for _, r := range report.Routes {
		if !r.Balanced {
			p.t.Errorf("the tally is not balanced: %+v", r)
		}
	}
	return report.Routes
}

// tallyOf returns the first route's account of a container.
func (p *process) tallyOf(id string) routes.ContainerTally {
	p.t.Helper()
	for _, c := range p.tally()[0].Containers {
		if c.ID == id {
			return c
		}
	}
	return routes.ContainerTally{}
}

// wantTally waits until all of each container's log is settled, and compares the
// account with what was written and what has come.
func wantTally(t *testing.T, p *process, sink *oracle.Sink, ids map[string]string, lines uint64) {
	t.Helper()
	for name, id := range ids {
		p.eventually("the account of "+name+" is complete", func() bool {
			c := p.tallyOf(id)
			return c.Read.Lines == int64(lines) && c.InFlight.Lines == 0
		})
		c := p.tallyOf(id)
		dropped := int64(0)
		for _, d := range c.Dropped {
			dropped += d.Lines
		}
		var missing, came uint64
		// What the destination's kernel has acknowledged is still to be read there.
		p.eventually(fmt.Sprintf("of %s %d lines are missing and %d come", name, dropped, c.Delivered.Lines), func() bool {
			for _, s := range sink.Report().Sources {
				if s.Source == name+" run=1" {
					missing, came = s.Missing, s.Distinct
				}
			}
			return came == uint64(c.Delivered.Lines) && missing == uint64(dropped)
		})
	}
}

// TestTallyThroughKills: the accounts come through kills of the agent and tell of
// every line once.
func TestTallyThroughKills(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("tally-")
	p := startReady(t, state, uri)
	const lines = 6000
	ids := map[string]string{}
	for i := range 3 {
		name := fmt.Sprintf("tally-%d", i)
		sink.Expect(name, "1", lines)
		ids[name] = d.run(name, logOptions{"max-size": "1m", "max-file": "3"}, "-lines", fmt.Sprint(lines), "-rate", "1500", "-stderr-every", "2")
	}
	for i := range 3 {
		p.eventually("some lines have come", func() bool { return sink.Lines() >= int64(lines*(i+1)/2) })
		p.kill()
		p = startReady(t, state, uri)
	}
	if report := wantComplete(t, sink); report.Missing > 0 {
		t.Fatal(report)
	}
	wantTally(t, p, sink, ids, lines)

	// What a person asks, and the answer.
	code, text, problems := tallyman(t.Context(), nil, "tally", "--addr", p.listen, ids["tally-1"][:12])
	if code != exitOK || problems != "" {
		t.Fatalf("tallyman tally ends with %d: %s", code, problems)
	}
	if strings.Count(text, ids["tally-1"][:12])+strings.Count(text, "all arrived") != 1 || !strings.Contains(text, fmt.Sprint(lines)) {
		t.Errorf("tallyman tally prints\n%s", text)
	}
}

// TestRotatedAwayWhileDown: what the engine has deleted while no agent ran is gone,
// and that is never silent: it is said, with the container's name, counted, and in
// the tally. What is left is delivered to its end.
func TestRotatedAwayWhileDown(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("away-")
	p := startReady(t, state, uri)
	const before, lines = 200, 6000
	sink.Expect("away-0", "1", lines)
	id := d.run("away-0", logOptions{"max-size": "100k", "max-file": "2"},
		"-lines", fmt.Sprint(lines), "-burst", fmt.Sprint(before), "-wait", "1ms", "-rate", "1000")
	p.eventually("the first lines have come", func() bool { return sink.Lines() >= before })
	d.pause(id)
	p.eventually("a position is saved", func() bool {
		saved, err := os.ReadFile(filepath.Join(state, "positions.json"))
		return err == nil && bytes.Contains(saved, []byte(id))
	})
	p.kill()
	d.unpause(id)
	waitStopped(t.Context(), t, d, id)
	p = startReady(t, state, uri)
	p.eventually("all that is left is settled", func() bool {
		c := p.tallyOf(id)
		return c.Gaps == 1 && c.Behind == 0 && c.InFlight.Lines == 0
	})
	if c := p.tallyOf(id); c.Complete {
		t.Errorf("the account is called complete: %+v", c)
	}
	if n, ok := p.metric(fmt.Sprintf("tallyman_lost_generations_total{route=%q}", p.tally()[0].Route)); !ok || n != 1 {
		t.Errorf("tallyman_lost_generations_total is %v, %v", n, ok)
	}
	if n := strings.Count(p.output.String(), "lines were lost: a log was rotated away"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	inspected, err := d.client.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if name := strings.TrimPrefix(inspected.Name, "/"); !strings.Contains(p.output.String(), "container="+name) {
		t.Errorf("the container %s was not named", name)
	}
	p.eventually("the last line has come", func() bool {
		report := sink.Report()
		return report.Missing > 0 && reached(report, 1, lines)
	})
}

// TestSpoolBudget: past the budget the oldest lines of the container that holds
// most are given up, and what is missing at the destination is exactly what the
// tally says. One that holds little loses nothing.
func TestSpoolBudget(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	if err := sink.Refuse(); err != nil {
		t.Fatal(err)
	}
	p := startReady(t, t.TempDir(), "--spool-max=16MiB", "syslog+tcp://"+sink.Address()+"?"+filterLabel("budget-"))
	// No faster than an agent on a busy machine looks: a file that is gone before
	// it was seen is no matter of the budget.
	rotate := logOptions{"max-size": "4m", "max-file": "4"}
	const lines = 30_000
	big := d.run("budget-big", rotate, "-lines", fmt.Sprint(lines), "-size", "1000", "-rate", "5000")
	small := d.run("budget-small", logOptions{"max-size": "100k", "max-file": "8"}, "-lines", "2000", "-rate", "1000")
	for _, id := range []string{big, small} {
		waitStopped(t.Context(), t, d, id)
		if err := d.client.ContainerRemove(t.Context(), id, container.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	held := func() float64 { v, _ := p.metric("tallyman_held_bytes"); return v }
	p.eventually("the budget is kept", func() bool {
		c := p.tallyOf(big)
		return len(c.Dropped) == 1 && c.Dropped[0].Lines > lines/3 && held() <= 16<<20
	})
	sink.Expect("budget-big", "1", lines)
	sink.Expect("budget-small", "1", 2000)
	if err := sink.Accept(); err != nil {
		t.Fatal(err)
	}
	p.eventually("all is settled", func() bool { return !p.tallyOf(big).Ended.IsZero() && !p.tallyOf(small).Ended.IsZero() })
	wantTally(t, p, sink, map[string]string{"budget-big": big}, lines)
	wantTally(t, p, sink, map[string]string{"budget-small": small}, 2000)
	if c := p.tallyOf(small); !c.Complete {
		t.Errorf("the account of the small one: %+v", c)
	}
	c := p.tallyOf(big)
	t.Logf("of %d lines %d were given up: %+v", lines, c.Dropped[0].Lines, c.Dropped)
	if n := strings.Count(p.output.String(), "lines are given up"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// canDestroy reports whether the kernel lets sockets be reset from outside.
func canDestroy(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	destroy(l.Addr().String())
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// destroy resets the connections to an address from the sender's side, as a
// firewall or a balancer between would: what the receiver's kernel has
// acknowledged is still read there.
func destroy(address string) {
	_, port, _ := net.SplitHostPort(address)
	_ = exec.Command("ss", "-K", "dst", "127.0.0.1", "dport", "=", port).Run() // It complains about other kinds of sockets.
}

// TestResets has connections reset at random: nothing is missing, and no more
// comes twice than was unacknowledged, which the tally has counted.
func TestResets(t *testing.T) {
	besideOthers(t)
	need(t, canDestroy(t), "ss and a kernel with CONFIG_INET_DIAG_DESTROY")
	d := newDocker(t)
	sink := newSink(t, "tcp")
	p := startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("resets-"))
	resets := size(30, 100)
	lines := uint64(resets) * 1000
	ids := map[string]string{}
	for i := range 3 {
		name := fmt.Sprintf("resets-%d", i)
		sink.Expect(name, "1", lines)
		ids[name] = d.run(name, nil, "-lines", fmt.Sprint(lines), "-rate", "5000")
	}
	for i := range resets {
		p.eventually("lines come", func() bool { return sink.Lines() >= int64(3*lines)*int64(i)/int64(resets+1) })
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		destroy(sink.Address())
	}
	report := wantComplete(t, sink)
	if report.Missing > 0 || report.Torn > 0 && report.Duplicates == 0 {
		t.Fatal(report)
	}
	wantTally(t, p, sink, ids, lines)
	resent := p.tally()[0].Resent.Lines
	t.Logf("%d resets, %d connections, %d lines sent again, %d arrived twice", resets, report.Connections, resent, report.Duplicates)
	if report.Duplicates > uint64(resent) {
		t.Errorf("%d lines arrived twice, only %d were sent again", report.Duplicates, resent)
	}
	if report.Connections < int64(resets)/3 {
		t.Errorf("there were %d connections only", report.Connections)
	}
}
