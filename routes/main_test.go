package routes_test

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/cmd/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually polls until condition holds. Within a synctest bubble the waiting
// costs no time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// journal is the text that a logger has written.
type journal struct{ testkit.Buffer }

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

func (j *journal) count(text string) int { return strings.Count(j.String(), text) }

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
