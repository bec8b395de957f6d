package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tallyman/cmd/testkit"
)

// project is the Compose project that the containers of these tests say they are of.
var project = fmt.Sprintf("tallyman-page-%d", os.Getpid())

const echoImage = "tallyman-page-echo:test"

// realAgent is an agent on this machine's engine.
type realAgent struct {
	t               *testing.T
	binary, folder  string
	address, output string
	process         *exec.Cmd
}

// goBuild builds a program of this repository. The folder is relative to this one.
func goBuild(t *testing.T, folder, name, out string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", out, name)
	build.Dir = folder
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, text)
	}
}

// docker runs a command of the engine's client and returns what it says.
func docker(t *testing.T, arguments ...string) string {
	t.Helper()
	text, err := exec.Command("docker", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v\n%s", arguments, err, text)
	}
	return strings.TrimSpace(string(text))
}

// newRealAgent builds what the tests need and starts the agent, with one route.
func newRealAgent(t *testing.T) *realAgent {
	t.Helper()
	need(t, "docker")
	text, err := exec.Command("docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput()
	testkit.Need(t, err == nil, fmt.Sprintf("an engine that answers, which says: %s", text))
	a := &realAgent{t: t, folder: t.TempDir()}
	a.binary = filepath.Join(a.folder, "tallyman")
	goBuild(t, "../../../..", "./cmd/tallyman", a.binary)
	image := filepath.Join(a.folder, "image")
	goBuild(t, "testdata/echo", ".", filepath.Join(image, "echo"))
	if err := os.WriteFile(filepath.Join(image, "Dockerfile"), []byte("FROM scratch\nCOPY echo /echo\nENTRYPOINT [\"/echo\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	docker(t, "build", "--quiet", "--tag", echoImage, image)
	a.address, a.output = testkit.FreeAddress(t), filepath.Join(a.folder, "output")
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			text, _ := os.ReadFile(a.output)
			t.Logf("the agent said:\n%s", text)
		}
	})
	a.start()
	return a
}

func (a *realAgent) url(rest string) string { return "http://" + a.address + "/" + rest }

