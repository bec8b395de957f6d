package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Source is a part of an exposition: Containers, Machine, Process or Host.
type Source interface {
	write(*writer)
}

// The media types that are spoken.
const (
	textType        = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
	openMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
)

// keepPage is the largest page whose memory is kept for the next scrape.
const keepPage = 64 << 20

// Handler serves an exposition over HTTP: the sources, which write it
// themselves, and after them what is registered with client_golang. It speaks
// Prometheus's text format and OpenMetrics, both with gzip for who asks for it.
// Requests that come while a page is made get the same page.
type Handler struct {
	sources  []Source
	gatherer prometheus.Gatherer
	logger   *slog.Logger

	// making holds the right to make pages: one at a time.
	making sync.Mutex
	writer writer
	packer *gzip.Writer

	mu sync.Mutex // guards what follows
	// waiting are the pages that somebody waits for and nobody makes yet, or
	// that are being made, by format.
	waiting map[format]*page
	spare   [][]byte
}

// format is how a page is written.
type format struct{ openMetrics, packed bool }

// page is one answer, shared by those who asked for it at the same time.
type page struct {
	once sync.Once
	body []byte
	// users is how many hold it; guarded by the handler's mutex.
	users int
}

// NewHandler returns a handler. The logger is told what could not be gathered;
// gatherer and logger may be nil.
func NewHandler(gatherer prometheus.Gatherer, logger *slog.Logger, sources ...Source) *Handler {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{sources: sources, gatherer: gatherer, logger: logger, waiting: make(map[format]*page)}
}

// ServeHTTP serves a scrape.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := format{
		openMetrics: expfmt.NegotiateIncludingOpenMetrics(r.Header).FormatType() == expfmt.TypeOpenMetrics,
		packed:      wantsGzip(r.Header),
	}
	p := h.take(f)
	defer h.give(p)
	p.once.Do(func() { h.make(f, p) })
	header := w.Header()
	header.Set("Content-Type", textType)
	if f.openMetrics {
		header.Set("Content-Type", openMetricsType)
	}
	header.Set("Vary", "Accept, Accept-Encoding")
	if f.packed {
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(p.body)))
	// A client that has gone is nobody to tell.
	_, _ = w.Write(p.body)
}

// take joins the page of a format that is waited for or being made, or begins one.
func (h *Handler) take(f format) *page {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.waiting[f]
	if p == nil {
		p = new(page)
		if n := len(h.spare); n > 0 {
			p.body, h.spare = h.spare[n-1][:0], h.spare[:n-1]
		}
		h.waiting[f] = p
	}
	p.users++
	return p
}

// give hands a page back; the last one's memory serves another.
func (h *Handler) give(p *page) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.users--; p.users == 0 && len(h.spare) < 2 && cap(p.body) <= keepPage {
		h.spare = append(h.spare, p.body)
	}
}

// make fills a page. Who asks from when it is done on gets another.
func (h *Handler) make(f format, p *page) {
	h.making.Lock()
	defer h.making.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.waiting, f)
		h.mu.Unlock()
	}()
	h.writer.openMetrics = f.openMetrics
	if !f.packed {
		h.writer.buf = p.body
		h.render(&h.writer)
		p.body, h.writer.buf = h.writer.buf, nil
		return
	}
	h.writer.buf = h.writer.buf[:0]
	h.render(&h.writer)
	packed := bytes.NewBuffer(p.body)
	if h.packer == nil {
		// The level is known, so there is no error.
		h.packer, _ = gzip.NewWriterLevel(packed, gzip.BestSpeed)
	} else {
		h.packer.Reset(packed)
	}
	// Writing to memory does not fail.
	_, _ = h.packer.Write(h.writer.buf)
	_ = h.packer.Close()
	p.body = packed.Bytes()
}

// render writes the whole exposition.
func (h *Handler) render(w *writer) {
	for _, source := range h.sources {
		source.write(w)
	}
	if h.gatherer != nil {
		h.gather(w)
	}
	if w.openMetrics {
		w.buf = append(w.buf, "# EOF\n"...)
	}
}

// gather writes what is registered. What can be gathered is written also when
// other things cannot.
func (h *Handler) gather(w *writer) {
	families, err := h.gatherer.Gather()
	if err != nil {
		h.logger.Error("collecting metrics", "error", err)
	}
	out := bytes.NewBuffer(w.buf)
	for _, family := range families {
		before := out.Len()
		if w.openMetrics {
			_, err = expfmt.MetricFamilyToOpenMetrics(out, family)
		} else {
			_, err = expfmt.MetricFamilyToText(out, family)
		}
		if err != nil {
			out.Truncate(before)
			h.logger.Error("rendering metrics", "error", fmt.Errorf("rendering %q: %w", family.GetName(), err))
		}
	}
	w.buf = out.Bytes()
}

// wantsGzip reports whether a client takes gzip.
func wantsGzip(header http.Header) bool {
	for _, list := range header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(list, ",") {
			coding, parameters, _ := strings.Cut(part, ";")
			quality, weighed := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
			if weight, err := strconv.ParseFloat(quality, 64); weighed && err == nil && weight == 0 {
				continue
			}
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				return true
			}
		}
	}
	return false
}
