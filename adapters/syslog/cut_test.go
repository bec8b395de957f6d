package syslog

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// Messages that are too long for RELP, or for a datagram, lose their end, between two
// characters, and are counted.
func TestCuts(t *testing.T) {
	t.Run("relp", func(t *testing.T) {
		testCuts(t, adaptertest.StartRELP(t, adaptertest.Serves, nil, lineOf), "relp", "relp.max_bytes", 480)
	})
	t.Run("udp", func(t *testing.T) {
		// One byte is the newline at the end, which stays.
		testCuts(t, adaptertest.StartUDP(t, adaptertest.Format{Line: lineOf}), "udp", "udp.max_bytes", 479)
	})
}

// testCuts sends messages about a limit of 480 bytes, of which most may be header and
// text.
func testCuts(t *testing.T, server adaptertest.Server, transportName, option string, most int) {
	var log bytes.Buffer
	counted := int64(0)
	config := resolve(t, transportName, server.Address(), map[string]string{option: "480"})
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	config.Count = func(event string, lines int64) {
		if event == "cut" {
			counted += lines
		}
	}
	a, err := newAdapter(config, transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	header := len("<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - ")
	lines := []string{
		strings.Repeat("x", most-header),
		strings.Repeat("x", most+1-header),
		strings.Repeat("x", most-1-header) + "é",
		strings.Repeat("x", most-3-header) + "🚢é",
		strings.Repeat("\xbf", 1000),
	}
	batch := adaptertest.NewBatch(web())
	for _, line := range lines {
		batch.Records = append(batch.Records, adaptertest.NewBatch(web(), []byte(line)).Records...)
	}
	for i := range batch.Records {
		batch.Records[i].Time = oneOClock
	}
	var result error
	a.Send(t.Context(), batch, func(err error) { result = err })
	if err := a.Close(t.Context()); err != nil || result != nil {
		t.Fatal(err, result)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "all lines arrive", func() bool { return server.Count() == len(lines) })
	wantLengths := []int{most, most, most - 1, most - 3, most}
	for i, got := range server.Lines() {
		if len(got)+header != wantLengths[i] || !strings.HasPrefix(lines[i], string(got)) ||
			utf8.ValidString(lines[i]) && !utf8.Valid(got) {
			t.Errorf("line %d arrived with %d bytes, want %d: %q", i, len(got)+header, wantLengths[i], got)
		}
	}
	if server.Count() != len(lines) || counted != 4 || strings.Count(log.String(), "cutting messages") != 1 {
		t.Errorf("%d lines arrived, %d are counted, the log says %q", server.Count(), counted, log.String())
	}
}
