package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tallyman/collector/engine"
	"tallyman/metrics"
)

// metricsOptions say what /metrics shows.
type metricsOptions struct {
	kinds      metrics.Kinds
	rootfs     string
	omitLabels bool
	onlyLabels []string
	env        []string
	omitRoot   bool
	host       bool
	// ignored are flags of cAdvisor that were given and change nothing.
	ignored []string
}

// metricsSettings are the flags about metrics. Their names are cAdvisor's, in
// our spelling; cAdvisor's own is understood too.
func metricsSettings() []setting {
	_, off := metrics.KindNames()
	return []setting{
		{flag: "disable-metrics", env: "TALLYMAN_DISABLE_METRICS", value: strings.Join(off, ","), help: "kinds of metrics to leave out, separated by commas, in place of the default"},
		{flag: "enable-metrics", env: "TALLYMAN_ENABLE_METRICS", help: "the only kinds of metrics to show; replaces --disable-metrics"},
		{flag: "store-container-labels", env: "TALLYMAN_STORE_CONTAINER_LABELS", value: "true", isSwitch: true, help: "show every label of a container as container_label_*"},
		{flag: "whitelisted-container-labels", env: "TALLYMAN_WHITELISTED_CONTAINER_LABELS", help: "labels to show when not every one is"},
		{flag: "env-metadata-whitelist", env: "TALLYMAN_ENV_METADATA_WHITELIST", help: "beginnings of names of variables to show as container_env_*"},
		{flag: "disable-root-cgroup-stats", env: "TALLYMAN_DISABLE_ROOT_CGROUP_STATS", value: "false", isSwitch: true, help: "leave out the series of id=\"/\", the whole machine"},
		{flag: "host-metrics", env: "TALLYMAN_HOST_METRICS", value: "true", isSwitch: true, help: "show node_*, as a small node_exporter would"},
		{flag: "rootfs", env: "TALLYMAN_ROOTFS", help: "where the host's root folder is mounted (default: /rootfs when it holds /proc, else /)"},
	}
}

// cadvisorFlags are flags of cAdvisor that there is nothing to do for. They are
// accepted, so that a command line that was written for it works; those that
// end in "!" need no value.
func cadvisorFlags() []string {
	return []string{
		"alsologtostderr!", "allow_dynamic_housekeeping!", "application_metrics_count_limit", "boot_id_file",
		"collector_cert", "collector_key", "container_hints", "containerd", "containerd-namespace", "containerd_env_metadata_whitelist",
		"disable_metrics_config", "docker", "docker-tls!", "docker-tls-ca", "docker-tls-cert", "docker-tls-key", "docker_only!",
		"docker_root", "enable_load_reader!", "event_storage_age_limit", "event_storage_event_limit",
		"global_housekeeping_interval", "housekeeping_interval", "http_auth_file", "http_auth_realm", "http_digest_file", "http_digest_realm",
		"log_dir", "log_file", "logtostderr!", "machine_id_file", "max_housekeeping_interval",
		"max_procs", "perf_events_config", "podman", "profiling!", "prometheus_endpoint", "raw_cgroup_prefix_whitelist", "referenced_reset_interval",
		"resctrl_interval", "skip_headers!", "stderrthreshold", "storage_driver", "storage_driver_buffer_duration", "storage_driver_db", "storage_driver_es_enable_sniffer!",
		"storage_driver_es_index", "storage_driver_es_type", "storage_driver_host", "storage_driver_influxdb_retention_policy",
		"storage_driver_kafka_broker_list", "storage_driver_kafka_ssl_ca", "storage_driver_kafka_ssl_cert", "storage_driver_kafka_ssl_key",
		"storage_driver_kafka_ssl_verify!", "storage_driver_kafka_topic", "storage_driver_password", "storage_driver_secure!", "storage_driver_table",
		"storage_driver_user", "storage_duration", "update_machine_info_interval", "url_base_prefix", "v", "vmodule",
	}
}

// addCadvisorFlags makes the flags of cAdvisor known, hidden from the help, and
// lets all flags be written with underscores.
func addCadvisorFlags(flags *pflag.FlagSet) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		name = strings.ReplaceAll(name, "_", "-")
		if name == "docker-env-metadata-whitelist" {
			name = "env-metadata-whitelist"
		}
		return pflag.NormalizedName(name)
	})
	for _, name := range cadvisorFlags() {
		name, isSwitch := strings.CutSuffix(name, "!")
		if flags.Lookup(name) != nil {
			continue
		}
		flags.String(name, "", "")
		if isSwitch {
			flags.Lookup(name).NoOptDefVal = "true"
		}
	}
	flags.String("port", "", "")
	flags.String("listen_ip", "", "")
}

