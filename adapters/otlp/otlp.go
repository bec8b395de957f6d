// Package otlp sends lines as OpenTelemetry log records, by OTLP over HTTP with
// protobuf bodies.
package otlp

import (
	"slices"

	"tallyman/adapters"
	"tallyman/adapters/transport/post"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "otlp",
		Summary:    "Sends lines as OpenTelemetry log records, by OTLP over HTTP.",
		Transports: post.Transports(),
		Target: func(string) adapters.Target {
			return adapters.Target{Port: "4318", Path: true, User: true}
		},
		Options: slices.Concat(options(), post.Options()),
		New:     newAdapter,
	}
}

// The values of the option severity.
const (
	bySearch = "detect"
	byStream = "stream"
	never    = "none"
)

func options() []adapters.Option {
	return []adapters.Option{
		{
			Name: "severity", Default: bySearch, Values: []string{bySearch, byStream, never},
			Help: "Where the severity comes from: the level that the line names, if it names one; the stream, INFO for stdout and ERROR for stderr; or nowhere.",
		},
		{
			Name: "labels",
			Help: "Container labels to make attributes container.label.NAME of the resource, separated by commas (%2C in a URI).",
		},
		{
			Name: "compression", Default: post.None, Values: []string{post.None, post.Gzip},
			Help: "Compression of a body.",
		},
	}
}

func newAdapter(c adapters.Config) (adapters.Adapter, error) {
	return post.New(post.Config{
		Adapter: c, Encoder: newEncoder(c), Grouping: post.ByContainer, Judge: judge, Path: "/v1/logs",
		ContentType: "application/x-protobuf", Compression: c.Options["compression"],
	})
}
