package browser

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The page asks nobody but its agent, and the browser has nothing to complain of.
func TestNoRequestLeavesTheOrigin(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	p.wait(`document.querySelectorAll('.containers tbody tr').length > 9`)
	for _, hash := range []string{"#/c/web-1", "#/g/shop", "#/m?container=web-1,web-2", "#/routes", "#/nowhere", "#/c/missing", "#/c/%E0%A4%A"} {
		p.do(chromedp.Evaluate(`location.hash = "`+hash+`"`, nil))
		p.wait(`document.querySelector('main h1').textContent`)
	}
	if list := p.strangers(a); len(list) > 0 {
		t.Errorf("the page asks %q", list)
	}
}

func TestOverview(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	const names = `[...document.querySelectorAll('.containers tbody tr:not(.group-row) th a')].map((e) => e.textContent).join()`
	p.wait(names + ` === 'grafana,prometheus,checkout,postgres,redis,web-1,web-2,migrate,traefik,report-job'`)
	p.wait(`[...document.querySelectorAll('tr.stopped')].some((e) => e.innerText.includes('exited 137 · OOM'))`)
	p.do(chromedp.Click(`//thead//button[.="CPU"]`))
	p.wait(names + `.startsWith('checkout,web-1,web-2,postgres,redis,migrate')`)
	p.wait(`document.querySelector('[aria-sort=descending]').textContent === 'CPU' && location.hash === '#/?sort=-cpu'`)
	p.do(chromedp.SendKeys(`.bar input`, "web-"))
	p.wait(names + ` === 'web-1,web-2'`)
	p.do(chromedp.Evaluate(`for (const box of document.querySelectorAll('tbody [type=checkbox]')) if (/web-/.test(box.ariaLabel)) box.click()`, nil))
	p.do(chromedp.Click(`.bar a.strong`))
	p.wait(`document.querySelector('h1').textContent === 'web-1, web-2' && document.querySelectorAll('.line .name').length > 100`)
	p.do(chromedp.NavigateBack())
	p.wait(names + ` === 'web-1,web-2'`)
}

func TestRoutes(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/routes"))
	p.wait(`document.querySelectorAll('.route').length === 2`)
	text := eval[string](p, `document.querySelectorAll('.route')[1].innerText`)
	for _, want := range []string{"down", "Last error: dialing tcp graylog.example.com:12201", "17.5 MiB", "12 min 22 s", "198,114", "12 too long", "agrees"} {
		if !strings.Contains(text, want) {
			t.Errorf("the route does not tell %q: %q", want, text)
		}
	}
	p.do(chromedp.Click(`.route:nth-child(2) summary`))
	p.wait(`document.querySelectorAll('.route:nth-child(2) tbody tr').length === ` + strconv.Itoa(len(a.containers)))
	row := eval[string](p, `[...document.querySelector('.route:nth-child(2) tbody tr').children].map((e) => e.textContent).join('|')`)
	if want := a.containers[0].Name + "|48,000|48,000|0|0|0|0 B"; row != want {
		t.Errorf("the first container's tally is %q, want %q", row, want)
	}
	if n := eval[int](p, `document.querySelectorAll('.route:nth-child(1) tbody tr').length`); n != len(a.containers) {
		t.Errorf("the other route's table has %d rows, want %d", n, len(a.containers))
	}
	a.mu.Lock()
	a.routes[1]["down"] = false
	a.mu.Unlock()
	p.wait(`[...document.querySelectorAll('.route .pill')].map((e) => e.textContent).join() === 'delivering,catching up'`)
	p.do(chromedp.Click(`#theme`))
	p.wait(`document.querySelector('#theme').title === 'Theme: light'`)
}

