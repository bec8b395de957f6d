// Package browser drives the page in a real browser. It is a module of its own, so
// that the agent does not depend on what it needs.
package browser

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tallyman/cmd/testkit"
)

// need returns the path of the first program that is there. Without any the test is
// skipped, except in continuous integration, where it fails.
func need(t *testing.T, programs ...string) string {
	t.Helper()
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	testkit.Need(t, false, programs[0])
	return ""
}

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// tab is one tab of the browser. It keeps what the page complains of and whom it asks.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
	asked    []string
}

// newBrowser starts a browser that ends with the test. All tests run in turn: the
// machine may have few cores, and some of them measure frames.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need(t, "chromium", "chromium-headless-shell", "google-chrome")), chromedp.NoSandbox, chromedp.WindowSize(1360, 860),
		chromedp.Flag("enable-precise-memory-info", true), chromedp.Flag("force-color-profile", "srgb"))
	ctx, cancelAllocator := chromedp.NewExecAllocator(t.Context(), options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
	})
	return ctx
}

// open shows an address in a new tab of the browser. The test fails if the page
// complains.
func open(t *testing.T, browser context.Context, address string, before ...chromedp.Action) *tab {
	t.Helper()
	// The library logs events that are newer than itself; what fails is returned too.
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithErrorf(func(string, ...any) {}))
	p := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		for _, problem := range p.complaints() {
			t.Errorf("the page complains: %s", problem)
		}
	})
	chromedp.ListenTarget(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			p.asked = append(p.asked, event.Request.URL)
		case *runtime.EventExceptionThrown:
			p.problems = append(p.problems, event.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// Requests may fail while the agent is away.
			if event.Entry.Level == log.LevelError && event.Entry.Source != log.SourceNetwork {
				p.problems = append(p.problems, event.Entry.Text)
			}
		case *runtime.EventConsoleAPICalled:
			if event.Type == runtime.APITypeError || event.Type == runtime.APITypeWarning {
				p.problems = append(p.problems, string(event.Type))
			}
		}
	})
	p.do(append(append([]chromedp.Action{network.Enable(), log.Enable()}, before...), chromedp.Navigate(address))...)
	return p
}

func (p *tab) do(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if p.ctx.Value(startedKey{}) == nil {
		// The first call starts the tab, which must not end with a deadline.
		if err := chromedp.Run(p.ctx, chromedp.Tasks(actions)); err != nil {
			p.t.Fatal(err)
		}
		p.ctx = context.WithValue(p.ctx, startedKey{}, true)
		return
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

type startedKey struct{}

// eval returns what an expression of JavaScript is.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	var value T
	p.do(chromedp.Evaluate(expression, &value))
	return value
}

// poll waits until a condition holds.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// wait polls until an expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !eval[bool](p, "Boolean("+expression+")") {
		if time.Now().After(deadline) {
			text := eval[string](p, "document.body.innerText.slice(0, 1500)")
			p.t.Fatalf("never came true: %s\nproblems: %q\nthe page shows:\n%s", expression, p.complaints(), text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.problems...)
}

// rows waits until the list of lines has some, and returns their texts.
func (p *tab) rows() []string {
	p.t.Helper()
	p.wait(`document.querySelector('.line')`)
	return eval[[]string](p, `[...document.querySelectorAll('.line .text')].map((e) => e.textContent)`)
}

// strangers returns the addresses that were asked for and are not the agent's.
func (p *tab) strangers(a *agent) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, address := range p.asked {
		if !strings.HasPrefix(address, a.url("")) && !strings.HasPrefix(address, "data:") {
			list = append(list, address)
		}
	}
	return list
}
