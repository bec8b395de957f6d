package gelf

import (
	"fmt"
	"strings"
	"text/template"
	"time"

	"tallyman/collector/record"
)

// tagData is what the template of the option tag sees as its dot. Its methods
// have the names and meanings of Docker's "tag" log option,
// https://docs.docker.com/engine/logging/log_tags/.
type tagData struct {
	container *record.Container
	hostname  string
}

// ID returns the first 12 digits of the container's ID.
func (d tagData) ID() string { return d.container.ShortID() }

// FullID returns the container's ID.
func (d tagData) FullID() string { return d.container.ID }

// Name returns the container's name without a slash.
func (d tagData) Name() string { return d.container.Name }

// ImageID returns the first 12 digits of the image's ID.
func (d tagData) ImageID() string {
	return cutString(strings.TrimPrefix(d.container.ImageID, "sha256:"), 12)
}

// ImageFullID returns the image's ID with the name of its hash function.
func (d tagData) ImageFullID() string { return d.container.ImageID }

// ImageName returns the image as it was named when the container was made.
func (d tagData) ImageName() string { return d.container.Image }

// Command returns the path and arguments of the container's process.
func (d tagData) Command() string { return strings.Join(d.container.Command, " ") }

// Hostname returns the name of the agent's host.
func (d tagData) Hostname() string { return d.hostname }

// DaemonName returns the name of the engine's program.
func (d tagData) DaemonName() string { return "docker" }

// ContainerLabels returns the container's labels.
func (d tagData) ContainerLabels() map[string]string { return d.container.Labels }

// ContainerEnv returns the container's environment, as KEY=value.
func (d tagData) ContainerEnv() []string { return d.container.Env }

// ContainerCreated returns when the container was made.
func (d tagData) ContainerCreated() time.Time { return d.container.Created }

// parseTag parses a template and tries it on a container.
func parseTag(text string) (*template.Template, error) {
	t, err := template.New("tag").Funcs(template.FuncMap{
		"join":     strings.Join,
		"json":     compact,
		"lower":    strings.ToLower,
		"pad":      pad,
		"split":    strings.Split,
		"truncate": truncate,
		"upper":    strings.ToUpper,
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	sample := &record.Container{
		ID: strings.Repeat("0", 64), Name: "name", Image: "image",
		ImageID: "sha256:" + strings.Repeat("0", 64), Command: []string{"command"},
	}
	if _, err := runTag(t, tagData{container: sample, hostname: "host"}); err != nil {
		return nil, err
	}
	return t, nil
}

func runTag(t *template.Template, d tagData) (string, error) {
	var text strings.Builder
	if err := t.Execute(&text, d); err != nil {
		return "", fmt.Errorf("running the tag's template: %w", err)
	}
	return text.String(), nil
}

// The template functions, as Docker has them.

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

func truncate(s string, length int) string { return cutString(s, max(length, 0)) }