func (a *realAgent) start() {
	a.t.Helper()
	output, err := os.OpenFile(a.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	defer output.Close()
	route := "file://" + filepath.Join(a.folder, "routed.log") + "?filter.name=" + project + "*"
	a.process = exec.Command(a.binary, "--listen", a.address, "--state-dir", filepath.Join(a.folder, "state"), route)
	a.process.Stdout, a.process.Stderr = output, output
	if err := a.process.Start(); err != nil {
		a.t.Fatal(err)
	}
	poll(a.t, "the agent serves", func() bool {
		response, err := http.Get(a.url("api/v1/host"))
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// kill ends the agent as a crash would.
func (a *realAgent) kill() {
	_ = a.process.Process.Kill()
	_ = a.process.Wait() // It was killed.
}

// lines asks the API without the page.
func (a *realAgent) lines(query string) []fakeLine {
	a.t.Helper()
	response, err := http.Get(a.url("api/v1/logs?" + query))
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	var report struct {
		Lines []fakeLine `json:"lines"`
	}
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil || response.StatusCode != http.StatusOK {
		a.t.Fatalf("%s: %d %v", query, response.StatusCode, err)
	}
	return report.Lines
}

// realContainer is a container that says what it is told to.
type realContainer struct {
	t    *testing.T
	name string
	in   io.WriteCloser
}

func startContainer(t *testing.T, name string, options ...string) *realContainer {
	t.Helper()
	c := &realContainer{t: t, name: project + "-" + name}
	arguments := append([]string{"run", "--interactive", "--name", c.name, "--label", "com.docker.compose.project=" + project, "--label", "com.docker.compose.service=" + name}, options...)
	run := exec.Command("docker", append(arguments, echoImage)...)
	var err error
	if c.in, err = run.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		docker(t, "rm", "--force", "--volumes", c.name)
		c.in.Close()
		_ = run.Wait() // Its code is the container's.
	})
	return c
}

func (c *realContainer) say(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, strings.Join(lines, "\n")+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// numbered are n lines that hold their number.
func numbered(from, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("n=%d GET /products/%d 200", from+i, i%90)
	}
	return lines
}

const live = `document.querySelector('.pane')?.dataset.state === 'live'`

// TestRealAgent drives the page of a real agent, which reads the logs of real containers.
func TestRealAgent(t *testing.T) {
	browser := newBrowser(t)
	a := newRealAgent(t)
	web, job := startContainer(t, "web", "--memory", "64m"), startContainer(t, "job")
	p := open(t, browser, a.url(""))

	// The overview knows them, and what they use.
	row := func(c *realContainer) string {
		return fmt.Sprintf(`[...document.querySelectorAll('.containers tr')].find((e) => e.querySelector('th a')?.textContent === %q)`, c.name)
	}
	p.wait(row(web) + `?.innerText.includes('running') && ` + row(web) + `.innerText.includes(' / 64.0 MiB')`)
	p.wait(`[...document.querySelectorAll('.group-row')].some((e) => e.innerText.includes('` + project + ` 2 containers'))`)

	// Lines come as they are written: text, objects, colours, both streams, and what is meant to harm.
	p.do(chromedp.Evaluate(row(web)+`.querySelector('a').click()`, nil))
	p.wait(live)
	web.say(
		"plain text", `{"level":"error","msg":"no space left","free":12345678901234567890}`, "\x1b[33mWARN\x1b[0m slow",
		"!panic: on stderr", `<img src=x onerror="document.title='owned'">`, "nul\x00 bad\xff\xfe \x1b]0;owned\x07end", strings.Repeat("x", 1<<20),
	)
	p.wait(`document.querySelectorAll('.line').length === 7 && document.querySelector('.more')`)
	want := []string{
		"plain text", "no space left free=12345678901234567890", "WARN slow", "panic: on stderr",
		`<img src=x onerror="document.title='owned'">`, "nul␀ bad�� end", strings.Repeat("x", 2048),
	}
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	// The engine may swap lines of the two streams.
	if got := p.rows(); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("the page shows\n%.600q, want\n%.600q", got, want)
	}
	p.wait(`[...document.querySelectorAll('.line.bad')].some((e) => e.innerText.includes('no space left')) && document.querySelector('.line.warn').innerText.includes('slow')`)
	if title := eval[string](p, `document.title`); title != web.name+" – Tallyman" {
		t.Errorf("the title is %q", title)
	}
	web.say(numbered(0, 1500)...)
	p.wait(`[...document.querySelectorAll('.line .text')].at(-1).textContent.startsWith('n=1499 ')`)
	p.wait(`Number(document.querySelector('.pane').dataset.received) === 1507`)

	t.Run("charts", func(t *testing.T) {
		p.wait(`document.querySelectorAll('.value').length === 6 && /\d %/.test(document.querySelector('.value').textContent)`)
		p.wait(`document.querySelector('.marks').innerText.includes('started')`)
	})
	t.Run("search", func(t *testing.T) {
		for _, filter := range []url.Values{{"q": {"products/1[0-4] "}}, {"q": {"!get"}}, {"level": {"warn"}}, {"stream": {"stderr"}}} {
			query := url.Values{"container": {web.name}, "limit": {"200"}}
			for key := range filter {
				query.Set(key, filter.Get(key))
			}
			var want []string
			for _, line := range a.lines(query.Encode()) {
				want = append(want, line.Cursor)
			}
			p.do(chromedp.Navigate(a.url("#/c/" + web.name + "?" + filter.Encode())))
			p.wait(live + ` && /scroll up|begins here/.test(document.querySelector('.edge').textContent)`)
			if got := eval[[]string](p, `[...document.querySelectorAll('.line')].map((e) => e.dataset.cursor)`); len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%v: the page shows %d lines, the API tells %d", filter, len(got), len(want))
			}
		}
	})
	t.Run("history", func(t *testing.T) {
		p.do(chromedp.Navigate(a.url("#/c/" + web.name)))
		p.wait(live + ` && document.querySelectorAll('.line').length > 400`)
		p.wait(`(document.querySelector('.pane').scrollTop = 0, document.querySelector('.edge').textContent === 'The log begins here.'
			&& [...document.querySelectorAll('.line .text')].some((e) => e.textContent === 'plain text'))`)
		p.do(chromedp.Evaluate(`[...document.querySelectorAll('.line')].find((e) => e.innerText.includes('n=7 ')).querySelector('.time').click()`, nil))
		p.wait(`document.querySelector('.pane').dataset.state === 'past' && document.querySelector('.line.current .text')?.textContent.startsWith('n=7 ')`)
		p.do(chromedp.KeyEvent(kb.End))
		p.wait(live + ` && [...document.querySelectorAll('.line .text')].at(-1)?.textContent.startsWith('n=1499 ')`)
	})
	t.Run("restart", func(t *testing.T) { a.restarted(t, p, web) })
	t.Run("merged", func(t *testing.T) {
		p.do(chromedp.Navigate(a.url("#/g/" + project)))
		p.wait(live + ` && document.querySelectorAll('.line').length > 400`)
		for n := range 40 {
			[]*realContainer{web, job}[n%2].say(fmt.Sprintf("turn=%d", n))
		}
		const turns = `[...document.querySelectorAll('.line')].filter((e) => e.querySelector('.text').textContent.startsWith('turn='))`
		p.wait(turns + `.length === 40`)
		times := eval[[]string](p, turns+`.map((e) => e.entry.time)`)
		// Live lines of several containers may be out of order by a second.
		var newest time.Time
		for _, text := range times {
			then := at(t, text)
			if then.Before(newest.Add(-time.Second)) {
				t.Errorf("a line of %v is shown behind one of %v", then, newest)
			}
			newest = later(newest, then)
		}
		if names := eval[[]string](p, `[...new Set([...document.querySelectorAll('.line .name')].map((e) => e.textContent))].sort()`); !slices.Equal(names, []string{"job", "web"}) {
			t.Errorf("the names are %q", names)
		}
	})
	t.Run("flood", func(t *testing.T) {
		p.do(chromedp.Navigate(a.url("#/c/" + job.name)))
		p.wait(live)
		had := eval[int](p, `Number(document.querySelector('.pane').dataset.received)`)
		const turns = 20
		ticker := time.NewTicker(turnEvery)
		defer ticker.Stop()
		for turn := range turns {
			job.say(numbered(turn*linesPerTurn, linesPerTurn)...)
			<-ticker.C
		}
		p.wait(fmt.Sprintf(`(({received, dropped}) => Number(received) + Number(dropped) === %d)(document.querySelector('.pane').dataset)`, had+turns*linesPerTurn))
	})
	t.Run("download", func(t *testing.T) {
		saved := fetch(t, eval[string](p, `document.querySelector('a[download]').href`), 8<<20)
		if got, want := strings.Count(saved, "\n"), strings.Count(docker(t, "logs", job.name)+"\n", "\n"); got != want {
			t.Errorf("%d lines are saved, docker logs tells %d", got, want)
		}
		var objects []string
		for line := range strings.Lines(fetch(t, eval[string](p, `document.querySelectorAll('a[download]')[1].href`), 64<<20)) {
			var l struct{ Name, Time, Stream, Line string }
			if err := json.Unmarshal([]byte(line), &l); err != nil || l.Name != job.name {
				t.Fatalf("%q is saved: %v", line, err)
			}
			objects = append(objects, l.Time+" "+l.Stream+" "+l.Line)
		}
		if texts := strings.Split(strings.TrimSuffix(saved, "\n"), "\n"); len(objects) != len(texts) || !strings.HasSuffix(objects[0], texts[0][len("2006-01-02T15:04:05.000000000Z"):]) {
			t.Errorf("%d objects are saved, %d lines as text", len(objects), len(texts))
		}
	})
	t.Run("end", func(t *testing.T) {
		job.say("exit 3")
		p.wait(`document.querySelector('.marks').innerText.includes('ended, exit code 3')`)
		p.wait(`[...document.querySelectorAll('.note')].some((e) => e.textContent.endsWith('job ended, exit code 3'))`)
		p.do(chromedp.Evaluate(`location.hash = '#/'`, nil))
		p.wait(row(job) + `?.matches('.stopped') && ` + row(job) + `.innerText.includes('exited 3')`)
	})
	t.Run("routes", func(t *testing.T) {
		p.do(chromedp.Evaluate(`location.hash = '#/routes'`, nil))
		p.wait(`document.querySelector('.route')?.innerText.includes('routed.log') && document.querySelector('.route .pill').textContent === 'delivering' && document.querySelector('.route').innerText.includes('agrees')`)
		p.do(chromedp.Click(`.route summary`))
		p.wait(`[...document.querySelectorAll('.route tbody tr')].some((e) => e.firstChild.textContent === '` + job.name + `' && e.children[1].textContent === e.children[2].textContent && e.children[1].textContent !== '0')`)
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// restarted kills the agent and starts it again while its page is open and lines are
// written: each is shown once.
func (a *realAgent) restarted(t *testing.T, p *tab, c *realContainer) {
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(a.url("#/c/"+c.name+"?q=turn-")))
	p.wait(live)
	var want []string
	say := func(n int) {
		var lines []string
		for range n {
			lines = append(lines, "turn-"+strconv.Itoa(len(want)))
			want = append(want, lines[len(lines)-1])
		}
		c.say(lines...)
	}
	const shown = `document.querySelectorAll('.line').length === `
	say(50)
	p.wait(shown + `50`)
	a.kill()
	say(100)
	p.wait(`document.querySelector('.pane').dataset.state === 'lost'`)
	a.start()
	p.wait(shown + `150`)
	say(50)
	p.wait(`[...document.querySelectorAll('.line .text')].at(-1).textContent === 'turn-199'`)
	if got := p.rows(); !slices.Equal(got, want) {
		t.Errorf("the page shows %d lines, want the %d that were written, each once", len(got), len(want))
	}
	cursors := eval[[]string](p, `[...document.querySelectorAll('.line')].map((e) => e.dataset.cursor)`)
	slices.Sort(cursors)
	if n := len(slices.Compact(cursors)); n != len(want) {
		t.Errorf("there are %d cursors for %d lines", n, len(want))
	}
	p.wait(`[...document.querySelectorAll('.note')].some((e) => e.textContent.startsWith('Reconnected'))`)
}
