package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Media types of the OCI image specification.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// strictGroup is the group that shares the state folder with root: that of the
// strict profile's user.
const strictGroup = 65532

// imageOptions say what is in an image.
type imageOptions struct {
	binary, certificates  []byte
	arch, version, commit string
	tags                  []string
	// created is the time of every file and of the image, so that the bytes do
	// not depend on when it is made.
	created time.Time
}

// The parts of an image, as the OCI image specification, version 1.1, has them.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Platform    *platform         `json:"platform,omitempty"`
	}
	platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	index struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
	}
	imageConfig struct {
		platform
		Created string      `json:"created"`
		Config  runConfig   `json:"config"`
		RootFS  rootFS      `json:"rootfs"`
		History []historyOf `json:"history"`
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	historyOf struct {
		Created   string `json:"created"`
		CreatedBy string `json:"created_by"`
	}
	// runConfig is how a container of the image runs. Healthcheck is Docker's
	// addition to the specification.
	runConfig struct {
		Env          []string
		Entrypoint   []string
		WorkingDir   string
		ExposedPorts map[string]struct{}
		Volumes      map[string]struct{}
		Labels       map[string]string
		Healthcheck  healthcheck
	}
	healthcheck struct {
		Test                           []string
		Interval, Timeout, StartPeriod time.Duration
	}
	// dockerManifest is an item of manifest.json, which docker load reads.
	dockerManifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
)

// runConfigOf returns how the agent runs in a container.
func runConfigOf(o imageOptions) runConfig {
	const state = "/var/lib/tallyman"
	return runConfig{
		// Inside a container's own network every address must be listened on,
		// else the port cannot be published.
		Env:          []string{"HTTP_BIND_ADDRESS=0.0.0.0"},
		Entrypoint:   []string{"/tallyman"},
		WorkingDir:   "/",
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
		Volumes:      map[string]struct{}{state: {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "tallyman",
			"org.opencontainers.image.description": "Delivers the logs of a host's containers and exposes their resource use to Prometheus.",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     o.version,
			"org.opencontainers.image.revision":    o.commit,
			"org.opencontainers.image.created":     o.created.Format(time.RFC3339),
		},
		Healthcheck: healthcheck{
			Test:     []string{"CMD", "/tallyman", "health"},
			Interval: 30 * time.Second, Timeout: 6 * time.Second, StartPeriod: 10 * time.Second,
		},
	}
}

// writeImage writes an image of the binary and the certificates, and nothing
// else. The archive is both what docker load reads and an OCI image layout.
func writeImage(w io.Writer, o imageOptions) error {
	layer, err := layerOf(o)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(layer); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	created := o.created.Format(time.RFC3339)
	a := &archive{tar: tar.NewWriter(w), created: o.created}
	target := platform{Architecture: o.arch, OS: "linux"}
	layerBlob := a.blob(mediaLayer, packed.Bytes())
	configBlob := a.jsonBlob(mediaConfig, imageConfig{
		platform: target, Created: created, Config: runConfigOf(o),
		RootFS:  rootFS{Type: "layers", DiffIDs: []string{digest(layer)}},
		History: []historyOf{{Created: created, CreatedBy: "tallypack"}},
	})
	manifestBlob := a.jsonBlob(mediaManifest, manifest{
		SchemaVersion: 2, MediaType: mediaManifest, Config: configBlob, Layers: []descriptor{layerBlob},
	})
	manifestBlob.Platform = &target
	if len(o.tags) > 0 {
		manifestBlob.Annotations = map[string]string{"io.containerd.image.name": o.tags[0]}
	}
	a.json("index.json", index{SchemaVersion: 2, Manifests: []descriptor{manifestBlob}})
	a.json("manifest.json", []dockerManifest{{
		Config: blobName(configBlob), RepoTags: o.tags, Layers: []string{blobName(layerBlob)},
	}})
	a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return a.close()
}

// layerOf returns the only layer: two files and the folders they need. The state
// folder is there so that a new volume takes its owner and mode over: root and
// the strict profile's user can write to it.
func layerOf(o imageOptions) ([]byte, error) {
	var layer bytes.Buffer
	t := tar.NewWriter(&layer)
	for _, e := range []struct {
		name    string
		mode    int64
		group   int
		content []byte
	}{
		{"etc/", 0o755, 0, nil},
		{"etc/ssl/", 0o755, 0, nil},
		{"etc/ssl/certs/", 0o755, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, o.certificates},
		{"tallyman", 0o755, 0, o.binary},
		{"var/", 0o755, 0, nil},
		{"var/lib/", 0o755, 0, nil},
		{"var/lib/tallyman/", 0o770, strictGroup, nil},
	} {
		header := &tar.Header{
			Name: e.name, Mode: e.mode, Gid: e.group, Size: int64(len(e.content)),
			ModTime: o.created, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg,
		}
		if e.content == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %q: %w", e.name, err)
		}
		if _, err := t.Write(e.content); err != nil {
			return nil, fmt.Errorf("packing %q: %w", e.name, err)
		}
	}
	err := t.Close()
	return layer.Bytes(), err
}

// archive writes the files of an image layout. After the first error it does
// nothing more, and close returns that error.
type archive struct {
	tar     *tar.Writer
	created time.Time
	err     error
}

func (a *archive) file(name string, content []byte) {
	if a.err != nil {
		return
	}
	a.err = a.tar.WriteHeader(&tar.Header{
		Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: a.created, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg,
	})
	if a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

func (a *archive) json(name string, value any) {
	content, err := json.Marshal(value)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, content)
}

// blob writes content under the name that is its digest.
func (a *archive) blob(mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest(content), Size: len(content)}
	a.file(blobName(d), content)
	return d
}

func (a *archive) jsonBlob(mediaType string, value any) descriptor {
	content, err := json.Marshal(value)
	if err != nil && a.err == nil {
		a.err = err
	}
	return a.blob(mediaType, content)
}

func (a *archive) close() error {
	if a.err != nil {
		return a.err
	}
	return a.tar.Close()
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blobName returns the path of a blob in the layout.
func blobName(d descriptor) string { return "blobs/sha256/" + d.Digest[len("sha256:"):] }
