package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"tallyman/collector/jsonfile"
)

// soaking says that tests run at full length.
func soaking() bool { return os.Getenv("TALLYMAN_SOAK") != "" }

// size returns how much of something a test takes: seconds' worth, or all of it
// in a soak.
func size(short, full int) int {
	if soaking() {
		return full
	}
	return short
}

// rotations returns how many files a container has that writes as fast as it can:
// enough that the oldest is not deleted unseen when the machine runs other tests
// too, and in a soak three.
func rotations() string { return fmt.Sprint(size(8, 3)) }

// TestFlood lets one container write as fast as it can, through many rotations,
// beside quiet ones, whose lines must not wait.
func TestFlood(t *testing.T) {
	d := newDocker(t)
	flood, quiet := newSink(t, "tcp"), newSink(t, "tcp")
	startReady(t, t.TempDir(),
		"syslog+tcp://"+flood.Address()+"?"+filterLabel("flood-"),
		"syslog+tcp://"+quiet.Address()+"?"+filterLabel("calm-"))
	lines := uint64(size(1_000_000, 10_000_000))
	flood.Expect("flood-0", "1", lines)
	for i := range 3 {
		name := fmt.Sprintf("calm-%d", i)
		quiet.Expect(name, "1", 100)
		d.run(name, nil, "-lines", "100", "-rate", "50", "-wait", "500ms")
	}
	d.run("flood-0", logOptions{"max-size": "10m", "max-file": rotations()}, "-lines", fmt.Sprint(lines))
	wantExact(t, "from the flood", wantComplete(t, flood))
	report := wantComplete(t, quiet)
	wantExact(t, "from the quiet ones", report)
	t.Logf("the quiet ones' lines took %v (median), %v (longest)", report.P50, report.Max)
	if soaking() && report.Max > time.Second {
		t.Fatalf("a quiet container's line took %v", report.Max)
	}
}

// TestDeadRoute runs three routes of which one never takes a line: the others
// get everything all the same, in the same time as without it.
func TestDeadRoute(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	dead, one, two := newSink(t, "tcp"), newSink(t, "tcp"), newSink(t, "tcp")
	dead.Pause()
	lines := uint64(size(100_000, 2_000_000))
	// write has containers write, and returns how long it took until the two
	// good routes had it all, and how late lines were.
	write := func(prefix string, lines uint64, args ...string) (took, late time.Duration) {
		start := time.Now()
		for i := range 4 {
			name := fmt.Sprint(prefix, i)
			one.Expect(name, "1", lines)
			two.Expect(name, "1", lines)
			d.run(name, logOptions{"max-size": "5m", "max-file": rotations()}, append(args, "-lines", fmt.Sprint(lines))...)
		}
		wantExact(t, prefix, wantComplete(t, one))
		wantExact(t, prefix, wantComplete(t, two))
		return time.Since(start), one.Report().P99
	}
	good := func(prefix string) []string {
		return []string{"syslog+tcp://" + one.Address() + "?" + filterLabel(prefix), "syslog+tcp://" + two.Address() + "?" + filterLabel(prefix)}
	}
	p := startReady(t, t.TempDir(), good("alone-")...)
	tookAlone, lateAlone := write("alone-", lines)
	p.terminate()
	uri := "syslog+tcp://" + dead.Address() + "?" + filterLabel("deadroute-")
	p = startReady(t, t.TempDir(), append([]string{"--spool-max=16GiB", uri}, good("deadroute-")...)...)
	took, late := write("deadroute-", lines)
	t.Logf("%d lines: %v, 99 %% within %v; beside a dead route %v, %v", 4*lines,
		tookAlone.Round(time.Millisecond), lateAlone, took.Round(time.Millisecond), late)
	p.eventually("the dead route is noted as down", func() bool {
		_, body, err := p.get("/health")
		return err == nil && strings.Contains(body, dead.Address())
	})
	// It wakes up and gets all there was, through every rotation.
	for i := range 4 {
		dead.Expect(fmt.Sprintf("deadroute-%d", i), "1", lines)
	}
	dead.Resume()
	if report := wantComplete(t, dead); report.Missing > 0 {
		t.Fatalf("after it came back:\n%s", report)
	}
}

// TestShortLives runs containers that are removed as soon as they have written
// three lines, the last without its line feed.
func TestShortLives(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("short-"))
	containers := size(60, 300)
	work := make(chan int)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for i := range work {
				host := jsonFile(nil)
				host.AutoRemove = true
				d.start(d.create(fmt.Sprintf("short-%d", i), host, "-lines", "3", "-unterminated"))
			}
		})
	}
	for i := range containers {
		sink.Expect(fmt.Sprintf("short-%d", i), "1", 3)
		work <- i
	}
	close(work)
	group.Wait()
	wantExact(t, "from short-lived containers", wantComplete(t, sink))
}

