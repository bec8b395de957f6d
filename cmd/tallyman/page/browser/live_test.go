package browser

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The flood of the test below.
const (
	linesPerTurn = 500
	floodTurns   = 160
	turnEvery    = 50 * time.Millisecond
	// floodTries is how often the browser may show that it can: the machine has other things
	// to do as well.
	floodTries = 3
	// freeze is a gap between frames that tells of more than a busy machine, in milliseconds.
	freeze = 5000
)

// smoothness is what a browser made of a flood.
type smoothness struct {
	rate, gap float64 // frames a second, and the longest time without one in milliseconds
}

// good is measured against what the machine can do: strictly where it has nothing else to do.
func (s smoothness) good(strict bool) bool {
	if strict {
		return s.rate >= 30 && s.gap <= 250
	}
	return s.gap < freeze
}

// TestLiveAtTenThousandLines sends 10,000 lines a second for 8 s. None is lost without
// being told, and the page does not freeze; with TALLYMAN_SOAK=1, on a machine that has nothing
// else to do, it draws 30 frames a second without a gap of more than 250 ms.
func TestLiveAtTenThousandLines(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	strict := os.Getenv("TALLYMAN_SOAK") == "1"
	var got smoothness
	for try := range floodTries {
		got = p.flood(a)
		p.wait(fmt.Sprintf(`(({received, dropped}) => Number(received) + Number(dropped) === %d)(document.querySelector('.pane').dataset)`, (try+1)*linesPerTurn*floodTurns))
		t.Logf("%.0f frames a second, the longest gap %.0f ms, %s lines dropped", got.rate, got.gap, eval[string](p, `document.querySelector('.pane').dataset.dropped`))
		if got.good(strict) {
			break
		}
	}
	// When it is quiet again, the page draws more than in the flood.
	p.wait(`document.querySelectorAll('.line').length > 400`)
	if rows := eval[int](p, `document.querySelectorAll('.line').length`); rows > 600 {
		t.Errorf("the document has %d rows, want at most 600", rows)
	}
	p.do(heapprofiler.CollectGarbage())
	if heap := eval[float64](p, `performance.memory.usedJSHeapSize`); heap > 40e6 {
		t.Errorf("the page holds %.1f MB, want at most 40", heap/1e6)
	}
	if !got.good(strict) {
		t.Errorf("%.0f frames a second and a gap of %.0f ms (strict: %v)", got.rate, got.gap, strict)
	}
}

// flood writes lines and measures the frames of the page meanwhile.
func (p *tab) flood(a *agent) smoothness {
	p.t.Helper()
	p.do(chromedp.Evaluate(`
		window.drawn = []; window.measuring = true;
		requestAnimationFrame(function frame(now) { window.drawn.push(now); if (window.measuring) requestAnimationFrame(frame); })`, nil))
	texts := make([]string, linesPerTurn)
	ticker := time.NewTicker(turnEvery)
	defer ticker.Stop()
	for turn := range floodTurns {
		for i := range texts {
			texts[i] = fmt.Sprintf("n=%d GET /products/%d 200 %dms %s", turn*linesPerTurn+i, i, i%90, strings.Repeat("x", 80))
			if i%2 == 1 {
				texts[i] = fmt.Sprintf(`{"time":"2026-11-21T10:02:11Z","level":"info","msg":"order accepted","order":%d,"customer":{"id":%d},"total":"41.90"}`, turn*linesPerTurn+i, i)
			}
		}
		a.write("redis", "stdout", "info", texts...)
		<-ticker.C
	}
	drawn := eval[[]float64](p, `(window.measuring = false, window.drawn)`)
	if len(drawn) < 2 {
		return smoothness{gap: math.Inf(1)}
	}
	var s smoothness
	for i := 1; i < len(drawn); i++ {
		s.gap = max(s.gap, drawn[i]-drawn[i-1])
	}
	s.rate = float64(len(drawn)) / ((drawn[len(drawn)-1] - drawn[0]) / 1000)
	return s
}

// A client that is told that lines were left out shows how many.
func TestDroppedLinesAreShown(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	a.viewerLines = 100
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	a.write("redis", "stdout", "info", slices.Repeat([]string{"much"}, 1000)...)
	p.wait(`(({received, dropped}) => dropped > 0 && Number(received) + Number(dropped) === 1000)(document.querySelector('.pane').dataset)`)
	p.wait(`[...document.querySelectorAll('.note')].some((e) => / lines came faster than this browser takes them/.test(e.textContent))`)
}