// What the page shows with filters is what the API tells with them.
func TestFilters(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	for _, filter := range []url.Values{
		{"q": {"products/1[0-4]"}}, {"q": {"Products"}}, {"q": {"!get|cache"}}, {"level": {"error"}, "q": {"attempt 1"}}, {"stream": {"stderr"}, "q": {"attempt [12]"}},
	} {
		request := url.Values{"container": {a.containers[0].ID}, "limit": {"200"}}
		for key := range filter {
			request.Set(key, filter.Get(key))
		}
		var want []string
		for _, line := range a.ask("/api/v1/logs?" + request.Encode()) {
			want = append(want, line.Cursor)
		}
		p.do(chromedp.Navigate(a.url("#/c/web-1?" + filter.Encode())))
		p.wait(`/hit|begins here|No line fits/.test(document.querySelector('.edge')?.textContent) && document.querySelector('.pane').dataset.state === 'live'`)
		p.wait(`/scroll up|begins here|No line fits/.test(document.querySelector('.edge').textContent)`)
		got := eval[[]string](p, `[...document.querySelectorAll('.line')].map((e) => e.dataset.cursor)`)
		if !slices.Equal(got, want) {
			t.Errorf("%v: the page shows %d lines, the API tells %d", filter, len(got), len(want))
		}
	}
	p.do(chromedp.Navigate(a.url("#/c/web-1?q=products%2F1")))
	p.wait(`document.querySelector('mark')?.textContent === 'products/1'`)
	p.do(chromedp.Navigate(a.url("#/c/web-1?q=(")))
	p.wait(`document.body.innerText.includes('The agent refuses: q is no regular expression')`)
}

// A link to a line shows it in a tab that knows nothing of the first.
func TestLinkToALine(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	line := a.ask("/api/v1/logs?limit=800&container=" + a.containers[0].ID)[0]
	p := open(t, browser, a.url("#/c/web-1?q=products"))
	p.rows()
	link := eval[string](p, `document.querySelectorAll('.line .time')[3].href`)
	cursor := eval[string](p, `document.querySelectorAll('.line')[3].dataset.cursor`)
	for _, c := range []struct{ address, cursor string }{
		{link, cursor},
		{a.url("#/c/web-1?" + url.Values{"at": {line.Time.Format("2006-01-02T15:04:05.999999999Z07:00")}, "line": {line.Cursor}}.Encode()), line.Cursor},
	} {
		fresh := open(t, browser, c.address)
		fresh.wait(`document.querySelector('.line.current')?.dataset.cursor === "` + c.cursor + `"`)
		seen := eval[bool](fresh, `(() => { const row = document.querySelector('.line.current').getBoundingClientRect(), pane = document.querySelector('.pane').getBoundingClientRect();
			return row.top >= pane.top && row.bottom <= pane.bottom; })()`)
		if !seen {
			t.Errorf("the line %s is not in view", c.cursor)
		}
		fresh.do(chromedp.KeyEvent(kb.End))
		fresh.wait(`document.querySelector('.pane').dataset.state === 'live' && !location.hash.includes('line=')`)
	}
}

// A moment with more lines than the page asks for at once has no hole.
func TestBusyMoment(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	var cursors []string
	for range 8 {
		cursors = append(cursors, a.write("redis", "stdout", "info", slices.Repeat([]string{"busy"}, 1000)...)...)
		time.Sleep(5 * time.Millisecond)
	}
	lines, _ := a.seen()
	first := lines[slices.IndexFunc(lines, func(l fakeLine) bool { return l.Cursor == cursors[0] })]
	p := open(t, browser, a.url("#/c/redis?"+url.Values{"at": {first.Time.Format(time.RFC3339Nano)}, "line": {first.Cursor}}.Encode()))
	p.wait(`document.querySelector('.line.current')?.dataset.cursor === "` + first.Cursor + `"`)
	if got := eval[string](p, `document.querySelector('.line.current').nextElementSibling?.dataset.cursor`); got != cursors[1] {
		t.Errorf("the line behind %s is %s, want %s", first.Cursor, got, cursors[1])
	}
}

