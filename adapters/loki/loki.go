// Package loki pushes lines to Grafana Loki.
package loki

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"tallyman/adapters"
	"tallyman/adapters/transport/post"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "loki",
		Summary:    "Pushes batches of lines to Grafana Loki.",
		Transports: post.Transports(),
		Target: func(transport string) adapters.Target {
			port := "3100"
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
			Name: "format", Default: "protobuf", Values: []string{"protobuf", "json"},
			Help: "Layout of a body: protobuf compressed by snappy, which is Loki's own, or JSON.",
		},
		{
			Name: "compression", Default: post.None, Values: []string{post.None, post.Gzip},
			Help: "Compression of a JSON body.",
		},
		{
			Name: "labels",
			Help: "Container labels to make labels of the stream, separated by commas (%2C in a URI). Each value makes another stream.",
		},
		{
			Name: "label.*",
			Help: "Label that every stream has, such as label.env=prod.",
		},
		{
			Name: "metadata", Default: "false", Values: []string{"true", "false"},
			Help: "Give each line the container's id and image as structured metadata, which Loki knows from version 2.9 on.",
		},
		{
			Name: "tenant",
			Help: "Tenant, the header X-Scope-OrgID.",
		},
	}
}

func newAdapter(c adapters.Config) (adapters.Adapter, error) {
	l, err := newLabels(c)
	if err != nil {
		return nil, err
	}
	config := post.Config{
		Adapter: c, Grouping: post.ByStream, Judge: judge, Path: "/loki/api/v1/push",
	}
	if tenant := c.Options["tenant"]; tenant != "" {
		if strings.ContainsFunc(tenant, unicode.IsControl) {
			return nil, fmt.Errorf("bad value %q of option %q: it holds a control character", tenant, "tenant")
		}
		config.Header = map[string]string{"X-Scope-OrgID": tenant}
	}
	metadata := c.Options["metadata"] == "true"
	if c.Options["format"] == "json" {
		config.Encoder, config.ContentType = &jsonEncoder{labels: l, metadata: metadata}, "application/json"
		config.Compression = c.Options["compression"]
	} else {
		if c.Options["compression"] != post.None {
			return nil, fmt.Errorf("bad value %q of option %q: a body of protobuf is compressed by snappy; gzip is for format=json",
				c.Options["compression"], "compression")
		}
		config.Encoder, config.ContentType = &protoEncoder{labels: l, metadata: metadata}, "application/x-protobuf"
		config.Compression = post.Snappy
	}
	return post.New(config)
}