// Scrolling up keeps what is seen while lines come; End goes on with the newest.
func TestScrollingUpPauses(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/web-1"))
	p.rows()
	p.do(chromedp.Evaluate(`document.querySelector('.pane').scrollTop -= 2000`, nil))
	p.wait(`!document.querySelector('.jump').hidden`)
	const firstSeen = `(() => { const top = document.querySelector('.pane').getBoundingClientRect().top;
		const row = [...document.querySelectorAll('.line')].find((e) => e.getBoundingClientRect().bottom > top);
		return row.dataset.cursor + ' ' + Math.round(row.getBoundingClientRect().top); })()`
	seen := eval[string](p, firstSeen)
	for i := range 10 {
		a.write("web-1", "stdout", "info", slices.Repeat([]string{fmt.Sprint("more ", i)}, 100)...)
	}
	p.wait(`document.querySelector('.jump').textContent === '1,000 new lines ↓'`)
	if now := eval[string](p, firstSeen); now != seen {
		t.Errorf("the first line that is seen was %s and is %s", seen, now)
	}
	p.do(chromedp.KeyEvent(kb.End))
	p.wait(`document.querySelector('.jump').hidden && [...document.querySelectorAll('.line .text')].at(-1).textContent === 'more 9'`)
	p.wait(`(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight < 8)(document.querySelector('.pane'))`)
}

// Scrolling to the top brings the lines before, until the log's first.
func TestHistory(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	all := a.ask("/api/v1/logs?limit=5000&container=" + a.containers[0].ID)
	p := open(t, browser, a.url("#/c/web-1"))
	p.rows()
	p.wait(`(document.querySelector('.pane').scrollTop = 0, document.querySelector('.edge').textContent === 'The log begins here.'
		&& document.querySelector('.line').dataset.cursor === ` + strconv.Quote(all[0].Cursor) + `)`)
	if rows := eval[int](p, `document.querySelectorAll('.line').length`); rows > 600 {
		t.Errorf("%d rows, want at most 600", rows)
	}
	// All of it is there, once and in order, on the way down.
	var cursors []string
	for _, line := range all {
		cursors = append(cursors, line.Cursor)
	}
	p.do(chromedp.Evaluate(`window.met = []; window.twice = 0;
		window.meet = () => {
			const shown = [...document.querySelectorAll('.line')].map((e) => e.dataset.cursor);
			window.twice += shown.length - new Set(shown).size;
			for (const cursor of shown) if (!window.met.includes(cursor)) window.met.push(cursor);
		};
		meet()`, nil))
	p.wait(fmt.Sprintf(`(meet(), document.querySelector('.pane').scrollTop += 3000, window.met.length >= %d)`, len(cursors)))
	if twice := eval[int](p, `window.twice`); twice > 0 {
		t.Errorf("%d rows were shown twice", twice)
	}
	if met := eval[[]string](p, `window.met`); !slices.Equal(met, cursors) {
		t.Errorf("%d lines were seen on the way down, want the %d of the API in their order", len(met), len(cursors))
	}
}

// A page that has shown no line yet misses none when the connection breaks.
func TestRestartBeforeTheFirstLine(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.body.innerText.includes('No lines yet.')`)
	a.stop()
	want := a.write("redis", "stdout", "info", slices.Repeat([]string{"meanwhile"}, 40)...)
	p.wait(`document.querySelector('.pane').dataset.state === 'lost'`)
	a.start()
	p.wait(`document.querySelectorAll('.line').length >= 40`)
	if got := eval[[]string](p, `[...document.querySelectorAll('.line')].map((e) => e.dataset.cursor)`); !slices.Equal(got, want) {
		t.Errorf("the page shows %d lines, want the %d that were written, each once", len(got), len(want))
	}
}

// After the agent was killed and started again the page goes on with the first line
// that it has not seen.
func TestRestartOfTheAgent(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	var want []string
	want = append(want, a.write("redis", "stdout", "info", slices.Repeat([]string{"before"}, 40)...)...)
	p.wait(`document.querySelectorAll('.line').length === 40`)
	a.stop()
	want = append(want, a.write("redis", "stdout", "info", slices.Repeat([]string{"meanwhile"}, 40)...)...)
	p.wait(`document.querySelector('.pane').dataset.state === 'lost' && !document.querySelector('#banner').hidden`)
	a.start()
	p.wait(`document.querySelectorAll('.line').length === 80`)
	want = append(want, a.write("redis", "stdout", "info", slices.Repeat([]string{"after"}, 40)...)...)
	p.wait(`document.querySelectorAll('.line').length >= 120`)
	got := eval[[]string](p, `[...document.querySelectorAll('.line')].map((e) => e.dataset.cursor)`)
	if !slices.Equal(got, want) {
		t.Errorf("the page shows %d lines, want the %d that were written, each once", len(got), len(want))
	}
	p.wait(`[...document.querySelectorAll('.note')].some((e) => e.textContent.startsWith('Reconnected'))`)
	p.wait(`document.querySelector('#banner').hidden`)
}
