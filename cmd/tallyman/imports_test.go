package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is this module's path, and moduleRoot where it lies from here.
const (
	module     = "tallyman"
	moduleRoot = "../.."
)

// importRule says what the packages of a pattern may import besides the standard
// library. Patterns are those of path.Match, without the module's path; "..."
// at the end of one takes in what lies below.
type importRule struct {
	packages string
	// inside are this module's packages.
	inside []string
	// outside are the beginnings of other modules' packages, "*" for any.
	outside []string
	// tests are this module's packages that the test files may import as well.
	tests []string
}

// importRules are the arrows of DESIGN.md. The first rule that fits a package
// holds.
var importRules = []importRule{
	{packages: "cmd/tallyman", inside: []string{"cmd/agent", "adapters/all"}},
	{
		packages: "cmd/agent", inside: []string{
			"collector/...", "routes", "adapters", "adapters/httpstream", "metrics", "metrics/recent", "cmd/tallyman/page", "cmd/agent/*",
		},
		outside: []string{"*"}, tests: []string{"adapters/all"},
	},
	{
		packages: "cmd/agent/api", inside: []string{"collector/...", "routes", "adapters/textenc", "metrics/recent"},
		outside: []string{"github.com/docker/go-units"},
	},
	{
		packages: "cmd/agent/cli", inside: []string{"cmd/agent/api", "collector/...", "routes", "metrics/recent"},
		outside: []string{"github.com/docker/go-units", "github.com/spf13/cobra", "golang.org/x/term"},
	},
	{packages: "cmd/tallyman/page"},
	{packages: "cmd/tallybench", inside: []string{"cmd/internal/..."}, outside: []string{"golang.org/x/sys/unix"}, tests: []string{"collector/engine"}},
	{packages: "cmd/tallypack", outside: []string{"github.com/spf13/pflag"}},
	{packages: "cmd/internal/oracle/genimage", inside: []string{"cmd/testkit"}},
	{packages: "cmd/internal/..."},
	{packages: "deploy"},
	{packages: "cmd/testkit"},

	{packages: "collector", inside: []string{"collector/record", "collector/engine"}},
	{packages: "collector/record"},
	{packages: "collector/record/level"},
	{packages: "collector/durable"},
	{packages: "collector/nowait", outside: []string{"golang.org/x/sys"}},
	{
		packages: "collector/engine", inside: []string{"collector/record"},
		outside: []string{"github.com/docker", "github.com/moby", "github.com/containerd/errdefs", "github.com/klauspost/compress/flate"},
	},
	{
		packages: "collector/jsonfile", inside: []string{"collector", "collector/durable", "collector/nowait", "collector/record"},
		outside: []string{"github.com/prometheus/client_golang/prometheus", "golang.org/x/sys"},
	},
	{
		packages: "collector/spool", inside: []string{"collector", "collector/record", "collector/engine"},
		outside: []string{"github.com/prometheus/client_golang/prometheus", "golang.org/x/sys"},
	},
	{
		packages: "collector/apilog", inside: []string{"collector", "collector/record", "collector/engine", "collector/spool"},
		outside: []string{"github.com/prometheus/client_golang/prometheus", "golang.org/x/sys"},
	},
	{packages: "collector/history", inside: []string{"collector/record", "collector/record/level", "collector/jsonfile"}},
	{packages: "collector/checkpoint", inside: []string{"collector/durable", "collector/record"}, outside: []string{"golang.org/x/sys"}},

	{
		packages: "routes", inside: []string{"collector", "collector/record", "collector/record/level", "adapters", "routes/*"},
		outside: []string{"github.com/prometheus/client_golang/prometheus"}, tests: []string{"adapters/*", "collector/*"},
	},

	{packages: "routes/lines"},
	{packages: "routes/multiline", inside: []string{"routes/lines"}},

	{packages: "adapters", inside: []string{"collector/record"}},
	{packages: "adapters/all", inside: []string{"adapters", "adapters/*"}},
	{packages: "adapters/adaptertest", inside: []string{"adapters", "collector/record"}, outside: []string{"github.com/klauspost/compress", "go.uber.org/goleak", "golang.org/x/sys"}},
	{packages: "adapters/transport", inside: []string{"collector/nowait"}, outside: []string{"golang.org/x/sys"}, tests: []string{"adapters"}},
	{packages: "adapters/textenc"},
	{
		packages: "adapters/transport/post", inside: []string{"adapters", "adapters/transport", "adapters/transport/wire", "collector/record"},
		outside: []string{"github.com/klauspost/compress"},
	},
	{packages: "adapters/transport/wire", inside: []string{"adapters", "adapters/transport", "collector/record"}},
	{packages: "adapters/template", inside: []string{"adapters", "collector/record"}},
	{packages: "adapters/syslog/relp", inside: []string{"adapters", "adapters/transport"}},
	{
		packages: "adapters/*",
		inside: []string{
			"adapters", "adapters/template", "adapters/textenc", "adapters/transport", "adapters/transport/wire",
			"adapters/transport/post", "adapters/syslog/relp",
			"collector/record", "collector/record/level",
		},
		outside: []string{"*"},
	},

	{
		packages: "metrics", inside: []string{"collector/record", "metrics/cgroup"},
		outside: []string{"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/common/expfmt", "github.com/klauspost/compress/gzip", "golang.org/x/sys"},
	},
	{packages: "metrics/recent", inside: []string{"collector/record", "metrics/cgroup"}},
	{packages: "metrics/cgroup", outside: []string{"golang.org/x/sys"}},
}

