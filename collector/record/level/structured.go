package level

// isKey reports whether a key of JSON or logfmt names the level.
func isKey(key []byte) bool {
	const longest = 10
	if len(key) < 2 || len(key) > longest {
		return false
	}
	var low [longest]byte
	for i, c := range key {
		if c-'A' < 26 {
			c |= 0x20
		}
		low[i] = c
	}
	switch string(low[:len(key)]) {
	case "level", "lvl", "severity", "loglevel", "log_level", "log.level", "levelname", "level_name", "@l", "@level":
		return true
	}
	return false
}

// ofValue returns the level of a value, with or without quotes: a level's word,
// or one of the numbers of Bunyan and Pino.
func ofValue(value []byte) Level {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	if l, ok := lookup(value); ok {
		return l
	}
	if len(value) == 2 && value[1] == '0' && value[0] >= '1' && value[0] <= '6' {
		return [...]Level{Trace, Debug, Info, Warning, Error, Critical}[value[0]-'1']
	}
	return Unknown
}

// ofJSON returns the level that a key of the object at the beginning of text
// names, or one of the object "log" within it, where the Elastic Common Schema
// puts it. Text that is cut off, or no JSON behind that key, does not matter.
func ofJSON(text []byte) Level {
	depth, log := 0, 0
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '{', '[':
			depth++
			i++
		case '}', ']':
			if depth--; depth <= 0 {
				return Unknown
			}
			if depth < log {
				log = 0
			}
			i++
		case '"':
			start := i + 1
			i = pastString(text, start)
			key := text[start:max(i-1, start)]
			if i = pastBlanks(text, i); i >= len(text) || text[i] != ':' {
				continue // It is a value.
			}
			i = pastBlanks(text, i+1)
			if i >= len(text) {
				return Unknown
			}
			if depth == 1 && text[i] == '{' && string(key) == "log" {
				log = depth + 1
				continue
			}
			end := pastScalar(text, i)
			if (depth == 1 || depth == log) && end > i {
				if isKey(key) {
					return ofValue(text[i:end])
				}
				if string(key) == "s" {
					if l, ok := ofMongo(text[i:end]); ok {
						return l
					}
				}
			}
			i = end
		default:
			i++
		}
	}
	return Unknown
}

// ofMongo reads MongoDB's severity: "I", or "D2".
func ofMongo(value []byte) (Level, bool) {
	if len(value) < 3 || len(value) > 4 || value[0] != '"' || len(value) == 4 && !isDigit(value[2]) {
		return Unknown, false
	}
	return letter(value[1])
}

func pastBlanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	return i
}

// pastScalar returns the place behind the string, number or word at i; i itself
// where there is none.
func pastScalar(text []byte, i int) int {
	if text[i] == '"' {
		return pastString(text, i+1)
	}
	for i < len(text) {
		switch text[i] {
		case ',', '}', ']', '{', '[', ' ', '\t', '"':
			return i
		}
		i++
	}
	return i
}
