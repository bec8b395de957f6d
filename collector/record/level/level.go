// Package level finds out how grave a line says it is.
package level

// Level is how grave a line is. Higher is graver; Unknown is below all.
type Level uint8

// The levels: those of syslog (RFC 5424, section 6.2.1) and Trace below them.
const (
	Unknown Level = iota
	Trace
	Debug
	Info
	Notice
	Warning
	Error
	Critical
	Alert
	Emergency
)

// names are the levels' own words.
var names = [...]string{
	"unknown", "trace", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
}

// String returns the level's word, such as "warning".
func (l Level) String() string { return names[l] }

// Severity returns the number that syslog and GELF have for the level: 0 for
// Emergency to 7 for Debug and Trace. Unknown has that of Info.
func (l Level) Severity() int {
	switch l {
	case Unknown:
		return Info.Severity()
	case Trace:
		return Debug.Severity()
	default:
		return int(Emergency - l)
	}
}

// Parse returns the level of a word as programs write it, in any case: warn,
// WARNING, err, fatal. It is false for a word that is no level.
func Parse(word string) (Level, bool) { return lookup(word) }

// longestWord is the longest word that lookup knows, in bytes.
const longestWord = len("informational")

// lookup is Parse for either kind of text. It allocates nothing.
func lookup[T string | []byte](word T) (Level, bool) {
	if len(word) < 3 || len(word) > longestWord {
		return Unknown, false
	}
	var low [longestWord]byte
	for i := range len(word) {
		c := word[i] | 0x20
		if c-'a' >= 26 {
			return Unknown, false
		}
		low[i] = c
	}
	switch string(low[:len(word)]) {
	case "trace", "trc", "trce", "finest", "finer", "verbose":
		return Trace, true
	case "debug", "dbg", "dbug", "fine":
		return Debug, true
	case "info", "inf", "information", "informational":
		return Info, true
	case "notice":
		return Notice, true
	case "warning", "warn", "wrn":
		return Warning, true
	case "error", "err", "eror", "severe":
		return Error, true
	case "critical", "crit", "fatal", "ftl", "dpanic":
		return Critical, true
	case "alert":
		return Alert, true
	case "emergency", "emerg", "panic", "pnc":
		return Emergency, true
	}
	return Unknown, false
}
