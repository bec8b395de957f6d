package browser

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // Not every machine has it.

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// short presses a shortcut: one event, whose text is not typed when the page takes it.
func (p *tab) short(key string) {
	p.t.Helper()
	p.do(input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithText(key), input.DispatchKeyEvent(input.KeyUp).WithKey(key))
}

// Times are local or UTC, and so is the time that the page is asked to go to.
func TestTimes(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, browser, a.url("#/c/web-1"), emulation.SetTimezoneOverride(zone.String()))
	p.rows()
	for _, want := range []*time.Location{zone, time.UTC} {
		texts := eval[[]string](p, `(({ entry, firstChild }) => [entry.time, firstChild.textContent])([...document.querySelectorAll('.line')].at(-1))`)
		at, err := time.Parse(time.RFC3339Nano, texts[0])
		if err != nil {
			t.Fatal(err)
		}
		if text := at.In(want).Format("15:04:05.000"); !strings.HasSuffix(texts[1], text) {
			t.Errorf("the time %s is shown as %s, want %s in %v", texts[0], texts[1], text, want)
		}
		// The page goes to the time that is typed, in the zone that is shown.
		then := time.Now().Add(-20 * time.Minute).Truncate(time.Second)
		p.short("T")
		p.wait(`document.querySelector('#dialog').open`)
		p.do(chromedp.SetValue(`#dialog input`, then.In(want).Format("2006-01-02T15:04:05")), chromedp.Focus(`#dialog input`), chromedp.KeyEvent(kb.Enter))
		asked, shown := p.pastLine()
		if !asked.Equal(then) || shown.Before(then) || shown.Sub(then) > 30*time.Second {
			t.Errorf("asked for %v in %v, the page goes to %v and the line of %v", then, want, asked, shown)
		}
		p.do(chromedp.KeyEvent(kb.End))
		p.wait(`document.querySelector('.pane').dataset.state === 'live' && document.querySelector('.line')`)
		p.short("t")
	}
	p.wait(`!document.querySelector('.line .time')`)
	p.do(chromedp.Click(`//button[.="Go to…"]`), chromedp.Click(`//button[.="1 h ago"]`))
	if asked, _ := p.pastLine(); time.Since(asked) < time.Hour || time.Since(asked) > time.Hour+2*patience {
		t.Errorf("an hour ago is %v", asked)
	}
}

// Theme, wrapping and times are kept.
func TestChoicesAreKept(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/web-1"))
	p.rows()
	p.wait(`document.querySelector('.pane').classList.contains('wrap')`)
	p.short("w")
	p.short("t")
	p.do(chromedp.Click(`#theme`), chromedp.Click(`#theme`), chromedp.Reload())
	p.rows()
	p.wait(`!document.querySelector('.pane').classList.contains('wrap') && document.documentElement.dataset.theme === 'dark'`)
	p.wait(`[...document.querySelectorAll('.toolbar button')].some((e) => e.textContent === 'UTC')`)
}

// An object is shown as what it says and key=value; its details show it whole.
func TestJSONInOneLine(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	a.write("redis", "stdout", "warning",
		`{"time":"2026-11-21T10:02:11Z","level":"warn","msg":"disk \u001b[31mnearly\u001b[0m full","free":12345678901234567890,"mount":"/var/lib","tags":["a",{"b":1}],"note":"two words","none":null}`,
		`{"ts":1,"severity":"INFO"}`,
		`{}`,
		`{"a":1} trailing`,
	)
	p.wait(`document.querySelectorAll('.line').length === 4`)
	want := []string{
		`disk nearly full free=12345678901234567890 mount=/var/lib tags=["a",{"b":1}] note="two words" none=null`,
		`{"ts":1,"severity":"INFO"}`, `{}`, `{"a":1} trailing`,
	}
	for i, got := range p.rows() {
		if got != want[i] {
			t.Errorf("line %d is shown as\n%s, want\n%s", i, got, want[i])
		}
	}
	p.do(chromedp.Click(`.line .text`))
	p.wait(`document.querySelector('pre.json').textContent.includes('"time": "2026-11-21T10:02:11Z",\n  "level": "warn"')`)
	// What a search finds is seen, also where the short form leaves it out.
	p.do(chromedp.Navigate(a.url("#/c/redis?q=11T10|nearly|21T10:02")))
	p.wait(`document.querySelector('mark')?.textContent === 'nearly'`)
	p.do(chromedp.Navigate(a.url("#/c/redis?q=T10:02")))
	p.wait(`document.querySelector('mark')?.textContent === 'T10:02'`)
}

// The view's link, command and download give what the view shows.
func TestLinkCommandAndDownload(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/web-1?"+url.Values{"q": {"it's|redis"}, "level": {"error"}}.Encode()))
	p.rows()
	p.do(chromedp.Evaluate(`window.copied = []; navigator.clipboard.writeText = async (text) => { window.copied.push(text); }`, nil),
		chromedp.Click(`//button[.="Link"]`), chromedp.Click(`//button[.="curl"]`))
	p.wait(`window.copied.length === 2`)
	copied := eval[[]string](p, `window.copied`)
	if copied[0] != eval[string](p, `location.href`) {
		t.Errorf("the link is %q", copied[0])
	}
	address, found := strings.CutPrefix(copied[1], "curl -N '")
	address, closed := strings.CutSuffix(address, "'")
	if !found || !closed || strings.ContainsAny(address, " '") {
		t.Fatalf("the command is %q", copied[1])
	}
	stream := fetch(t, address, 4096)
	if !strings.Contains(stream, "event: batch") || !strings.Contains(stream, "connection refused") || strings.Contains(stream, "GET /products") {
		t.Errorf("the command shows %q", stream)
	}
	saved := fetch(t, eval[string](p, `document.querySelector('a[download]').href`), 1<<20)
	lines := a.ask("/api/v1/logs?limit=5000&level=error&q=redis&container=" + a.containers[0].ID)
	if n := strings.Count(saved, "\n"); n != len(lines) || !strings.Contains(saved, lines[0].Line) {
		t.Errorf("%d lines are saved, want %d", n, len(lines))
	}
	links := eval[[]string](p, `[...document.querySelectorAll('a[download]')].map((e) => e.href)`)
	if len(links) != 2 || links[1] != links[0]+"&format=ndjson" {
		t.Errorf("the downloads are %q", links)
	}
}

// fetch returns the beginning of an answer.
func fetch(t *testing.T, address string, most int) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := make([]byte, most)
	n, err := io.ReadFull(response.Body, text)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	return string(text[:n])
}
