package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pastLine waits for the past, and returns the time that the address names and that of
// the line that is shown for it.
func (p *tab) pastLine() (asked, shown time.Time) {
	p.t.Helper()
	p.wait(`document.querySelector('.pane').dataset.state === 'past' && document.querySelector('.line.current')`)
	texts := eval[[]string](p, `[new URLSearchParams(location.hash.split('?')[1]).get('at'), document.querySelector('.line.current').entry.time]`)
	for i, at := range []*time.Time{&asked, &shown} {
		parsed, err := time.Parse(time.RFC3339Nano, texts[i])
		if err != nil {
			p.t.Fatal(err)
		}
		*at = parsed
	}
	return asked, shown
}

// What happens to a container is marked on its charts and leads to the lines of then.
func TestEventsOnCharts(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/checkout"))
	p.wait(`document.querySelectorAll('.marks button').length === 4`)
	text := eval[string](p, `document.querySelector('.marks').innerText`)
	for _, want := range []string{"unhealthy", "out of memory", "ended, exit code 137", "started"} {
		if !strings.Contains(text, want) {
			t.Errorf("the marks do not tell %q: %q", want, text)
		}
	}
	// A mark is a line of its colour from top to bottom, in each chart.
	for i := range 4 {
		red := eval[int](p, fmt.Sprintf(`(() => {
			const canvas = document.querySelectorAll('.chart canvas')[%d];
			const want = getComputedStyle(document.querySelectorAll('.marks .dot')[0]).backgroundColor.match(/\d+/g).map(Number);
			const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
			let n = 0;
			for (let i = 0; i < data.length; i += 4) if ([0, 1, 2].every((k) => Math.abs(data[i + k] - want[k]) < 40)) n++;
			return n;
		})()`, i))
		if red < 60 {
			t.Errorf("chart %d has %d pixels of the mark's colour", i, red)
		}
	}
	p.do(chromedp.Click(`//div[@class="marks"]//button[contains(., "137")] | //p[@class="marks"]//button[contains(., "137")]`))
	asked, shown := p.pastLine()
	if want := time.Now().Add(-150 * time.Second); asked.Sub(want).Abs() > 2*patience {
		t.Errorf("the mark leads to %v, want about %v", asked, want)
	}
	if shown.Before(asked) || shown.Sub(asked) > 30*time.Second {
		t.Errorf("at %v the line of %v is shown", asked, shown)
	}
	p.do(chromedp.NavigateBack())
	p.wait(`document.querySelector('.pane').dataset.state === 'live'`)
	// What happens from now on is told between the lines.
	a.end("checkout", 3)
	p.wait(`[...document.querySelectorAll('.note')].some((e) => e.textContent.includes('checkout ended, exit code 3'))`)
	p.wait(`document.querySelector('.marks').innerText.includes('exit code 3')`)
}

// The pointer and the keys pick a time in all charts at once, and go to its lines.
func TestTimeOnCharts(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/web-1"))
	p.wait(`document.querySelectorAll('.value').length === 6`)
	const told = `[...document.querySelectorAll('.values')].map((e) => e.textContent).join()`
	now := eval[string](p, told)
	p.do(chromedp.Focus(`.chart:nth-child(2) canvas`))
	p.wait(`document.activeElement.matches('.chart:nth-child(2) canvas')`)
	for range 30 {
		p.do(chromedp.KeyEvent(kb.ArrowLeft))
	}
	p.wait(`/^at \d\d:\d\d:\d\d$/.test(document.querySelector('.use summary .hint').textContent)`)
	if then := eval[string](p, told); then == now {
		t.Errorf("30 seconds before, the charts still tell %q", then)
	}
	p.wait(`/^\d\d:\d\d:\d\d: \d+ MiB$/.test(document.querySelector('#status').textContent)`)
	p.do(chromedp.KeyEvent(kb.Enter))
	if asked, shown := p.pastLine(); shown.Sub(asked).Abs() > 30*time.Second || time.Since(asked) < 25*time.Second {
		t.Errorf("the chart leads to %v and to the line of %v", asked, shown)
	}
	p.do(chromedp.NavigateBack())
	p.wait(`document.querySelector('.pane').dataset.state === 'live'`)
	middle := eval[[]float64](p, `(() => { const { x, y, width, height } = document.querySelector('.chart canvas').getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()`)
	p.do(chromedp.MouseEvent("mouseMoved", middle[0], middle[1]))
	p.wait(`/^at /.test(document.querySelector('.use summary .hint').textContent)`)
	p.do(chromedp.MouseClickXY(middle[0], middle[1]))
	if asked, _ := p.pastLine(); time.Since(asked) < 140*time.Second {
		t.Errorf("the middle of five minutes is %v ago", time.Since(asked))
	}
}