// TestLongLines writes lines at the edges of dockerd's 16 KiB parts on both
// streams through rotations, ends without a line feed, and starts again.
func TestLongLines(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("long-"))
	var ids []string
	for _, n := range []int{16383, 16384, 16385, 32768, 1 << 20} {
		// So many files that none is deleted, however late the agent is told.
		rotate := logOptions{"max-size": "300k", "max-file": "80"}
		if n == 1<<20 {
			rotate["max-size"] = "4m"
		}
		lines := max(20, min(400, 8<<20/n))
		name := fmt.Sprintf("long-%d", n)
		ids = append(ids, d.run(name, rotate,
			"-lines", fmt.Sprint(lines), "-size", fmt.Sprint(n), "-stderr-every", "2", "-unterminated", "-rate", "200"))
		sink.Expect(name, "1", uint64(lines))
	}
	report := wantComplete(t, sink)
	wantExact(t, "long lines", report)
	if report.Bytes < 8<<20 {
		t.Fatalf("only %d bytes came", report.Bytes)
	}
	before := sink.Lines()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, id := range ids {
		waitStopped(ctx, t, d, id)
		d.start(id)
	}
	// Each line comes once more: none was glued to the one that had no end.
	if err := sink.WaitLines(ctx, 2*before); err != nil {
		t.Fatal(err)
	}
	again := sink.Report()
	if again.Duplicates != uint64(before) || again.Unmarked > 0 || again.Missing > 0 {
		t.Fatalf("after a second run:\n%s", again)
	}
}

func waitStopped(ctx context.Context, t *testing.T, d *docker, id string) {
	t.Helper()
	stopped, failed := d.client.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	select {
	case <-stopped:
	case err := <-failed:
		t.Fatal(err)
	}
}

// TestUnreliableDestination lets the destination disappear and come back many
// times while lines are written.
func TestUnreliableDestination(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	startReady(t, t.TempDir(), "syslog+tcp://"+sink.Address()+"?"+filterLabel("unreliable-"))
	lines := uint64(size(20_000, 400_000))
	for i := range 3 {
		name := fmt.Sprintf("unreliable-%d", i)
		sink.Expect(name, "1", lines)
		d.run(name, nil, "-lines", fmt.Sprint(lines), "-rate", "4000")
	}
	outages := size(8, 60)
	for i := range outages {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := sink.WaitLines(ctx, int64(lines)*3*int64(i)/int64(outages+1)); err != nil {
			t.Fatal(err)
		}
		cancel()
		// It stops reading: what its kernel has taken it still reads later.
		sink.Pause()
		if err := sink.Refuse(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i%4) * 100 * time.Millisecond)
		sink.Resume()
		if err := sink.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	report := wantComplete(t, sink)
	if report.Missing > 0 || report.Reordered > report.Duplicates {
		t.Fatalf("after outages:\n%s", report)
	}
	t.Logf("%d of %d lines repeated", report.Duplicates, 3*lines)
}

// TestOutageAcrossAKill has the destination refuse, and then take nothing,
// while files are rotated away and a container is removed; the agent is killed
// in the middle.
func TestOutageAcrossAKill(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	if err := sink.Refuse(); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("outage-")
	p := startReady(t, state, uri)
	lines := size(12_000, 120_000)
	ids := make([]string, 4)
	for i := range ids {
		name := fmt.Sprintf("outage-%d", i)
		sink.Expect(name, "1", uint64(lines))
		ids[i] = d.run(name, logOptions{"max-size": "1m", "max-file": "3"},
			"-lines", fmt.Sprint(lines), "-rate", "3000", "-stderr-every", "3")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p.eventually("a file of each has been rotated", func() bool {
		for _, id := range ids {
			inspected, err := d.client.ContainerInspect(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(inspected.LogPath + ".1"); err != nil {
				return false
			}
		}
		return true
	})
	// What is rotated away while no agent runs is lost, and how long that is nobody
	// knows on a busy machine.
	for _, id := range ids {
		d.pause(id)
	}
	p.kill()
	p = startReady(t, state, uri)
	for _, id := range ids {
		d.unpause(id)
	}
	// Blackholed: connections are accepted and never read.
	sink.Pause()
	if err := sink.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		waitStopped(ctx, t, d, id)
	}
	if err := d.client.ContainerRemove(ctx, ids[0], container.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	p.eventually("what was deleted is copied, or in the destination's kernel", func() bool {
		copies, err := jsonfile.ListRescued(filepath.Join(state, "rescue"))
		if err != nil {
			t.Fatal(err)
		}
		kept := p.tallyOf(ids[0]).Delivered.Lines
		for _, c := range copies {
			if c.Container == ids[0] {
				kept += int64(c.Records)
			}
		}
		return kept >= int64(lines)
	})
	p.kill()
	startReady(t, state, uri)
	sink.Resume()
	report := wantComplete(t, sink)
	t.Logf("%d of %d lines repeated", report.Duplicates, lines*len(ids))
}
