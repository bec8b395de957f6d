package metrics

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"tallyman/collector/record"
)

// restartCountKey is the container label that cAdvisor adds to a container that
// the engine has restarted.
const restartCountKey = "restartcount"

// labelRules says which of a container's labels and environment become labels of
// its series.
type labelRules struct {
	// omit leaves out all container labels but those in only.
	omit bool
	only map[string]bool
	// envPrefixes are what the names of variables that are shown begin with.
	envPrefixes []string
}

// newLabelRules takes the rules from the options.
func newLabelRules(options Options) labelRules {
	rules := labelRules{omit: options.OmitContainerLabels, only: make(map[string]bool)}
	for _, key := range options.LabelWhitelist {
		rules.only[strings.TrimSpace(key)] = true
	}
	for _, prefix := range options.EnvWhitelist {
		if prefix = strings.TrimSpace(prefix); prefix != "" {
			rules.envPrefixes = append(rules.envPrefixes, prefix)
		}
	}
	return rules
}

// own returns the labels that a container itself brings, by their sanitised
// names. When several keys become one name, the first in the order of the keys
// is taken, so that it is the same one in every scrape.
func (r labelRules) own(container *record.Container) map[string]string {
	labels := make(map[string]string)
	put := func(name, value string) {
		name = sanitise(name)
		if _, taken := labels[name]; !taken {
			labels[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
	keep := func(key string) bool { return !r.omit || r.only[key] }
	for _, key := range slices.Sorted(maps.Keys(container.Labels)) {
		if keep(key) {
			put("container_label_"+key, container.Labels[key])
		}
	}
	if container.RestartCount > 0 && keep(restartCountKey) {
		put("container_label_"+restartCountKey, strconv.Itoa(container.RestartCount))
	}
	for _, variable := range slices.Sorted(slices.Values(container.Env)) {
		key, value, _ := strings.Cut(variable, "=")
		if r.showsEnv(key) {
			put("container_env_"+strings.ToLower(key), value)
		}
	}
	return labels
}

// showsEnv reports whether a variable may be shown.
func (r labelRules) showsEnv(key string) bool {
	return slices.ContainsFunc(r.envPrefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// sanitise replaces every character that a label's name may not have.
func sanitise(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, name)
}

// containerBlock renders the labels that all series of a container carry, sorted
// by name. The names in union are those that any container has: cAdvisor shows
// each of them on every series, empty where the container does not have it.
func containerBlock(id, name, image string, own map[string]string, union []string) *block {
	b := new(block)
	for _, label := range union {
		// All that containers bring begins with "container_", before all others.
		b.text = appendLabel(b.text, label, own[label])
	}
	b.appendLabel("id", strings.ToValidUTF8(id, "\uFFFD"))
	b.appendLabel("image", strings.ToValidUTF8(image, "\uFFFD"))
	b.appendLabel("name", strings.ToValidUTF8(name, "\uFFFD"))
	return b
}
