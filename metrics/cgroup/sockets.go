package cgroup

import "bytes"

// TCPStateNames are the states of TCP sockets in cAdvisor's words, in the order
// of the kernel's numbers from 1.
func TCPStateNames() [11]string {
	return [11]string{"established", "synsent", "synrecv", "finwait1", "finwait2", "timewait",
		"close", "closewait", "lastack", "listen", "closing"}
}

// TCPStates counts sockets by state, in the order of TCPStateNames.
type TCPStates [11]uint64

// UDPState is the sockets that listen, what they have dropped, and the bytes in
// their queues.
type UDPState struct {
	Listen, Dropped, ReceiveQueue, TransmitQueue uint64
}

// readTCP counts the sockets of a table such as net/tcp.
func readTCP(dir int, name string, buffer *Buffer) TCPStates {
	content, err := buffer.readAt(dir, name)
	if err != nil {
		return TCPStates{}
	}
	return parseTCP(content)
}

// parseTCP counts the sockets of a table by the state in the fourth column.
func parseTCP(b []byte) TCPStates {
	var states TCPStates
	eachSocket(b, func(fields [][]byte) {
		if n, ok := parseHex(fields[3]); ok && n >= 1 && n <= uint64(len(states)) {
			states[n-1]++
		}
	})
	return states
}

// readUDP reads a table such as net/udp.
func readUDP(dir int, name string, buffer *Buffer) UDPState {
	content, err := buffer.readAt(dir, name)
	if err != nil {
		return UDPState{}
	}
	return parseUDP(content)
}

// parseUDP reads a table: "tx_queue:rx_queue" is the fifth column, the number of
// dropped datagrams the last.
func parseUDP(b []byte) UDPState {
	var state UDPState
	eachSocket(b, func(fields [][]byte) {
		if n, ok := parseHex(fields[3]); ok && n == 7 {
			state.Listen++
		}
		transmit, receive, _ := bytes.Cut(fields[4], []byte{':'})
		sent, _ := parseHex(transmit)
		waiting, _ := parseHex(receive)
		state.TransmitQueue += sent
		state.ReceiveQueue += waiting
		dropped, _ := parseUint(fields[len(fields)-1])
		state.Dropped += dropped
	})
	return state
}

// eachSocket calls each for every line of a socket table but the heading.
func eachSocket(b []byte, each func(fields [][]byte)) {
	_, b = nextLine(b)
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		if fields := bytes.Fields(line); len(fields) > 5 {
			each(fields)
		}
	}
}

// parseHex reads a hexadecimal number that fills all of b.
func parseHex(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}

// appendTCPExtra appends the counters of netstat's TcpExt and snmp's Tcp: pairs
// of lines with the same first word, the names and then the numbers. Some of
// these numbers are negative.
func appendTCPExtra(dst []Counter, b []byte) []Counter {
	for len(b) > 0 {
		var heading, line []byte
		heading, b = nextLine(b)
		line, b = nextLine(b)
		names, numbers := bytes.Fields(heading), bytes.Fields(line)
		if len(names) == 0 || len(names) != len(numbers) || !bytes.Equal(names[0], numbers[0]) {
			continue
		}
		if word := string(names[0]); word != "TcpExt:" && word != "Tcp:" {
			continue
		}
		for i := 1; i < len(names); i++ {
			digits, negative := bytes.CutPrefix(numbers[i], []byte{'-'})
			n, ok := parseUint(digits)
			if !ok {
				continue
			}
			value := int64(n)
			if negative {
				value = -value
			}
			dst = append(dst, Counter{Name: string(names[i]), N: value})
		}
	}
	return dst
}
