package agent

import (
	"slices"
	"strings"
	"testing"

	"tallyman/metrics"
)

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

// A command line that was written for cAdvisor means the same here.
func TestCadvisorFlags(t *testing.T) {
	o, err := parseOptions(testBuild(), []string{
		"-docker_only", "--housekeeping_interval=30s", "-storage_duration", "1m0s", "--port=8081", "-logtostderr", "-v=4",
		"-store_container_labels=false", "--whitelisted_container_labels=a, b,", "--docker_env_metadata_whitelist=APP_",
		"-disable_metrics=disk,tcp", "--disable_root_cgroup_stats",
		"-storage_driver=influxdb", "-storage_driver_host=influx:8086", "--storage_driver_secure", "--url_base_prefix=/x", "-prometheus_endpoint", "/m", "--http_auth_file=a",
	}, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	m := o.metrics
	disabled, err := metrics.ParseKinds("disk,tcp")
	if err != nil {
		t.Fatal(err)
	}
	if m.kinds != disabled.Without() {
		t.Errorf("kinds %b, want %b", m.kinds, disabled.Without())
	}
	if !m.omitLabels || !slices.Equal(m.onlyLabels, []string{"a", "b"}) || !slices.Equal(m.env, []string{"APP_"}) || !m.omitRoot || !m.host {
		t.Errorf("options %+v", m)
	}
	if !slices.Equal(o.listen, []string{":8081"}) {
		t.Errorf("listens at %q", o.listen)
	}
	want := []string{
		"docker_only", "housekeeping_interval", "http_auth_file", "logtostderr", "prometheus_endpoint",
		"storage_driver", "storage_driver_host", "storage_driver_secure", "storage_duration", "url_base_prefix", "v",
	}
	if !slices.Equal(m.ignored, want) {
		t.Errorf("ignored %q, want %q", m.ignored, want)
	}
}

func TestMetricsFlags(t *testing.T) {
	o, err := parseOptions(testBuild(), nil, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if o.metrics.kinds != metrics.DefaultKinds() || o.metrics.omitLabels || o.metrics.omitRoot || !o.metrics.host || !slices.Equal(o.listen, []string{"127.0.0.1:8000"}) {
		t.Errorf("without flags: %+v", o.metrics)
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"TALLYMAN_ENABLE_METRICS": "cpu,memory", "TALLYMAN_HOST_METRICS": "false"}[name]
		return v, ok
	}
	only, err := metrics.ParseKinds("cpu,memory")
	if err != nil {
		t.Fatal(err)
	}
	if o, err = parseOptions(testBuild(), []string{"--disable-metrics=cpu"}, env); err != nil || o.metrics.kinds != only || o.metrics.host {
		t.Errorf("from the environment: %+v, %v", o.metrics, err)
	}
	f := func(want string, args ...string) {
		t.Helper()
		if _, err := parseOptions(testBuild(), args, noEnv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
	f(`"disks"`, "--disable_metrics=disks")
	f("--enable-metrics", "--enable-metrics=nothing")
	f(`"maybe"`, "--host-metrics=maybe")
	f("-no-such", "-no-such")
}
