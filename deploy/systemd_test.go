package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unit writes the unit with a program that exists, and returns its path.
func unit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("systemd/tallyman.service")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "tallyman.service")
	binary := build(t, "tallyman/cmd/tallyman")
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), "/usr/bin/tallyman", binary, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestUnit: systemd understands the unit and finds it well guarded.
func TestUnit(t *testing.T) {
	t.Parallel()
	needCommands(t, "systemd-analyze")
	name := unit(t)
	if out := run(t, "systemd-analyze", "verify", "--man=no", name); strings.Contains(out, "tallyman.service") {
		t.Errorf("systemd says of the unit:\n%s", out)
	}
	out := run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", name)
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze says %q", out)
	}
	if exposure, err := strconv.ParseFloat(m[1], 64); err != nil || exposure > 2.0 {
		t.Errorf("the exposure is %s, %v, want 2.0 at most", m[1], err)
	}
}

// TestRelease makes a release: the checksums are right, the archive and the
// package hold what they should, and their program runs.
func TestRelease(t *testing.T) {
	needCommands(t, "make", "dpkg-deb", "sha256sum", "tar")
	_, err := os.Stat(caBundle)
	need(t, err == nil, caBundle)
	dir := filepath.Join(t.TempDir(), "release")
	// The tag of a release is the only input that is not in the sources.
	runEnv(t, []string{"VERSION=1.2.3"}, "make", "--directory", "..", "release", "ARCHES=amd64", "RELEASE="+dir)
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("checking the sums: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{
		"SHA256SUMS", "tallyman-1.2.3-image-amd64.tar.gz", "tallyman-1.2.3-linux-amd64.cdx.json",
		"tallyman-1.2.3-linux-amd64.tar.gz", "tallyman_1.2.3_amd64.deb",
	}
	if !slices.Equal(names, want) {
		t.Fatalf("the release is %q, want %q", names, want)
	}
	root := wantInstallable(t, filepath.Join(dir, want[4]))
	for name, mode := range map[string]os.FileMode{
		"usr/bin/tallyman": 0o755, "lib/systemd/system/tallyman.service": 0o644, "etc/default/tallyman": 0o600,
		"usr/share/doc/tallyman/copyright": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s of the package: %v, want the mode %o", name, err, mode)
		}
	}
	control := run(t, "dpkg-deb", "--info", filepath.Join(dir, want[4]))
	for _, part := range []string{" Version: 1.2.3\n", " Architecture: amd64\n", "postinst", "prerm", "conffiles"} {
		if !strings.Contains(control, part) {
			t.Errorf("the package has no %q:\n%s", part, control)
		}
	}
	run(t, "tar", "--extract", "--gzip", "--file", filepath.Join(dir, want[3]), "--directory", root)
	for _, program := range []string{"usr/bin/tallyman", "tallyman-1.2.3/tallyman"} {
		if out := run(t, filepath.Join(root, program), "version"); !strings.HasPrefix(out, "tallyman 1.2.3 linux/amd64") {
			t.Errorf("%s is %q", program, out)
		}
	}
	bom, err := os.ReadFile(filepath.Join(dir, want[2]))
	if err != nil || !strings.Contains(string(bom), `"pkg:golang/github.com/docker/docker@v`) {
		t.Errorf("the bill of materials does not name Docker's library, %v", err)
	}
}

// TestVersion: the version of a release is its tag's; before any tag, and behind
// one, it is told apart.
func TestVersion(t *testing.T) {
	t.Parallel()
	needCommands(t, "git", "make")
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, "git", "clone", "--quiet", "--shared", "..", clone)
	version := func() string {
		t.Helper()
		return strings.TrimSpace(run(t, "env", "-u", "VERSION", "-u", "MAKEFLAGS", "make", "--silent", "--directory", clone, "--no-print-directory", "--eval", "print-version:;@echo $(VERSION)", "print-version"))
	}
	for tag := range strings.FieldsSeq(run(t, "git", "-C", clone, "tag")) {
		run(t, "git", "-C", clone, "tag", "--delete", tag)
	}
	if v := version(); !regexp.MustCompile(`^0\.0\.0-g[0-9a-f]+$`).MatchString(v) {
		t.Errorf("without a tag the version is %q", v)
	}
	run(t, "git", "-C", clone, "tag", "v9.8.7-rc.1")
	if v := version(); v != "9.8.7-rc.1" {
		t.Errorf("at the tag the version is %q", v)
	}
	run(t, "git", "-C", clone, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--allow-empty", "--message", "another")
	if v := version(); !regexp.MustCompile(`^9\.8\.7-rc\.1-1-g[0-9a-f]+$`).MatchString(v) {
		t.Errorf("behind the tag the version is %q", v)
	}
}

// packageSteps installs a package, installs it again over a changed file of
// settings, removes it and purges it, with dpkg, in a folder of its own. What the
// package's scripts ask of systemd goes to a file. They believe that it runs.
const packageSteps = `
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
step() {
	echo "$1:" >>"$CALLS"
	shift
	dpkg --root="$ROOT" --force-script-chrootless --no-debsig --log=/dev/null "$@"
}
step install --install "$DEB"
echo ROUTE_URIS=tcp://mine:1 >"$ROOT/etc/default/tallyman"
cp -a "$ROOT" "$ROOT.installed"
step upgrade --install "$DEB"
grep -q mine "$ROOT/etc/default/tallyman"
step remove --remove tallyman
test ! -e "$ROOT/usr/bin/tallyman"
grep -q mine "$ROOT/etc/default/tallyman"
step purge --purge tallyman
test ! -e "$ROOT/etc/default/tallyman"
`

// wantInstallable does the steps with a package, and returns a folder where it
// is installed.
func wantInstallable(t *testing.T, deb string) string {
	t.Helper()
	needCommands(t, "dpkg", "unshare")
	need(t, os.Geteuid() == 0, "the rights of root")
	dir := t.TempDir()
	root, calls := filepath.Join(dir, "root"), filepath.Join(dir, "calls")
	for name, content := range map[string]string{
		"root/var/lib/dpkg/status": "", "root/var/lib/dpkg/info/.keep": "", "root/var/lib/dpkg/updates/.keep": "",
		"bin/systemctl": "#!/bin/sh\necho \"$@\" >>\"$CALLS\"\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, keep := range []string{"info", "updates"} {
		if err := os.Remove(filepath.Join(root, "var/lib/dpkg", keep, ".keep")); err != nil {
			t.Fatal(err)
		}
	}
	runEnv(t, []string{"DEB=" + deb, "ROOT=" + root, "CALLS=" + calls, "PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")},
		"unshare", "--mount", "bash", "-euc", packageSteps)
	called, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	const want = `install:
daemon-reload
enable --now tallyman.service
upgrade:
daemon-reload
try-restart tallyman.service
remove:
disable --now tallyman.service
purge:
`
	if string(called) != want {
		t.Errorf("systemd was asked for\n%swant\n%s", called, want)
	}
	return root + ".installed"
}

// TestPackageScripts: the shell understands the package's scripts.
func TestPackageScripts(t *testing.T) {
	scripts, err := filepath.Glob("systemd/*.sh")
	if err != nil || len(scripts) != 2 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, script := range scripts {
		run(t, "sh", "-n", script)
	}
}
