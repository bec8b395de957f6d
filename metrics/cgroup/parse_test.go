package cgroup

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestParseValue(t *testing.T) {
	f := func(content string, want Value) {
		t.Helper()
		if got := parseValue([]byte(content)); got != want {
			t.Errorf("parseValue(%q) = %v, want %v", content, got, want)
		}
	}
	f("0\n", Value{0, true})
	f("387683630\n", Value{387683630, true})
	f(" 12 13\n", Value{12, true})
	f("18446744073709551615", Value{math.MaxUint64, true})
	f("18446744073709551616", Value{})
	f("99999999999999999999999", Value{})
	f("", Value{})
	f("\n", Value{})
	f("max\n", Value{})
	f("-1\n", Value{})
	f("12x\n", Value{})
}

func TestParseLimit(t *testing.T) {
	f := func(content string, want Value) {
		t.Helper()
		if got := parseLimit([]byte(content)); got != want {
			t.Errorf("parseLimit(%q) = %v, want %v", content, got, want)
		}
	}
	f("max\n", Value{NoLimit, true})
	f("-1\n", Value{NoLimit, true})
	f("max 100000\n", Value{NoLimit, true})
	f("50000 100000\n", Value{50000, true})
	f("9223372036854771712\n", Value{9223372036854771712, true})
	f("maximum\n", Value{})
	f("-\n", Value{})
	f("", Value{})
}

func TestParseFlat(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		var got []string
		parseFlat([]byte(content), func(key []byte, n uint64) { got = append(got, fmt.Sprint(string(key), n)) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("parseFlat(%q) = %q, want %q", content, got, want)
		}
	}
	f("user 35\nsystem 3\n", "user35", "system3")
	f("user 35\nsystem 3", "user35", "system3")
	f("user\nsystem 3\n", "system3")
	f("a 1 2\nb x\n\nc 3\n", "c3")
	f("")
}

func TestParseNested(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		var got []string
		parseNested([]byte(content), func(key, name []byte, n uint64) { got = append(got, fmt.Sprint(string(key), "/", string(name), n)) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("parseNested(%q) = %q, want %q", content, got, want)
		}
	}
	f("8:0 rbytes=1 wbytes=2\n8:16 rbytes=3\n", "8:0/rbytes1", "8:0/wbytes2", "8:16/rbytes3")
	// A device without counters, left on the line of the next one.
	f("7:0 8:0 rbytes=1\n", "8:0/rbytes1")
	f("7:0\n8:0 rbytes=1\n", "8:0/rbytes1")
	f("rbytes=1\n8:0 rbytes=x wbytes= cost.usage=1.5 rios=4\n", "8:0/rios4")
	f("")
}

func TestParsePressure(t *testing.T) {
	f := func(content string, want Stall) {
		t.Helper()
		if got := parsePressure([]byte(content)); got != want {
			t.Errorf("parsePressure(%q) = %v, want %v", content, got, want)
		}
	}
	f("some avg10=5.51 avg60=1.42 avg300=0.66 total=9187293\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=12\n",
		Stall{Some: Value{9187293, true}, Full: Value{12, true}})
	// Before 5.13 the pressure on the processor has no second line.
	f("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", Stall{Some: Value{7, true}})
	f("", Stall{})
}

func TestParseBlkio(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		var got []string
		parseBlkio([]byte(content), func(device Device, op Operation, n uint64) { got = append(got, fmt.Sprint(device, op, n)) })
		if !reflect.DeepEqual(got, want) {
			t.Errorf("parseBlkio(%q) = %q, want %q", content, got, want)
		}
	}
	f("Total 0\n")
	f("254:0 Read 10\n254:0 Write 4\n254:0 Sync 10\n254:0 Async 4\n254:0 Discard 0\n254:0 Total 14\nTotal 14\n",
		"254:0 Read 10", "254:0 Write 4", "254:0 Sync 10", "254:0 Async 4", "254:0 Discard 0", "254:0 Total 14")
	f("4294967296:0 Read 1\n8 Read 1\n8:x Read 1\n8:0 Other 1\n8:0 Read x\n")
}

func TestParseNetDev(t *testing.T) {
	const heading = "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
	f := func(content string, want ...Interface) {
		t.Helper()
		if got := parseNetDev(nil, []byte(content)); !reflect.DeepEqual(got, want) {
			t.Errorf("parseNetDev(%q) = %v, want %v", content, got, want)
		}
	}
	eth := Interface{"eth0", Traffic{1, 2, 3, 4}, Traffic{9, 10, 11, 12}}
	f(heading)
	f(heading+"    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"+
		"  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"+
		"docker0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"+
		"vethab: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", eth)
	// Old kernels write no space after the colon.
	f(heading+"  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", eth)
	f(heading + "  eth0: 1 2 3\n")
	f("")
}

func TestSharesOfWeight(t *testing.T) {
	f := func(weight, want Value) {
		t.Helper()
		if got := sharesOfWeight(weight); got != want {
			t.Errorf("sharesOfWeight(%v) = %v, want %v", weight, got, want)
		}
	}
	f(Value{1, true}, Value{2, true})
	f(Value{100, true}, Value{2597, true})
	f(Value{10000, true}, Value{262144, true})
	f(Value{0, true}, Value{})
	f(Value{}, Value{})
	f(Value{NoLimit - 1, true}, Value{})
}

