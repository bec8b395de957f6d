package routes_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// checkMetrics fails the test unless the table exposes what is wanted, by the
// rules of Prometheus.
func checkMetrics(t *testing.T, table *routes.Table, want string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(table)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("the metrics are not as they should be: %v, %v", problems, err)
	}
	var got strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			got.WriteString(strings.TrimSpace(f.GetName()+" "+strings.Join(labels, " ")) + " " + formatFloat(value) + "\n")
		}
	}
	if got.String() != want {
		t.Errorf("the metrics are\n%s\nwant\n%s", got.String(), want)
	}
}

// TestMetrics: every counter and gauge of a route that has delivered, filtered,
// dropped and failed, and is down.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mode atomic.Value
		mode.Store("reject")
		a := &syncAdapter{answer: func(_ context.Context, lines []string) error {
			switch mode.Load() {
			case "reject":
				return adapters.Rejected([]adapters.Reject{{Index: 1, Reason: "too_long", Err: errBroken}})
			case "permanent":
				return adapters.Permanent("blank", errBroken)
			case "partial":
				mode.Store("works")
				return adapters.Partial(2, errBroken)
			case "down":
				return errBroken
			}
			return nil
		}}
		p := newPositions()
		table := newTable(t, routes.TableConfig{Positions: p, ContainerMetrics: true}, map[string]adapters.Adapter{uri + "?filter.sources=stdout": a})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		settled := func() bool { return table.Routes()[0].Lag().Bytes == 0 }
		four := func() {
			l.add(entry{text: "c:0"}, entry{text: "c:1", stream: record.Stderr}, entry{text: "c:2"}, entry{text: "c:3"})
		}
		for _, m := range []string{"reject", "permanent", "partial", "works"} {
			mode.Store(m)
			four()
			eventually(t, "all is settled", settled)
		}
		mode.Store("down")
		four()
		four()
		time.Sleep(90 * time.Millisecond)
		p.mu.Lock()
		p.err = errors.New("the disk is full")
		p.mu.Unlock()
		table.Save()
		l.mu.Lock()
		// The fake's lines are of a second long ago.
		age := time.Since(time.Unix(0, int64(1000+16))).Seconds()
		l.mu.Unlock()
		resent := table.Routes()[0].Tally().Resent
		if resent.Lines == 0 {
			t.Error("nothing is counted as sent again")
		}
		retries := table.Routes()[0].Stats().Retries.Load()
		const route = " route=fake://host:1?filter.sources=stdout "
		const of = " id=c name=name-c route=fake://host:1?filter.sources=stdout "
		const became = " id=c name=name-c outcome="
		const tail = " route=fake://host:1?filter.sources=stdout "
		checkMetrics(t, table, "tallyman_container_bytes_total"+became+"delivered"+tail+"24\n"+
			"tallyman_container_bytes_total"+became+"dropped"+tail+"12\n"+
			"tallyman_container_bytes_total"+became+"filtered"+tail+"12\n"+
			"tallyman_container_in_flight_lines"+of+"0\n"+
			"tallyman_container_lag_bytes"+of+"8\n"+
			"tallyman_container_lines_total"+became+"delivered"+tail+"8\n"+
			"tallyman_container_lines_total"+became+"dropped"+tail+"4\n"+
			"tallyman_container_lines_total"+became+"filtered"+tail+"4\n"+
			"tallyman_lost_generations_total"+route+"0\n"+
			"tallyman_positions_save_errors_total 1\n"+
			"tallyman_positions_saved 0\n"+
			"tallyman_route_balanced"+route+"1\n"+
			"tallyman_route_bytes_total"+route+"24\n"+
			"tallyman_route_containers"+route+"1\n"+
			"tallyman_route_dropped_bytes_total reason=blank"+route+"9\n"+
			"tallyman_route_dropped_bytes_total reason=too_long"+route+"3\n"+
			"tallyman_route_dropped_lines_total reason=blank"+route+"3\n"+
			"tallyman_route_dropped_lines_total reason=too_long"+route+"1\n"+
			"tallyman_route_filtered_bytes_total"+route+"12\n"+
			"tallyman_route_filtered_lines_total"+route+"4\n"+
			"tallyman_route_in_flight_bytes"+route+"0\n"+
			"tallyman_route_in_flight_lines"+route+"0\n"+
			"tallyman_route_lag_bytes"+route+"8\n"+
			"tallyman_route_lag_seconds"+route+formatFloat(age)+"\n"+
			"tallyman_route_lines_total"+route+"8\n"+
			"tallyman_route_read_bytes_total"+route+"48\n"+
			"tallyman_route_read_errors_total"+route+"0\n"+
			"tallyman_route_read_lines_total"+route+"16\n"+
			"tallyman_route_resent_bytes_total"+route+formatFloat(float64(resent.Bytes))+"\n"+
			"tallyman_route_resent_lines_total"+route+formatFloat(float64(resent.Lines))+"\n"+
			"tallyman_route_retries_total"+route+formatFloat(float64(retries))+"\n"+
			"tallyman_route_up"+route+"0\n"+
			"tallyman_viewers 0\n")
		if last := table.Routes()[0].Stats().LastDelivered.Load(); last != 1000+15 {
			t.Errorf("the newest line delivered is of %d", last)
		}
		stop()
	})
}

// TestLagWhileMovingOn: a cursor that moves to the next file while its lag is
// measured does not make it appear to be without any.
func TestLagWhileMovingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		l.block = perFile
		l.write(3*perFile + 1)
		table.Found(l)
		stop := run(t, table)
		for range 3 {
			h.next(t).done(nil)
		}
		last := h.next(t)
		l.write(2 * perFile)
		synctest.Wait()
		l.mu.Lock()
		l.onLag = func() {
			last.done(nil)
			h.next(t).done(nil)
			synctest.Wait()
		}
		l.mu.Unlock()
		if lag := table.Routes()[0].Lag(); lag.Bytes == 0 {
			t.Error("the lag is said to be nothing")
		}
		for _, p := range h.held {
			p.done(nil)
		}
		stop()
	})
}
