package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"
)

// The parts of a CycloneDX 1.5 document that are written.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     bomMetadata  `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	bomMetadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type    string `json:"type"`
		Ref     string `json:"bom-ref"`
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl,omitempty"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// writeSBOM writes what a Go binary is made of, as the binary itself tells: what
// was linked, not what go.mod asks for.
func writeSBOM(w io.Writer, binary, version string, created time.Time) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("reading what %q is built of: %w", binary, err)
	}
	main := component{Type: "application", Ref: "tallyman", Name: "tallyman", Version: version}
	all := []component{module("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, m := range info.Deps {
		all = append(all, moduleOf(m))
	}
	doc := bom{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Components: all,
		Metadata: bomMetadata{Timestamp: created.Format(time.RFC3339), Component: main},
	}
	own := dependency{Ref: main.Ref}
	for _, c := range all {
		own.DependsOn = append(own.DependsOn, c.Ref)
	}
	doc.Dependencies = []dependency{own}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(doc)
}

// moduleOf returns the component of a module, or of what replaces it.
func moduleOf(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	return module(m.Path, m.Version)
}

// module returns a Go module with its package URL, of the type golang.
func module(path, version string) component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Type: "library", Ref: purl, Name: path, Version: version, PURL: purl}
}