// doubleDashes lets flags be written with one dash, as in Go's own package and
// so in cAdvisor's documentation.
func doubleDashes(flags *pflag.FlagSet, args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if arg == "--" {
			break
		}
		if strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && flags.Lookup(name) != nil {
			args[i] = "-" + arg
		}
	}
	return args
}

// cadvisorListen returns the address that cAdvisor's flags name, empty when they
// were not given.
func cadvisorListen(flags *pflag.FlagSet) string {
	if !flags.Changed("port") && !flags.Changed("listen_ip") {
		return ""
	}
	port := flags.Lookup("port").Value.String()
	if port == "" {
		port = "8080"
	}
	return net.JoinHostPort(flags.Lookup("listen_ip").Value.String(), port)
}

// parseMetrics reads the values of the flags about metrics.
func parseMetrics(flags *pflag.FlagSet, values map[string]string) (metricsOptions, error) {
	o := metricsOptions{rootfs: values["rootfs"]}
	var err error
	if list := values["enable-metrics"]; list != "" {
		if o.kinds, err = metrics.ParseKinds(list); err != nil {
			return o, usagef("bad value of --enable-metrics: %w", err)
		}
	} else {
		disabled, err := metrics.ParseKinds(values["disable-metrics"])
		if err != nil {
			return o, usagef("bad value of --disable-metrics: %w", err)
		}
		o.kinds = disabled.Without()
	}
	var storeLabels bool
	for name, to := range map[string]*bool{"store-container-labels": &storeLabels, "disable-root-cgroup-stats": &o.omitRoot, "host-metrics": &o.host} {
		if *to, err = strconv.ParseBool(values[name]); err != nil {
			return o, usagef("bad value %q of --%s; known are true, false", values[name], name)
		}
	}
	o.omitLabels = !storeLabels
	o.onlyLabels = words(values["whitelisted-container-labels"])
	o.env = words(values["env-metadata-whitelist"])
	for _, name := range cadvisorFlags() {
		name = strings.TrimSuffix(name, "!")
		if _, known := values[strings.ReplaceAll(name, "_", "-")]; !known && flags.Changed(name) {
			o.ignored = append(o.ignored, name)
		}
	}
	return o, nil
}

// words splits a list at its commas.
func words(list string) []string {
	var found []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}

// hostRoot returns where the host's files are.
func (o metricsOptions) hostRoot() string {
	const mounted = "/rootfs"
	if o.rootfs == "" && isFolder(mounted+"/proc/1") {
		return mounted
	}
	return o.rootfs
}

// newUsage returns what /metrics shows of containers.
func (a *agent) newUsage() *metrics.Containers {
	o := a.options.metrics
	if len(o.ignored) > 0 {
		a.logger.Warn("flags of cAdvisor that change nothing here", "flags", strings.Join(o.ignored, " "))
	}
	if silent := o.kinds.Silent(); len(silent) > 0 {
		a.logger.Warn("kinds of metrics that there are no series of", "kinds", strings.Join(silent, ","))
	}
	return metrics.NewContainers(metrics.Options{
		Containers: a.collector.Containers, Root: o.hostRoot(), Logger: a.logger, Kinds: o.kinds, OmitRoot: o.omitRoot,
		OmitContainerLabels: o.omitLabels, LabelWhitelist: o.onlyLabels, EnvWhitelist: o.env,
		Layer: engine.WritableLayer, Stats: a.stats, LogUse: a.table.LogUse,
	})
}

// stats asks the engine for a container's statistics.
func (a *agent) stats(ctx context.Context, id string) ([]byte, error) {
	content, err := a.client.Stats(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		err = fmt.Errorf("%w: %w", metrics.ErrGone, err)
	}
	return content, err
}

// metricsHandler serves /metrics.
func (a *agent) metricsHandler() http.Handler {
	o := a.options.metrics
	sources := []metrics.Source{a.usage, metrics.NewMachine(metrics.MachineOptions{
		Root: o.hostRoot(), Logger: a.logger, Kinds: o.kinds, Version: "tallyman " + a.options.build.Version,
		EngineVersion: func() string { return a.collector.Status().Engine.Version },
	}), metrics.NewProcess()}
	if o.host {
		sources = append(sources, metrics.NewHost(metrics.HostOptions{Root: o.hostRoot(), Logger: a.logger}))
	}
	return metrics.NewHandler(a.registry, a.logger, sources...)
}

// handleMetrics adds what cAdvisor serves to the HTTP server.
func (a *agent) handleMetrics(mux *http.ServeMux) {
	mux.Handle("GET /metrics", a.metricsHandler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.Handle("GET /api/v1.3/", a.usage.API())
}

// isFolder reports whether there is a folder.
func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
