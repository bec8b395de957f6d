package metrics

import "tallyman/collector/record"

// logRows are what containers write to their logs. Lines are counted where they
// are read for a route: without one there are no such series.
func logRows() []family {
	return []family{
		row(kindAlways, counter, "tallyman_container_log_lines_total", "Lines that the container has written to its log, each counted once, by stream. Some route has to read them.",
			streamValue(func(s *record.StreamUse) int64 { return s.Lines }), "stream"),
		row(kindAlways, counter, "tallyman_container_log_bytes_total", "Bytes of the lines that the container has written to its log, without newlines, by stream.",
			streamValue(func(s *record.StreamUse) int64 { return s.Bytes }), "stream"),
		row(kindAlways, counter, "tallyman_container_log_level_lines_total", "Lines that the container has written to its log, by the level that they name; needs --log-levels.",
			logLevels, "level", "stream"),
		row(kindAlways, gauge, "tallyman_container_log_last_line_timestamp_seconds", "When the container wrote the newest line of its log that was read, in seconds since the epoch.", lastLine),
	}
}

// logOf returns what is known of a container's log, nil where nothing is.
func (c *Containers) logOf(id string) *record.LogUse {
	if c.logUse == nil {
		return nil
	}
	use, ok := c.logUse(id)
	if !ok {
		return nil
	}
	return &use
}

// streamValue writes a number of each stream.
func streamValue(of func(*record.StreamUse) int64) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if r.log == nil {
			return
		}
		for i := range r.log {
			w.with(float64(of(&r.log[i])), record.Stream(i).String())
		}
	}
}

func logLevels(r *reading, w *writer) {
	if r.log == nil {
		return
	}
	for i := range r.log {
		for _, count := range r.log[i].Levels {
			w.with(float64(count.Lines), count.Level, record.Stream(i).String())
		}
	}
}

func lastLine(r *reading, w *writer) {
	if r.log == nil {
		return
	}
	newest := int64(0)
	for i := range r.log {
		newest = max(newest, r.log[i].Newest)
	}
	if newest > 0 {
		w.with(float64(newest/1e6) / millisecond)
	}
}
