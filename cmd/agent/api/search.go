package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"tallyman/collector/history"
	"tallyman/collector/record"
)

// serveDownload answers GET /api/v1/logs/download with all lines that are wanted,
// oldest first, as text or with format=ndjson as the API tells them.
func (a *Server) serveDownload(w http.ResponseWriter, r *http.Request) error {
	contentType, name, write := "text/plain; charset=utf-8", "containers.log", appendText
	switch format := r.URL.Query().Get("format"); format {
	case "", "text":
	case "ndjson":
		contentType, name, write = "application/x-ndjson", "containers.ndjson", appendLine
	default:
		return badRequest("unknown format %q; known are text, ndjson", format)
	}
	return a.goThrough(w, r, contentType, func(scan *history.Scan, out *sender) error {
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		for {
			line, done, err := scan.Step()
			if err != nil || done {
				return err
			}
			if line != nil {
				out.buf = append(write(out.buf, line), '\n')
			}
			if err := out.step(false); err != nil {
				return err
			}
		}
	})
}

// appendText appends a line's time, stream and text.
func appendText(dst []byte, l *history.Line) []byte {
	dst = time.Unix(0, l.Time).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
	dst = append(append(dst, ' '), l.Stream.String()...)
	return append(append(dst, ' '), l.Line...)
}

// goThrough opens what a request selects and has visit write about it. Whatever
// the client leaves, or an error breaks off, ends the work.
func (a *Server) goThrough(w http.ResponseWriter, r *http.Request, contentType string, visit func(*history.Scan, *sender) error) error {
	s, err := parseSelection(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	tail, err := parseCount(r, "tail", math.MaxInt, math.MaxInt)
	if err != nil {
		return err
	}
	back, err := parseOrder(r)
	if err != nil {
		return err
	}
	list, err := a.find(&s)
	if err != nil {
		return err
	}
	if !back && tail < math.MaxInt {
		if err := a.fromTail(r.Context(), a.long, list, &q, tail); err != nil {
			return err
		}
	}
	scan, done, err := a.look(r.Context(), a.long, list, q, back)
	if err != nil {
		return err
	}
	defer done()
	w.Header().Set("Content-Type", contentType)
	out := newSender(r.Context(), w)
	if err := visit(scan, out); err != nil {
		a.Logger.Debug("a look into the past has ended early", "client", r.RemoteAddr, "error", err)
		// The answer has begun: breaking it off is all that can be told.
		panic(http.ErrAbortHandler)
	}
	return out.flush()
}

// parseOrder reports whether the newest lines are wanted first.
func parseOrder(r *http.Request) (newest bool, err error) {
	switch order := r.URL.Query().Get("order"); order {
	case "", "oldest":
		return false, nil
	case "newest":
		return true, nil
	default:
		return false, badRequest("unknown order %q; known are oldest, newest", order)
	}
}

// fromTail moves the beginning of a query to the last n of its lines.
func (a *Server) fromTail(ctx context.Context, turns chan struct{}, list []*record.Container, q *history.Query, n int) error {
	q.Last = lastOf(q, n)
	scan, release, err := a.look(ctx, turns, list, *q, true)
	if err != nil {
		return err
	}
	defer release()
	// What lies behind the line before them.
	for steps := 0; steps <= n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, done, err := scan.Step()
		if err != nil || done {
			return err
		}
		if line != nil {
			steps++
		}
	}
	here := scan.Here()
	q.After = &here
	return nil
}

// Progress is what a search tells of itself from time to time.
type Progress struct {
	Scanned int64 `json:"scanned_bytes"`
	Total   int64 `json:"total_bytes"`
	// At is the time of the last line told, so how far it has come.
	At time.Time `json:"at,omitzero"`
}

// Found is one line of the answer to a search: one of its fields is set.
type Found struct {
	Line     *Line     `json:"line,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Done     *Done     `json:"done,omitempty"`
}

// Done ends a search: After is where a stream goes on.
type Done struct {
	Progress
	Before *string `json:"before"`
	After  string  `json:"after"`
}

// progressEvery is how often a search tells how far it is.
const progressEvery = 250 * time.Millisecond

// serveSearch answers GET /api/v1/search: each line that is found, as it is found,
// newest first with order=newest, else oldest first.
func (a *Server) serveSearch(w http.ResponseWriter, r *http.Request) error {
	limit, err := parseCount(r, "limit", math.MaxInt, math.MaxInt)
	if err != nil {
		return err
	}
	return a.goThrough(w, r, "application/x-ndjson", func(scan *history.Scan, out *sender) error {
		encoder := json.NewEncoder(out)
		newest := scan.End()
		told, n, at, all := time.Now(), 0, time.Time{}, false
		end := Done{After: newest.String()}
		for n < limit {
			line, done, err := scan.Step()
			if err != nil {
				return err
			}
			if all = done; all {
				break
			}
			now := time.Now()
			if line != nil {
				l := newLine(line)
				n, at = n+1, l.Time
				if err := encoder.Encode(Found{Line: &l}); err != nil {
					return err
				}
			} else if now.Sub(told) > progressEvery {
				told = now
				if err := encoder.Encode(Found{Progress: &Progress{scan.Scanned(), scan.Total(), at}}); err != nil {
					return err
				}
			}
			if err := out.step(line != nil && n <= pageLines); err != nil {
				return err
			}
		}
		end.Progress = Progress{scan.Scanned(), scan.Total(), at}
		here := scan.Here()
		if all {
			// There is nothing up to then, also in logs that are not among these.
			here.Time = newest.Time
		}
		if text := here.String(); !scan.Back() {
			end.After = text
		} else if n == limit {
			end.Before = &text
		}
		return encoder.Encode(Found{Done: &end})
	})
}
