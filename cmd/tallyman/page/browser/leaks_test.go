package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// held returns how many of something the page holds, in the words of the browser.
func (p *tab) held(what string) float64 {
	p.t.Helper()
	var value float64
	p.do(heapprofiler.CollectGarbage(), performance.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		metrics, err := performance.GetMetrics().Do(ctx)
		for _, m := range metrics {
			if m.Name == what {
				value = m.Value
			}
		}
		return err
	}))
	return value
}

// A view that was left holds no stream, and nothing of the document.
func TestViewsLeaveNothingBehind(t *testing.T) {
	browser := newBrowser(t)
	a := startAgent(t)
	p := open(t, browser, a.url(""))
	p.wait(`document.querySelectorAll('.containers tbody tr').length > 9`)
	round := func() {
		for _, hash := range []string{"#/c/web-1", "#/g/shop", "#/routes", "#/c/checkout", "#/"} {
			p.do(chromedp.Evaluate(`location.hash = "`+hash+`"`, nil))
			p.wait(`document.querySelector('.line, .route, .containers tbody tr')`)
			want := 0
			if strings.HasPrefix(hash, "#/c/") || strings.HasPrefix(hash, "#/g/") {
				want = 1
			}
			poll(t, fmt.Sprintf("%s has %d streams", hash, want), func() bool { return a.count(0) == want })
		}
	}
	round()
	nodes, listeners := p.held("Nodes"), p.held("JSEventListeners")
	for range 8 {
		round()
	}
	// Eight more rounds draw ten thousand rows; what one round leaves behind would show.
	if now := p.held("Nodes"); now > nodes*1.5+500 {
		t.Errorf("the browser holds %.0f nodes, after one round %.0f", now, nodes)
	}
	if now := p.held("JSEventListeners"); now > listeners*1.5+50 {
		t.Errorf("the browser holds %.0f listeners, after one round %.0f", now, listeners)
	}
}
