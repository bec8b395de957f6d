package httpstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"tallyman/collector/record"
)

// JSONObjects returns the format of Logspout's JSON: an indented object a line,
// with the keys Container, Source, Data and Time, or dropped, the number of lines
// that were left out. Container is the engine's answer about the container
// without its environment, which may hold secrets. Only the last line of an
// object is a closing brace alone.
func JSONObjects() Format { return &jsonObjects{} }

type jsonObjects struct {
	// shown is the container whose JSON is text.
	shown *record.Container
	text  []byte
}

// ContentType is that of JSON; see Format.
func (*jsonObjects) ContentType() string { return "application/json" }

// AppendRecord appends a line; see Format.
func (f *jsonObjects) AppendRecord(dst []byte, c *record.Container, r *record.Record) []byte {
	if f.shown != c {
		f.shown, f.text = c, describe(c)
	}
	dst = append(dst, "{\n  \"Container\": "...)
	dst = append(dst, f.text...)
	dst = append(dst, ",\n  \"Source\": \""...)
	dst = append(dst, r.Stream.String()...)
	dst = append(dst, "\",\n  \"Data\": "...)
	dst = appendString(dst, r.Line, true)
	dst = append(dst, ",\n  \"Time\": \""...)
	dst = time.Unix(0, r.Time).AppendFormat(dst, time.RFC3339Nano)
	return append(dst, "\"\n}\n"...)
}

// AppendLost says that lines were left out; see Format.
func (*jsonObjects) AppendLost(dst []byte, lines int64) []byte {
	return fmt.Appendf(dst, "{\n  \"dropped\": %d\n}\n", lines)
}

// describe returns the indented JSON of what is known of a container but its
// environment.
func describe(c *record.Container) []byte {
	fields := map[string]any{}
	if c.Inspect != nil {
		if text, err := json.Marshal(c.Inspect.Unpack()); err == nil {
			// What is no object leaves the fields empty.
			_ = json.Unmarshal(text, &fields)
		}
	}
	config, _ := fields["Config"].(map[string]any)
	if config == nil {
		config = map[string]any{"Hostname": c.Hostname, "Image": c.Image, "Labels": c.Labels}
	}
	delete(config, "Env")
	if fields == nil {
		fields = map[string]any{}
	}
	fields["Config"] = config
	// The container may have been renamed since the engine was asked.
	fields["Id"], fields["Name"] = c.ID, "/"+c.Name
	text, err := json.MarshalIndent(fields, "  ", "  ")
	if err != nil {
		return []byte("{}")
	}
	return bytes.TrimSpace(text)
}
