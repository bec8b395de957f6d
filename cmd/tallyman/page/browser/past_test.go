package browser

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A line that is written while the past is being searched is shown once.
func TestSearchMeetsTheStream(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	a.write("redis", "stdout", "info", "a word of before")
	var once sync.Once
	a.beforePage = func() { once.Do(func() { a.write("redis", "stdout", "info", "a word of now") }) }
	p := open(t, browser, a.url("#/c/redis?q=word"))
	p.wait(`document.querySelector('.pane')?.dataset.received === '1' && document.querySelectorAll('.line').length >= 2`)
	a.write("redis", "stdout", "info", "a word of later")
	p.wait(`[...document.querySelectorAll('.line .text')].at(-1).textContent === 'a word of later'`)
	if got := p.rows(); !slices.Equal(got, []string{"a word of before", "a word of now", "a word of later"}) {
		t.Errorf("the page shows %q", got)
	}
}

// What the page has let go of, to keep others in memory, comes back when the reader
// scrolls up to it.
func TestLinesLetGoComeBack(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	a.viewerLines = 1 << 20
	a.write("redis", "stdout", "info", "the first line")
	p := open(t, browser, a.url("#/c/redis"))
	const top = `(document.querySelector('.pane').scrollTop = 0, document.querySelector('.edge').textContent === 'The log begins here.'
		&& document.querySelector('.line .text')?.textContent === 'the first line')`
	p.rows()
	p.do(chromedp.KeyEvent("g"))
	p.wait(`document.querySelector('.edge').textContent === 'The log begins here.'`)
	p.do(chromedp.KeyEvent("G"))
	const turns, each = 24, 1000
	for turn := range turns {
		texts := make([]string, each)
		for i := range texts {
			texts[i] = fmt.Sprintf("n=%d", turn*each+i)
		}
		a.write("redis", "stdout", "info", texts...)
	}
	p.wait(fmt.Sprintf(`[...document.querySelectorAll('.line .text')].at(-1)?.textContent === 'n=%d'`, turns*each-1))
	p.do(chromedp.KeyEvent("g"))
	p.wait(top)
}

// Going to a moment that has little, before one that has more lines than a page
// holds, ends.
func TestBurstBehindAMoment(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	quiet := a.write("redis", "stdout", "info", "quiet")
	burst := a.write("redis", "stdout", "info", slices.Repeat([]string{"burst"}, 6000)...)
	at := time.Now().Add(-time.Second)
	a.mu.Lock()
	for i := range a.lines {
		// Nobody writes at the same nanosecond: the burst takes some milliseconds.
		if n := slices.Index(burst, a.lines[i].Cursor); n >= 0 {
			a.lines[i].Time = at.Add(300*time.Millisecond + time.Duration(n)*time.Microsecond)
		} else if a.lines[i].Cursor == quiet[0] {
			a.lines[i].Time = at
		}
	}
	a.mu.Unlock()
	p := open(t, browser, a.url("#/c/redis?"+url.Values{"at": {at.Format(time.RFC3339Nano)}, "line": {quiet[0]}}.Encode()))
	p.wait(`document.querySelector('.line.current')?.dataset.cursor === "` + quiet[0] + `"`)
	p.wait(`[...document.querySelectorAll('.line .text')].some((e) => e.textContent === 'burst')`)
	if got := eval[string](p, `document.querySelector('.line.current').nextElementSibling?.dataset.cursor`); got != burst[0] {
		t.Errorf("the line behind the quiet one is %s, want %s", got, burst[0])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if asked := strings.Count(strings.Join(p.asked, "\n"), "/api/v1/logs?"); asked > 20 {
		t.Errorf("the page has asked %d times", asked)
	}
}
