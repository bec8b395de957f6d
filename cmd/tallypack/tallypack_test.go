package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func options() imageOptions {
	return imageOptions{
		binary: []byte("program"), certificates: []byte("authorities"), arch: "arm64", version: "1.2.3", commit: "c0ffee",
		tags: []string{"tallyman:latest", "tallyman:1.2.3"}, created: time.Unix(1795260376, 0).UTC(),
	}
}

// readTar returns the files of an archive, folders with a slash at the end.
func readTar(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func decode[T any](t *testing.T, content []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(content, &value); err != nil {
		t.Fatalf("reading %q: %v", content, err)
	}
	return value
}

// TestImage follows an image from both of its indexes to the layer.
func TestImage(t *testing.T) {
	var image bytes.Buffer
	if err := writeImage(&image, options()); err != nil {
		t.Fatal(err)
	}
	files := readTar(t, image.Bytes())
	blob := func(d descriptor) []byte {
		t.Helper()
		content, ok := files[blobName(d)]
		if !ok || digest(content) != d.Digest || len(content) != d.Size {
			t.Fatalf("the blob %s is missing or another", d.Digest)
		}
		return content
	}
	i := decode[index](t, files["index.json"])
	if len(i.Manifests) != 1 || *i.Manifests[0].Platform != (platform{Architecture: "arm64", OS: "linux"}) {
		t.Fatalf("the index is %+v", i)
	}
	m := decode[manifest](t, blob(i.Manifests[0]))
	config := decode[imageConfig](t, blob(m.Config))
	docker := decode[[]dockerManifest](t, files["manifest.json"])
	if len(docker) != 1 || docker[0].Config != blobName(m.Config) || !slices.Equal(docker[0].Layers, []string{blobName(m.Layers[0])}) ||
		!slices.Equal(docker[0].RepoTags, options().tags) {
		t.Errorf("manifest.json is %+v", docker)
	}
	if label := config.Config.Labels["org.opencontainers.image.version"]; label != "1.2.3" || config.Architecture != "arm64" {
		t.Errorf("the version is %q, the processor %q", label, config.Architecture)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob(m.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.RootFS.DiffIDs, []string{digest(layer)}) {
		t.Errorf("the layer is %s, the configuration names %s", digest(layer), config.RootFS.DiffIDs)
	}
	var regular []string
	for name := range readTar(t, layer) {
		if !strings.HasSuffix(name, "/") {
			regular = append(regular, name)
		}
	}
	slices.Sort(regular)
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "tallyman"}; !slices.Equal(regular, want) {
		t.Errorf("the image holds %q, want %q", regular, want)
	}
}

// TestImageIsReproducible: equal input gives equal bytes, and each input counts.
func TestImageIsReproducible(t *testing.T) {
	write := func(change func(*imageOptions)) string {
		t.Helper()
		o := options()
		change(&o)
		var image bytes.Buffer
		if err := writeImage(&image, o); err != nil {
			t.Fatal(err)
		}
		return digest(image.Bytes())
	}
	first := write(func(*imageOptions) {})
	if again := write(func(*imageOptions) {}); again != first {
		t.Errorf("the second image is another")
	}
	for what, change := range map[string]func(*imageOptions){
		"program":     func(o *imageOptions) { o.binary = []byte("other") },
		"authorities": func(o *imageOptions) { o.certificates = []byte("other") },
		"processor":   func(o *imageOptions) { o.arch = "amd64" },
		"commit":      func(o *imageOptions) { o.commit = "other" },
		"time":        func(o *imageOptions) { o.created = o.created.Add(time.Second) },
	} {
		if write(change) == first {
			t.Errorf("another %s makes the same image", what)
		}
	}
}

// TestSBOM: the bill of materials of a real program names what was linked, the
// same as go version does.
func TestSBOM(t *testing.T) {
	dir := t.TempDir()
	binary, out := filepath.Join(dir, "tallypack"), filepath.Join(dir, "sbom.json")
	if text, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, text)
	}
	if err := run([]string{"sbom", "--binary", binary, "--version", "1.2.3", "--out", out}, io.Discard); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	doc := decode[bom](t, content)
	if doc.Format != "CycloneDX" || doc.Metadata.Component.Version != "1.2.3" {
		t.Errorf("the document is %+v", doc.Metadata)
	}
	listed, err := exec.Command("go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std"}
	for line := range strings.Lines(string(listed)) {
		if fields := strings.Fields(line); fields[0] == "dep" {
			want = append(want, fields[1])
		}
	}
	var got []string
	for _, c := range doc.Components {
		got = append(got, c.Name)
		if c.PURL != "pkg:golang/"+c.Name+"@"+strings.ReplaceAll(c.Version, "+", "%2B") {
			t.Errorf("the package URL of %s is %q", c.Name, c.PURL)
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(doc.Dependencies[0].DependsOn[1:2], []string{doc.Components[1].Ref}) {
		t.Errorf("the components are %q, want %q", got, want)
	}
}

// TestUsage: what is missing or unknown is an error, and leaves no file.
func TestUsage(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f := func(want string, args ...string) {
		t.Helper()
		err := run(append(args, "--out", out), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q says %v, want %q", args, err, want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q leaves a file", args)
		}
	}
	f("want one command", "image")
	f("want one command", "--binary", "x")
	f("unknown command", "cake", "--binary", "x")
	f("unknown flag", "image", "--colour", "red")
	f("no such file", "image", "--binary", filepath.Join(t.TempDir(), "none"))
	f("reading what", "sbom", "--binary", "image.go")
	var help bytes.Buffer
	if err := run([]string{"--help"}, &help); err != nil || !strings.Contains(help.String(), "--created") {
		t.Errorf("--help says %q, %v", help.String(), err)
	}
}