// Whatever a container writes is shown as text.
func TestHostileLines(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url("#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	a.write("redis", "stdout", "info",
		`<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`,
		"\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\ \x1b]0;title\x07done",
		"nul\x00bell\x07back\x08 end",
		"bad\xff\xfeutf8",
		`{"msg":"<b>bold</b>","__proto__":{"x":1},"n":12345678901234567890,"x":"\u001b[31mred"}`,
		`{"unfinished":`,
		"javascript:alert(1) data:text/html,x https://example.com/<b>",
		"\x1b[38;5;300mx\x1b[38;2;999;0;0my\x1b[99999999999mz",
		"\u202eright to left",
		"\u2028separated\u2029\r",
		strings.Repeat("a<b>", 1<<18),
	)
	p.wait(`document.querySelectorAll('.line').length === 11`)
	got := p.rows()
	want := []string{
		`<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`,
		"click done", "nul␀bell␇back␈ end", "bad�utf8",
		`<b>bold</b> __proto__={"x":1} n=12345678901234567890 x="\u001b[31mred"`, `{"unfinished":`,
		"javascript:alert(1) data:text/html,x https://example.com/<b>", "xyz", "\u202eright to left", "�separated�␍", strings.Repeat("a<b>", 512),
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page shows\n%q, want\n%q", got, want)
	}
	if n := eval[int](p, `document.querySelectorAll('.pane img, .pane script, .pane b, .pane a:not(.time):not([href^="http"])').length`); n > 0 {
		t.Errorf("%d elements were made of a line's text", n)
	}
	p.do(chromedp.Click(`.line:last-child .more`))
	p.wait(`document.querySelector('.details').textContent.includes('1,032,192 more characters are in the download')`)
	// What is told at the top moves the lines, and a click would miss.
	p.do(chromedp.KeyEvent("g"))
	p.wait(`document.querySelector('.edge').textContent === 'The log begins here.'`)
	p.do(chromedp.Click(`.line:nth-child(5) .text`))
	pretty := eval[string](p, `document.querySelector('pre.json').textContent`)
	if want := "{\n  \"msg\": \"<b>bold</b>\",\n  \"__proto__\": {\n    \"x\": 1\n  },\n  \"n\": 12345678901234567890,\n  \"x\": \"\\u001b[31mred\"\n}"; pretty != want {
		t.Errorf("the object is shown as\n%s, want\n%s", pretty, want)
	}
	if title := eval[string](p, `document.title`); title != "redis – Tallyman" {
		t.Errorf("the title is %q", title)
	}
}

// From the overview to a line's details and back, without a pointer.
func TestJourneyByKeyboard(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	p.wait(`document.querySelectorAll('.containers tbody tr').length > 9`)
	press := func(keys string) { p.t.Helper(); p.do(chromedp.KeyEvent(keys)) }
	short := p.short
	press(kb.Tab)
	p.wait(`document.activeElement.className === 'skip'`)
	short("/")
	p.wait(`document.activeElement.type === 'search'`)
	press("web-2")
	p.wait(`document.querySelectorAll('.containers tbody tr:not(.group-row)').length === 1`)
	for range 20 {
		press(kb.Tab)
		if eval[bool](p, `document.activeElement.getAttribute('href') === '#/c/web-2'`) {
			break
		}
	}
	press(kb.Enter)
	p.wait(`document.querySelector('h1').textContent === 'web-2' && document.activeElement.tagName === 'H1'`)
	p.rows()
	short("/")
	press("cart" + kb.Enter)
	p.wait(`location.hash.includes('q=cart') && document.querySelectorAll('mark').length > 20`)
	short("k")
	short("k")
	p.wait(`document.activeElement.matches('.line.current') && document.activeElement === [...document.querySelectorAll('.line')].at(-2)`)
	press(kb.Enter)
	p.wait(`document.querySelector('.line.current .details')`)
	press(kb.Tab)
	p.wait(`document.activeElement.closest('.details')`)
	press(kb.Escape)
	p.wait(`document.querySelector('.jump').hidden`)
	short("e")
	p.wait(`location.hash.includes('level=error')`)
	short("?")
	p.wait(`document.querySelector('#dialog').open`)
	press(kb.Escape)
	p.wait(`!document.querySelector('#dialog').open`)
	p.do(chromedp.KeyEvent("k", chromedp.KeyModifiers(2)))
	p.wait(`document.activeElement.closest('.side')`)
	press("traefik" + kb.Enter)
	p.wait(`document.querySelector('h1').textContent === 'traefik'`)
	short("r")
	p.wait(`location.hash === '#/routes'`)
	p.do(chromedp.NavigateBack())
	p.wait(`document.querySelector('h1').textContent === 'traefik'`)
}