// forTests are the packages that any test file may import.
var forTests = []string{"adapters/adaptertest", "cmd/internal/...", "cmd/testkit"}

// fits reports whether a pattern takes in a package.
func fits(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(name+"/", prefix)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func ruleOf(name string) *importRule {
	for i := range importRules {
		if fits(importRules[i].packages, name) {
			return &importRules[i]
		}
	}
	return nil
}

// allows reports whether a file of the package name may import what.
func (r *importRule) allows(name, what string, test bool) bool {
	if what == module || strings.HasPrefix(what, module+"/") {
		inside := strings.TrimPrefix(strings.TrimPrefix(what, module), "/")
		allowed := r.inside
		if test {
			allowed = slices.Concat(allowed, r.tests, forTests, []string{name})
		}
		return slices.ContainsFunc(allowed, func(pattern string) bool { return fits(pattern, inside) })
	}
	first, _, _ := strings.Cut(what, "/")
	if test || !strings.Contains(first, ".") {
		// The standard library has no dot in its first word. Tests may use any
		// module.
		return true
	}
	return slices.ContainsFunc(r.outside, func(prefix string) bool {
		return prefix == "*" || what == prefix || strings.HasPrefix(what, prefix+"/")
	})
}

// sourceFile is a Go file of this module.
type sourceFile struct {
	path string // from the module's root, with slashes
	test bool
	ast  *ast.File
}

func (f *sourceFile) folder() string { return path.Dir(f.path) }

// parseModule parses every Go file of this module.
func parseModule(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if base == "testdata" || name != moduleRoot && strings.HasPrefix(base, ".") || name == filepath.Join(moduleRoot, "bin") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != moduleRoot {
				return filepath.SkipDir // A module of its own.
			}
			return nil
		}
		if filepath.Ext(base) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(moduleRoot, name)
		if err != nil {
			return err
		}
		files = append(files, sourceFile{
			path: filepath.ToSlash(relative), test: strings.HasSuffix(base, "_test.go"), ast: parsed,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(moduleRoot, "go.mod")); err != nil || !strings.HasPrefix(string(content), "module "+module+"\n") {
		t.Fatalf("the module's root is not %q: %v", moduleRoot, err)
	}
	return files
}

func TestImportsFollowTheDesign(t *testing.T) {
	unknown := make(map[string]bool)
	for _, f := range parseModule(t) {
		rule := ruleOf(f.folder())
		if rule == nil {
			unknown[f.folder()] = true
			continue
		}
		for _, spec := range f.ast.Imports {
			what := strings.Trim(spec.Path.Value, `"`)
			if !rule.allows(f.folder(), what, f.test) {
				t.Errorf("%s imports %q, which the rule of %q does not allow", f.path, what, rule.packages)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		t.Errorf("nothing says what the package %q may import: add it to importRules here and to the packages in DESIGN.md", name)
	}
}

// TestImportsLeaveTheEnvironmentToCommands finds packages below the commands
// that read what should come to them in a struct.
func TestImportsLeaveTheEnvironmentToCommands(t *testing.T) {
	flagPackages := []string{"flag", "github.com/spf13/pflag"}
	environment := []string{"Getenv", "LookupEnv", "Environ", "Args"}
	for _, f := range parseModule(t) {
		forTest := slices.ContainsFunc(forTests, func(packages string) bool { return fits(packages, f.folder()) })
		if f.test || forTest || fits("cmd/...", f.folder()) {
			continue
		}
		for _, spec := range f.ast.Imports {
			if what := strings.Trim(spec.Path.Value, `"`); slices.Contains(flagPackages, what) {
				t.Errorf("%s imports %q: flags are for the commands", f.path, what)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains(environment, selector.Sel.Name) {
				t.Errorf("%s uses os.%s: the environment is for the commands", f.path, selector.Sel.Name)
			}
			return true
		})
	}
}

func TestImportsRules(t *testing.T) {
	for _, c := range []struct {
		name, what string
		test, want bool
	}{
		{"collector", "tallyman/routes", false, false},
		{"collector", "tallyman/collector/engine", false, true},
		{"collector/engine", "github.com/docker/docker/client", false, true},
		{"collector/jsonfile", "github.com/docker/docker/client", false, false},
		{"collector/record", "golang.org/x/sys/unix", false, false},
		{"collector/record", "net/http", false, true},
		{"routes", "tallyman/adapters", false, true},
		{"routes", "tallyman/adapters/syslog", false, false},
		{"routes", "tallyman/adapters/syslog", true, true},
		{"adapters/syslog", "tallyman/adapters/adaptertest", false, false},
		{"adapters/syslog", "tallyman/adapters/adaptertest", true, true},
		{"adapters/syslog", "tallyman/adapters/raw", false, false},
		{"adapters/all", "tallyman/adapters/raw", false, true},
		{"adapters/all", "tallyman/adapters/transport/wire", false, false},
		{"cmd/internal/oracle", "tallyman/collector/record", false, false},
		{"cmd/tallyman", "tallyman/routes", false, false},
		{"cmd/agent", "tallyman/routes", false, true},
	} {
		rule := ruleOf(c.name)
		if rule == nil {
			t.Errorf("the package %q has no rule", c.name)
			continue
		}
		if got := rule.allows(c.name, c.what, c.test); got != c.want {
			t.Errorf("%q may import %q: %v, want %v", c.name, c.what, got, c.want)
		}
	}
	if rule := ruleOf("collector/unheard"); rule != nil {
		t.Errorf("the rule of an unknown package is that of %q", rule.packages)
	}
}
