package metrics

import "tallyman/metrics/cgroup"

// networkRows are the interfaces and sockets of the network namespace.
func networkRows() []family {
	return []family{
		row(kindNetwork, counter, "container_network_receive_bytes_total", "Bytes received.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Bytes }), "interface"),
		row(kindNetwork, counter, "container_network_receive_packets_total", "Packets received.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Packets }), "interface"),
		row(kindNetwork, counter, "container_network_receive_packets_dropped_total", "Incoming packets dropped.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Dropped }), "interface"),
		row(kindNetwork, counter, "container_network_receive_errors_total", "Errors in receiving.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Errors }), "interface"),
		row(kindNetwork, counter, "container_network_transmit_bytes_total", "Bytes sent.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Bytes }), "interface"),
		row(kindNetwork, counter, "container_network_transmit_packets_total", "Packets sent.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Packets }), "interface"),
		row(kindNetwork, counter, "container_network_transmit_packets_dropped_total", "Outgoing packets dropped.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Dropped }), "interface"),
		row(kindNetwork, counter, "container_network_transmit_errors_total", "Errors in sending.",
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Errors }), "interface"),
		row(kindNetwork, gauge, "tallyman_container_network_shared", "1 for a container that uses another's network, whose name is the label: that one's series, or those of id=\"/\" for the host's, hold its traffic.", networkShared, "with"),
		row(kindTCP, gauge, "container_network_tcp_usage_total", "TCP sockets over IPv4 by state.",
			tcpStates(func(p *cgroup.Processes) *cgroup.TCPStates { return &p.TCP }), "tcp_state"),
		row(kindTCP, gauge, "container_network_tcp6_usage_total", "TCP sockets over IPv6 by state.",
			tcpStates(func(p *cgroup.Processes) *cgroup.TCPStates { return &p.TCP6 }), "tcp_state"),
		row(kindUDP, gauge, "container_network_udp_usage_total", "UDP over IPv4: sockets that listen, datagrams dropped, bytes in queues.",
			udpState(func(p *cgroup.Processes) *cgroup.UDPState { return &p.UDP }), "udp_state"),
		row(kindUDP, gauge, "container_network_udp6_usage_total", "UDP over IPv6: sockets that listen, datagrams dropped, bytes in queues.",
			udpState(func(p *cgroup.Processes) *cgroup.UDPState { return &p.UDP6 }), "udp_state"),
		row(kindAdvancedTCP, gauge, "container_network_advance_tcp_stats_total", "The kernel's counters of TCP, by its names.", tcpExtra, "tcp_state"),
	}
}

// processRows are what is counted of processes and tasks.
func processRows() []family {
	return []family{
		row(kindProcess, gauge, "container_processes", "Processes in the container.",
			processValue(1, func(p *cgroup.Processes) cgroup.Value { return p.Count })),
		row(kindProcess, gauge, "container_file_descriptors", "Files that the processes have open.",
			processValue(1, func(p *cgroup.Processes) cgroup.Value { return p.Descriptors })),
		row(kindProcess, gauge, "container_sockets", "Sockets that the processes have open.",
			processValue(1, func(p *cgroup.Processes) cgroup.Value { return p.Sockets })),
		row(kindProcess, gauge, "container_threads", "Tasks in the container: processes and their threads.",
			pidsValue(func(p *cgroup.Pids) cgroup.Value { return p.Current })),
		row(kindProcess, gauge, "container_threads_max", "Tasks that the container may have, 0 without a limit.",
			pidsValue(func(p *cgroup.Pids) cgroup.Value { return p.Max })),
		row(kindProcess, gauge, "container_ulimits_soft", "Soft limits of the first process, -1 for none.", ulimits, "ulimit"),
	}
}
