// Package httppost posts lines to any HTTP server: as JSON objects, one a line or
// in an array, or as plain text.
package httppost

import (
	"fmt"
	"slices"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport/post"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "http",
		Summary:    "Posts batches of lines to an HTTP server, as JSON or text.",
		Transports: post.Transports(),
		Aliases:    map[string]string{"https": "https"},
		Target: func(transport string) adapters.Target {
			port := "80"
			if transport == "https" {
				port = "443"
			}
			return adapters.Target{Port: port, Path: true, User: true}
		},
		Options: slices.Concat(options(), post.Options()),
		New:     newAdapter,
	}
}

func options() []adapters.Option {
	return []adapters.Option{
		{
			Name: "format", Default: "ndjson", Values: []string{"ndjson", "json", "text"},
			Help: "Layout of a body: a JSON object for each line and a newline behind it, an array of such objects, or each line as it is and a newline.",
		},
		{
			Name: "compression", Default: post.None, Values: []string{post.None, post.Gzip, post.Zstd},
			Help: "Compression of a body.",
		},
		{
			Name: "labels",
			Help: "Container labels to add to each object, separated by commas (%2C in a URI), or * for all of them.",
		},
		{
			Name: "query", Secret: true,
			Help: "Query of the URL, escaped, such as _msg_field%3Dmessage.",
		},
	}
}

func newAdapter(c adapters.Config) (adapters.Adapter, error) {
	query := c.Options["query"]
	if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
		return nil, fmt.Errorf("bad value of option %q: it holds a character that has to be escaped", "query")
	}
	config := post.Config{Adapter: c, Path: "/", Query: query, Compression: c.Options["compression"]}
	switch c.Options["format"] {
	case "text":
		config.Encoder, config.ContentType = text{}, "text/plain; charset=utf-8"
	case "json":
		config.Encoder, config.ContentType = newObjects(c, true), "application/json"
	default:
		config.Encoder, config.ContentType = newObjects(c, false), "application/x-ndjson"
	}
	return post.New(config)
}