func TestCutAfter(t *testing.T) {
	const id = "7f2aaafba93cf614f0acb433cf8163dcc294cbc8d7ef21cd9519cd87940f35d4"
	f := func(path, want string) {
		t.Helper()
		if got, ok := cutAfter(path, id); got != want || ok != (want != "") {
			t.Errorf("cutAfter(%q) = %q, %v, want %q", path, got, ok, want)
		}
	}
	f("/docker/"+id, "/docker/"+id)
	f("/system.slice/docker-"+id+".scope", "/system.slice/docker-"+id+".scope")
	f("/system.slice/docker-"+id+".scope/init.scope", "/system.slice/docker-"+id+".scope")
	f("/docker/"+id+"/docker/"+strings.Repeat("b", 64), "/docker/"+id)
	f("/docker/"+strings.Repeat("b", 64)+"/docker/"+id, "/docker/"+strings.Repeat("b", 64)+"/docker/"+id)
	f("/docker/"+strings.Repeat("b", 64), "")
	f("/", "")
	if got, ok := cutAfter("/docker/x", ""); ok {
		t.Errorf("an empty id matched and gave %q", got)
	}
}

func TestParseMountinfo(t *testing.T) {
	const content = `90 80 0:31 /docker/inner /srv/memory rw - cgroup cgroup rw,memory
30 21 0:25 / /sys/fs/cgroup ro,noexec shared:9 - tmpfs tmpfs ro,mode=755
35 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:15 - cgroup cgroup rw,cpu,cpuacct
36 30 0:31 / /sys/fs/cgroup/memory rw shared:16 - cgroup cgroup rw,memory
91 80 0:31 / /srv/again rw - cgroup cgroup rw,memory
92 80 0:31 / /my\040disk/unified rw - cgroup2 cgroup2 rw
nonsense
`
	v1, unified := parseMountinfo("/host", []byte(content))
	want := map[string]hierarchy{
		"cpu":     {"/host/sys/fs/cgroup/cpu,cpuacct", "/"},
		"cpuacct": {"/host/sys/fs/cgroup/cpu,cpuacct", "/"},
		"memory":  {"/host/sys/fs/cgroup/memory", "/"},
	}
	if !reflect.DeepEqual(v1, want) {
		t.Errorf("v1 = %v, want %v", v1, want)
	}
	if want := (hierarchy{"/host/my disk/unified", "/"}); unified != want {
		t.Errorf("unified = %v, want %v", unified, want)
	}
}

// FuzzParseFlat compares the byte scanner with what the standard library makes
// of the same file.
func FuzzParseFlat(f *testing.F) {
	f.Add([]byte("0\t0 0"))
	f.Add([]byte("user 35\nsystem 3\n"))
	f.Add([]byte("nr_periods 18446744073709551616\n\n x\t7 \nlast 9"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var got, want []string
		parseFlat(content, func(key []byte, n uint64) { got = append(got, fmt.Sprint(string(key), "=", n)) })
		for line := range bytes.SplitSeq(content, []byte("\n")) {
			fields := asciiFields(string(line))
			if len(fields) != 2 {
				continue
			}
			if n, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				want = append(want, fmt.Sprint(fields[0], "=", n))
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("parseFlat(%q) = %q, want %q", content, got, want)
		}
	})
}

// FuzzParseNested does the same for nested-keyed files.
func FuzzParseNested(f *testing.F) {
	f.Add([]byte("8:0 rbytes=1 wbytes=2\n8:16 rbytes=3\n"))
	f.Add([]byte("7:0 8:0 rbytes=1 =3 cost=1.5\nx=1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		var got, want []string
		parseNested(content, func(key, name []byte, n uint64) {
			got = append(got, fmt.Sprint(string(key), "/", string(name), "=", n))
		})
		for line := range bytes.SplitSeq(content, []byte("\n")) {
			key := ""
			for _, field := range asciiFields(string(line)) {
				name, number, ok := strings.Cut(field, "=")
				if !ok {
					key = field
					continue
				}
				if n, err := strconv.ParseUint(number, 10, 64); err == nil && key != "" {
					want = append(want, fmt.Sprint(key, "/", name, "=", n))
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("parseNested(%q) = %q, want %q", content, got, want)
		}
		parseIOStat(new(Sample), content)
	})
}

// FuzzParseNetDev checks that no file makes the parser fail or return what it
// should leave out.
func FuzzParseNetDev(f *testing.F) {
	f.Add([]byte("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, entry := range parseNetDev(nil, content) {
			if entry.Name == "" || strings.ContainsAny(entry.Name, ": \n") || ignoredInterface([]byte(entry.Name)) {
				t.Errorf("parseNetDev(%q) gave interface %q", content, entry.Name)
			}
		}
	})
}

// asciiFields splits at the spaces that the kernel writes.
func asciiFields(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c < 128 && isSpace(byte(c)) })
}
