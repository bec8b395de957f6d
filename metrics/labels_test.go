package metrics

import (
	"fmt"
	"testing"
)

func TestLabels(t *testing.T) {
	f := func(options Options, want map[string]string) {
		t.Helper()
		got := newLabelRules(options).own(web(1))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("labels %v, want %v", got, want)
		}
	}
	all := map[string]string{
		"container_label_com_docker_compose_project": "shop", "container_label_com_docker_compose_service": "web",
		// "a-b" comes before "a.b".
		"container_label_a_b": "dash", "container_label_bad": "\uFFFD",
	}
	f(Options{}, all)
	f(Options{LabelWhitelist: []string{"a.b"}}, all)
	f(Options{OmitContainerLabels: true}, nil)
	f(Options{OmitContainerLabels: true, LabelWhitelist: []string{" a.b", "none"}}, map[string]string{"container_label_a_b": "dot"})
	f(Options{OmitContainerLabels: true, EnvWhitelist: []string{"", "APP_E", "NONE"}}, map[string]string{"container_env_app_env": "prod"})
	f(Options{OmitContainerLabels: true, EnvWhitelist: []string{"APP"}},
		map[string]string{"container_env_app_env": "prod", "container_env_app_secret": "x"})
}

// Every series carries the labels of all containers, as some dashboards join
// families on them.
func TestLabelsAreTheUnion(t *testing.T) {
	families := gather(t, newContainers(t, Options{Containers: always(web(5733), plain(5801)), Root: fixture("v1-cgroupfs")}))
	for _, name := range []string{"", "web", "db"} {
		labels := labelsOf(t, families["container_memory_rss"], name)
		want := map[string]string{"": "", "web": "", "db": "2"}[name]
		if value, ok := labels["container_label_restartcount"]; !ok || value != want {
			t.Errorf("container %q has restartcount %q, %v, want %q", name, value, ok, want)
		}
	}
}

// An interface may have a name that is not text; it must not spoil the scrape.
func TestInterfaceLabel(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := interfaceLabel(name); got != want {
			t.Errorf("interfaceLabel(%q) = %q, want %q", name, got, want)
		}
	}
	f("eth0", "eth0")
	f("β0", "β0")
	f("e\xff", `e\xff`)
}
