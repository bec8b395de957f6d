package gelf

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// gathered is how many bytes are gathered at most for requests that carry one
// message each.
const gathered = 64 << 10

// webOptions returns the options that have a meaning over HTTP alone.
func webOptions() []adapters.Option {
	options := []adapters.Option{{
		Name: "bulk", Default: "false", Values: []string{"true", "false"},
		Help: "Post many messages in one HTTP request, for an input with bulk receiving enabled.",
	}}
	for _, o := range post.Options() {
		switch o.Name {
		case "max_bytes", "max_lines": // The one is of messages here, the other is given by bulk.
			continue
		case "concurrency":
			o.Default = "4" // One message a request is slow.
		case "linger":
			o.Help = "How long messages wait for more of them with bulk, 0s to 1m."
		}
		if !strings.HasPrefix(o.Name, "tls.") {
			options = append(options, o)
		}
	}
	for i := range options {
		options[i].Transports = post.Transports()
	}
	return options
}

// bodies makes the bodies of requests. It implements post.Encoder.
type bodies struct{ *encoder }

// AppendHeader appends nothing.
func (bodies) AppendHeader(dst []byte, _ record.Stream) []byte { return dst }

// AppendBody appends the messages without the newline after the last one.
func (b bodies) AppendBody(dst []byte, groups []post.Group) []byte {
	dst = groups[0].AppendFrames(dst)
	return dst[:len(dst)-len(b.end)]
}

// newHTTP makes the adapter that posts to Graylog's HTTP input.
func newHTTP(c *adapters.Config, e *encoder) (adapters.Adapter, error) {
	format, level, err := readCompression(c)
	if err != nil {
		return nil, err
	}
	if format == "auto" {
		format = post.None
	}
	config := post.Config{
		Adapter: *c, Encoder: bodies{e}, Path: "/gelf", ContentType: "application/json",
		Compression: format, Level: level, Single: c.Options["bulk"] == "false",
	}
	options := maps.Clone(c.Options)
	options["max_lines"] = "1000000" // The bytes are the bound.
	if config.Single {
		for _, o := range webOptions() {
			if o.Name == "linger" && options[o.Name] != o.Default {
				return nil, fmt.Errorf("option %q has a meaning only when option %q is true", o.Name, "bulk")
			}
		}
		options["linger"] = "0s"
		options["max_bytes"] = strconv.Itoa(min(e.most, gathered))
	} else {
		options["max_bytes"] = strconv.Itoa(e.most)
	}
	config.Adapter.Options = options
	path := config.Path
	if c.Path != "" && c.Path != "/" {
		path = c.Path
	}
	config.Judge = func(a *post.Answer) post.Verdict {
		v := judge(a)
		if v.Err != nil {
			v.Err = fmt.Errorf("posting to %q: %w", path, v.Err)
		}
		return v
	}
	return post.New(config)
}

// judge goes by the status. Most of those that blame the client are of a wrong
// address or password, which somebody will set right: they are no reason to
// throw lines away.
func judge(a *post.Answer) post.Verdict {
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return post.Verdict{Split: true, Reason: "refused", Err: a.Error()}
	}
	v := post.JudgeStatus(a)
	if v.Rejected > 0 {
		v = post.Verdict{Retry: true, Err: v.Err}
	}
	return v
}
