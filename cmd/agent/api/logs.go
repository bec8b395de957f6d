package api

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"tallyman/collector/history"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// The bounds of one page of lines.
const (
	pageLines    = 500
	maxPageLines = 5000
	maxPageBytes = 8 << 20
	maxPageScan  = 256 << 20
	maxPageTime  = 2 * time.Second
	maxContext   = 100
)

// Page is what GET /api/v1/logs says.
type Page struct {
	Lines []Line `json:"lines"`
	// Before goes on further into the past, nil where there is nothing more.
	Before *string `json:"before"`
	// After is where the page ends: what was written since lies behind it.
	After   string `json:"after"`
	Scanned int64  `json:"scanned_bytes"`
	// Truncated says that the work was bounded before the page was full.
	Truncated bool `json:"truncated"`
}

// serveLogs answers GET /api/v1/logs with the newest lines that are wanted.
func (a *Server) serveLogs(w http.ResponseWriter, r *http.Request) error {
	s, err := parseSelection(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	limit, err := parseCount(r, "limit", pageLines, maxPageLines)
	if err != nil {
		return err
	}
	if tail, err := parseCount(r, "tail", math.MaxInt, math.MaxInt); err != nil {
		return err
	} else {
		limit = min(limit, tail)
	}
	around, err := parseCount(r, "context", 0, maxContext)
	if err != nil {
		return err
	}
	list, err := a.find(&s)
	if err != nil {
		return err
	}
	select {
	case a.pages <- struct{}{}:
		defer func() { <-a.pages }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	page, err := a.page(r.Context(), list, q, limit, around)
	if err != nil {
		return err
	}
	return writeJSON(w, page)
}

// page returns the newest lines that are wanted, with those around each that
// matches. It has its turn only while it reads, not while its client does.
func (a *Server) page(ctx context.Context, list []*record.Container, q history.Query, limit, around int) (*Page, error) {
	q.Last = lastOf(&q, limit)
	scan, done, err := a.look(ctx, a.scans, list, q, true)
	if err != nil {
		return nil, err
	}
	defer done()
	page, err := readPage(ctx, scan, limit)
	if err == nil && around > 0 && len(q.Match) > 0 {
		err = a.addContext(ctx, page, q, around)
	}
	return page, err
}

// lastOf returns how many lines from the end will do for a page of limit lines,
// 0 where that is not known.
func lastOf(q *history.Query, limit int) int {
	if q.Until != 0 || q.Before != nil || len(q.Streams)+len(q.Match) > 0 || q.Level != level.Unknown || limit > maxPageLines {
		return 0
	}
	// One more than are wanted, which is the first and may lack its beginning.
	return limit + 1
}

// readPage takes lines off a scan that goes backwards.
func readPage(ctx context.Context, scan *history.Scan, limit int) (*Page, error) {
	newest := scan.End()
	page := &Page{Lines: []Line{}, After: newest.String()}
	deadline := time.Now().Add(maxPageTime)
	size, ended := 0, false
	for len(page.Lines) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		line, done, err := scan.Step()
		if err != nil {
			return nil, err
		}
		if done {
			ended = true
			break
		}
		if line != nil {
			page.Lines = append(page.Lines, newLine(line))
			size += len(line.Line)
		}
		if size > maxPageBytes || scan.Scanned() > maxPageScan || time.Now().After(deadline) {
			page.Truncated = true
			break
		}
	}
	if !ended {
		here := scan.Here()
		text := here.String()
		page.Before = &text
	}
	page.Scanned = scan.Scanned()
	slices.Reverse(page.Lines)
	return page, nil
}

// addContext adds to the lines that were found those around them in their own
// container's log.
func (a *Server) addContext(ctx context.Context, page *Page, q history.Query, around int) error {
	known := make(map[string]bool, len(page.Lines))
	for i := range page.Lines {
		known[page.Lines[i].Cursor] = true
	}
	hits := maps.Clone(known)
	deadline := time.Now().Add(maxPageTime)
	var all []Line
	for i := range page.Lines {
		hit := &page.Lines[i]
		var before, after []Line
		if time.Now().Before(deadline) && len(all) < maxPageLines {
			var err error
			if before, err = a.near(ctx, hit, q, around, true, deadline); err != nil {
				return err
			}
			if after, err = a.near(ctx, hit, q, around, false, deadline); err != nil {
				return err
			}
			// What is behind the next that matches is around that one too.
			if next := slices.IndexFunc(after, func(l Line) bool { return hits[l.Cursor] }); next >= 0 {
				after = after[:next]
			}
		}
		page.Truncated = page.Truncated || len(all) >= maxPageLines || !time.Now().Before(deadline)
		slices.Reverse(before)
		for _, l := range slices.Concat(before, []Line{*hit}, after) {
			if l.Cursor == hit.Cursor || !known[l.Cursor] {
				known[l.Cursor] = true
				all = append(all, l)
			}
		}
	}
	page.Lines = all
	return nil
}

// near returns the lines before or behind one, those that are found by a deadline.
func (a *Server) near(ctx context.Context, hit *Line, q history.Query, n int, back bool, deadline time.Time) ([]Line, error) {
	at, err := history.ParseCursor(hit.Cursor)
	if err != nil {
		return nil, err
	}
	wide := history.Query{Streams: q.Streams}
	if back {
		wide.Before = &at
	} else {
		wide.After = &at
	}
	list, err := a.find(&selection{words: []string{hit.Container}})
	if err != nil {
		return nil, nil // It has been removed meanwhile.
	}
	targets, err := a.targets(ctx, list)
	if err != nil {
		return nil, err
	}
	scan, err := history.NewScan(targets, wide, back)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	var lines []Line
	for len(lines) < n && ctx.Err() == nil && time.Now().Before(deadline) {
		line, done, err := scan.Step()
		if err != nil || done {
			return lines, err
		}
		if line != nil {
			l := newLine(line)
			l.Context = true
			lines = append(lines, l)
		}
	}
	return lines, ctx.Err()
}
