package metrics

// panelQueries are what well-known dashboards and alerts ask of cAdvisor, by
// source, with their variables filled in and the alerts' thresholds left away.
// Those about pods have no answer from a Docker host, here or in cAdvisor; those
// of 19792 about merged requests and times of a disk have one for the machine.
func panelQueries() []string {
	const all = `instance=~".*",name=~".*",name=~".+"`
	const compose = `instance=~".*",name=~".*",container_label_com_docker_compose_project=~"shop"`
	const dockprom = `image!="",container_label_org_label_schema_group="monitoring"`
	queries := []string{
		// Grafana 14282, "Cadvisor exporter".
		`sum(rate(container_cpu_usage_seconds_total{` + all + `}[10s])) by (name) *100`,
		`sum(container_memory_rss{` + all + `}) by (name)`,
		`sum(container_memory_cache{` + all + `}) by (name)`,
		`sum(rate(container_network_receive_bytes_total{` + all + `}[10s])) by (name)`,
		`sum(rate(container_network_transmit_bytes_total{` + all + `}[10s])) by (name)`,
		`(time() - container_start_time_seconds{` + all + `})/86400`,
		`{__name__=~"container.*"}`,

		// 19792, "cadvisor dashboard": the rest of it is below.
		`max by (name) (container_tasks_state{` + compose + `,state="running"})`,
		`max by (name, id, image, container_label_com_docker_compose_project) (container_start_time_seconds{` + compose + `})`,
		`max by (name) (time() - container_last_seen{` + compose + `})`,
		`max by (name) (rate(container_memory_failures_total{` + compose + `,failure_type="pgfault",scope="container"}[10s]))`,
		`max by (name) (rate(container_memory_failures_total{` + compose + `,failure_type="pgmajfault",scope="hierarchy"}[10s]))`,
		`sum by (name, operation) (rate(container_blkio_device_usage_total{` + compose + `}[10s]))`,
		`container_scrape_error`,

		// 19908, "cAdvisor Docker Insights".
		`count(count(container_last_seen{name=~".+"}) by (name))`,
		`sum(rate(container_cpu_usage_seconds_total{name=~".+"}[10s])) by (name)`,
		`sum(container_memory_usage_bytes{name=~".+"}) by (name)`,
		`sum(rate(container_fs_reads_bytes_total{name=~".+"}[10s])) by (name)`,
		`sum(rate(container_fs_writes_bytes_total{name=~".+"}[10s])) by (name)`,
		`count by(name)(count_over_time(container_last_seen{name=~".+"}[1m]))`,

		// 893, "Docker and system monitoring".
		`count(rate(container_last_seen{name=~".+"}[10s]))`,
		`sum(rate(container_network_receive_bytes_total{id="/"}[10s])) by (id)`,
		`sum(rate(container_network_transmit_bytes_total{id="/"}[10s])) by (id)`,
		`sum(rate(container_cpu_system_seconds_total[10s]))`,
		`sum(rate(container_cpu_system_seconds_total{name=~".+"}[10s]))`,
		`sum(rate(container_cpu_system_seconds_total{id="/"}[10s]))`,
		`sum(rate(process_cpu_seconds_total[10s])) * 100`,
		`sum(container_memory_rss{name=~".+"}) by (name)`,
		`container_memory_rss{id="/"}`,
		`sum(container_memory_swap{name=~".+"}) by (name)`,
		`sum(container_spec_memory_limit_bytes{name=~".+"} - container_memory_usage_bytes{name=~".+"}) by (name)`,

		// 193, "Docker monitoring".
		`count(container_last_seen{image!=""})`,
		`container_memory_usage_bytes{image!=""}`,
		`rate(container_cpu_user_seconds_total{image!=""}[10s])*100`,
		`rate(container_network_receive_bytes_total{image!=""}[10s])`,

		// dockprom, with its alerts.
		`sum(rate(container_cpu_user_seconds_total{image!=""}[10s])) / count(machine_cpu_cores) * 100`,
		`sum by (name) (rate(container_cpu_usage_seconds_total{` + dockprom + `}[10s])) / scalar(count(node_cpu_seconds_total{mode="user"})) * 100`,
		`sum by (name)(container_memory_usage_bytes{` + dockprom + `})`,
		`sum by (name) (container_memory_cache{` + dockprom + `})`,
		`sum by (name) (rate(container_network_receive_bytes_total{` + dockprom + `}[10s]))`,
		`sum by (name) (rate(container_network_transmit_bytes_total{` + dockprom + `}[10s]))`,
		`sum(container_fs_usage_bytes)`,
		`vector(scalar(count(container_memory_usage_bytes{image!=""}) > 0))`,
		`absent(container_memory_usage_bytes{name="jenkins"})`,
		`node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes`,

		// awesome-prometheus-alerts. Its quota is by pod there.
		`time() - container_last_seen`,
		`(sum(rate(container_cpu_usage_seconds_total{name!=""}[10s])) by (name) / sum(container_spec_cpu_quota{name!=""}/container_spec_cpu_period{name!=""}) by (name) * 100)`,
		`(sum(container_memory_working_set_bytes{name!=""}) BY (instance, name) / sum(container_spec_memory_limit_bytes > 0) BY (instance, name) * 100)`,
		`(1 - (sum(container_fs_inodes_free{name!=""}) BY (instance) / sum(container_fs_inodes_total) BY (instance))) * 100`,
		`sum(increase(container_cpu_cfs_throttled_periods_total{name!=""}[10s])) by (name) / sum(increase(container_cpu_cfs_periods_total[10s])) by (name)`,
		`abs((sum by (instance, name) (rate(container_cpu_usage_seconds_total{name!=""}[10s])) * 100) - (sum by (instance, name) (rate(container_cpu_usage_seconds_total{name!=""}[10s] offset 2s)) * 100))`,

		`sum(machine_memory_bytes) - sum(container_memory_usage_bytes{id="/"})`,
		`container_fs_usage_bytes{id="/"} / container_fs_limit_bytes{id="/"}`,
		`machine_cpu_cores`, `cadvisor_version_info`,
	}
	for _, gauge := range []string{"last_seen", "memory_rss", "memory_cache", "memory_swap", "memory_usage_bytes", "memory_working_set_bytes",
		"memory_mapped_file", "memory_max_usage_bytes", "spec_memory_limit_bytes", "spec_memory_reservation_limit_bytes",
		"spec_memory_swap_limit_bytes", "cpu_load_average_10s", "health_state", "fs_inodes_free", "fs_inodes_total", "fs_limit_bytes", "fs_usage_bytes"} {
		queries = append(queries, `max by (name) (container_`+gauge+`{`+compose+`})`)
	}
	for _, counter := range []string{"cpu_system_seconds_total", "cpu_user_seconds_total", "cpu_usage_seconds_total", "memory_failcnt", "oom_events_total",
		"cpu_cfs_periods_total", "cpu_cfs_throttled_periods_total", "cpu_cfs_throttled_seconds_total",
		"network_receive_bytes_total", "network_transmit_bytes_total", "network_receive_packets_total", "network_transmit_packets_total",
		"network_receive_errors_total", "network_transmit_errors_total", "network_receive_packets_dropped_total",
		"network_transmit_packets_dropped_total", "fs_reads_total", "fs_writes_total", "fs_sector_reads_total", "fs_sector_writes_total",
		"pressure_cpu_waiting_seconds_total"} {
		queries = append(queries, `max by (name) (rate(container_`+counter+`{`+compose+`}[10s]))`)
	}
	for _, ofDisk := range []string{"io_time_seconds_total", "io_time_weighted_seconds_total", "read_seconds_total", "write_seconds_total",
		"reads_merged_total", "writes_merged_total"} {
		queries = append(queries, `rate(container_fs_`+ofDisk+`{id="/"}[10s])`)
	}
	return append(queries, `container_fs_io_current{id="/"}`)
}

// quietAlerts are those of dockprom and awesome-prometheus-alerts that must not
// fire while all is well.
func quietAlerts() []string {
	return []string{
		`time() - container_last_seen > 60`,
		`absent(container_last_seen)`,
		`absent(container_memory_usage_bytes{name=~".+"})`,
		`(sum(container_memory_working_set_bytes{name!=""}) BY (instance, name) / sum(container_spec_memory_limit_bytes > 0) BY (instance, name) * 100) > 80`,
		`(1 - (sum(container_fs_inodes_free{name!=""}) BY (instance) / sum(container_fs_inodes_total{name!=""}) BY (instance))) * 100 > 80`,
		`container_scrape_error > 0`,
		`increase(container_oom_events_total{name=~".+"}[1m]) > 0`,
	}
}
