package gelf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/post"
)

// The longest messages that Graylog's inputs take unless told otherwise, in
// bytes: "decompress_size_limit" of UDP, "max_message_size" of TCP and
// "max_chunk_size" of HTTP.
const (
	mostUDP  = 8 << 20
	mostTCP  = 2 << 20
	mostHTTP = 64 << 10
)

// badValue returns the error of a malformed option.
func badValue(c *adapters.Config, option, allowed string) error {
	return fmt.Errorf("bad value %q of option %q; it is %s", c.Options[option], option, allowed)
}

// number reads an option that is a number from least to most.
func number(c *adapters.Config, option string, least, most int) (int, error) {
	n, err := strconv.Atoi(c.Options[option])
	if err != nil || n < least || n > most {
		return 0, badValue(c, option, fmt.Sprintf("a number from %d to %d", least, most))
	}
	return n, nil
}

// newEncoder reads the options of messages.
func newEncoder(c *adapters.Config) (*encoder, error) {
	e := &encoder{
		detect:    c.Options["level"] == "detect",
		objects:   c.Options["json"] == "true",
		keepBlank: c.Options["blank"] == "send",
		reject:    c.Options["too_long"] == "reject",
		count:     c.Count,
	}
	switch c.Transport {
	case "tcp", "tls":
		e.end = "\x00"
	case "http", "https":
		e.end = "\n"
	}
	var err error
	if e.most, err = maxBytes(c); err != nil {
		return nil, err
	}
	m := &e.maker
	m.logger = c.Logger
	if m.hostname = c.Options["hostname"]; m.hostname == "" {
		m.hostname = c.Hostname
	}
	if blank([]byte(m.hostname)) {
		m.hostname = "unknown" // Graylog takes no message without a host.
	}
	if m.tag, err = parseTag(c.Options["tag"]); err != nil {
		return nil, fmt.Errorf("bad value %q of option %q: %w", c.Options["tag"], "tag", err)
	}
	m.labels, m.env = words(c.Options["labels"]), words(c.Options["env"])
	if m.labelsLike, err = pattern(c, "labels-regex"); err != nil {
		return nil, err
	}
	if m.envLike, err = pattern(c, "env-regex"); err != nil {
		return nil, err
	}
	if m.static, err = staticFields(c.Options, "field."); err != nil {
		return nil, err
	}
	return e, nil
}

// maxBytes returns the longest message.
func maxBytes(c *adapters.Config) (int, error) {
	if c.Options["max_bytes"] != "" {
		// Less would hardly hold the container's fields.
		return number(c, "max_bytes", 1<<10, mostUDP)
	}
	switch c.Transport {
	case "udp":
		return mostUDP, nil
	case "http", "https":
		return mostHTTP, nil
	}
	return mostTCP, nil
}

// words splits a list at its commas.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// pattern reads an option that is a regular expression; nil when it is not set.
func pattern(c *adapters.Config, option string) (*regexp.Regexp, error) {
	if c.Options[option] == "" {
		return nil, nil //nolint:nilnil // No pattern is no error.
	}
	like, err := regexp.Compile(c.Options[option])
	if err != nil {
		return nil, badValue(c, option, "a regular expression: "+err.Error())
	}
	return like, nil
}

// readCompression reads the options of compression: one of the package post's
// names, or auto.
func readCompression(c *adapters.Config) (format string, level int, err error) {
	if level, err = number(c, "compression_level", -1, 9); err != nil {
		return "", 0, err
	}
	format = c.Options["compression"]
	switch {
	case level == 0:
		format = post.None
	case format == "zlib":
		format = post.Deflate
	}
	return format, level, nil
}

// newDatagram makes the adapter for UDP.
func newDatagram(c *adapters.Config, e *encoder, limits transport.Limits) (adapters.Adapter, error) {
	a := &datagramAdapter{encoder: e}
	var err error
	if a.chunk, err = number(c, "chunk_size", 512, transport.MaxUDPPayload); err != nil {
		return nil, err
	}
	format, level, err := readCompression(c)
	if err != nil {
		return nil, err
	}
	if a.always = format != "auto"; !a.always {
		format = post.Gzip
	}
	if a.compressor, err = post.NewCompressor(format, level); err != nil {
		return nil, err
	}
	if a.compressor == nil {
		e.most = min(e.most, maxChunks*(a.chunk-chunkHeader))
	}
	a.datagram, err = transport.NewDatagram(transport.Config{
		Address: c.Address, Limits: limits.WithDefaults(),
		Partial: adapters.Partial, Closed: adapters.ErrClosed,
	})
	return a, err
}