// Each control has a name that a screen reader can tell.
func TestEveryControlHasAName(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	controls := []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "image", "log", "navigation", "region", "toolbar", "DisclosureTriangle", "Date"}
	for _, hash := range []string{"#/", "#/c/web-1", "#/g/shop", "#/routes"} {
		p.do(chromedp.Navigate(a.url(hash)))
		p.wait(`document.querySelector('.line, .route, .containers tbody tr')`)
		var nodes []*accessibility.Node
		p.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
			nodes, err = accessibility.GetFullAXTree().Do(ctx)
			return err
		}))
		met := 0
		for _, node := range nodes {
			if node.Ignored || node.Role == nil || !slices.Contains(controls, strings.Trim(string(node.Role.Value), `"`)) {
				continue
			}
			met++
			if node.Name == nil || len(strings.Trim(string(node.Name.Value), `" `)) == 0 {
				t.Errorf("%s: a %s has no name", hash, node.Role.Value)
			}
		}
		if met < 6 {
			t.Errorf("%s: only %d controls were found", hash, met)
		}
	}
}

// contrasts returns texts whose contrast is below what WCAG 2.2, section 1.4.3, asks for.
const contrasts = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
	const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
	const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const bad = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = walker.nextNode());) {
		const element = node.parentElement;
		if (!node.data.trim() || !element.checkVisibility() || element.closest('.unseen, .skip, noscript, option')) continue;
		let behind = element;
		while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
		const [a, b] = [light(rgba(getComputedStyle(element).color)), light(rgba(behind ? getComputedStyle(behind).backgroundColor : 'Canvas'))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.add(ratio.toFixed(2) + ' ' + element.tagName + '.' + element.className + ' ' + node.data.slice(0, 30));
	}
	return [...bad];
})()`

func TestContrast(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	var colours []string
	for _, code := range []string{"30", "31", "32", "33", "34", "35", "36", "37", "90", "91", "97", "41", "42", "43", "44", "45", "46", "47", "100", "7", "2", "38;5;226", "38;5;17", "38;2;255;255;255", "38;2;0;0;0", "48;2;255;0;0"} {
		colours = append(colours, "\x1b["+code+"mcolour "+code+"\x1b[0m")
	}
	a.write("web-1", "stdout", "info", colours...)
	for _, theme := range []string{"light", "dark"} {
		p := open(t, browser, a.url(""), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}))
		for _, hash := range []string{"#/", "#/c/web-1", "#/c/web-1?q=colour", "#/g/shop", "#/routes"} {
			p.do(chromedp.Navigate(a.url(hash)))
			p.wait(`document.querySelector('.line, .route, .containers tbody tr')`)
			for _, text := range eval[[]string](p, contrasts) {
				t.Errorf("%s %s: contrast %s", theme, hash, text)
			}
		}
	}
}

// On a phone nothing has to be scrolled sideways, and all can be reached.
func TestPhone(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""), chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	for _, hash := range []string{"#/", "#/c/web-1", "#/g/shop", "#/routes"} {
		p.do(chromedp.Navigate(a.url(hash)))
		p.wait(`document.querySelector('.line, .route, .containers tbody tr')`)
		if width := eval[int](p, `Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)`); width > 390 {
			t.Errorf("%s is %d pixels wide", hash, width)
		}
		wide := eval[[]string](p, `[...document.querySelectorAll('button, a, input, select')].filter((e) => e.checkVisibility() && !e.closest('.scroll, .skip, .pane'))
			.filter((e) => e.getBoundingClientRect().right > 390.5).map((e) => e.outerHTML.slice(0, 80))`)
		if len(wide) > 0 {
			t.Errorf("%s: out of view: %q", hash, wide)
		}
	}
}
