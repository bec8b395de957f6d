package lines

import "bytes"

// shortestToken is the shortest text behind the word Bearer that is taken for a
// token: what comes after it in a sentence is mostly shorter.
const shortestToken = 8

// bearer is the scheme's name, in any case, and what is behind it.
var bearer = newNeedle("bearer ", true)

// findBearer finds the token of HTTP's bearer scheme (RFC 6750, section 2.1).
func findBearer(line []byte, from int) (start, end int) {
	for {
		i := bearer.index(line[from:])
		if i < 0 {
			return -1, -1
		}
		word := from + i
		from = word + len(bearer.text)
		if word > 0 && isWord(line[word-1]) {
			continue
		}
		start = from
		for start < len(line) && line[start] == ' ' {
			start++
		}
		for end = start; end < len(line) && isToken(line[end]); end++ {
		}
		long := end-start >= shortestToken
		for end < len(line) && line[end] == '=' {
			end++
		}
		if long {
			return start, end
		}
	}
}

// isToken reports whether c belongs to a token68 (RFC 9110, section 11.2).
func isToken(c byte) bool {
	return isWord(c) && c < 0x80 || c == '-' || c == '.' || c == '~' || c == '+' || c == '/'
}

// findEmail finds a mail address: a dot-string of letters that are in use (RFC
// 5321, section 4.1.2), and a domain with a dot whose last part is no number.
func findEmail(line []byte, from int) (start, end int) {
	begin := from
	for {
		i := bytes.IndexByte(line[from:], '@')
		if i < 0 {
			return -1, -1
		}
		at := from + i
		from = at + 1
		for start = at; start > begin && isLocal(line[start-1]); start-- {
		}
		for start < at && line[start] == '.' {
			start++
		}
		if end = domainEnd(line, at+1); start < at && end > 0 {
			return start, end
		}
	}
}

func isLocal(c byte) bool {
	return isWord(c) || c == '.' || c == '%' || c == '+' || c == '-'
}

// domainEnd returns where the domain that begins at start ends, 0 when there is
// none.
func domainEnd(line []byte, start int) int {
	end := start
	for end < len(line) && (isWord(line[end]) && line[end] != '_' || line[end] == '-' || line[end] == '.') {
		end++
	}
	for end > start && (line[end-1] == '.' || line[end-1] == '-') {
		end--
	}
	dot := bytes.LastIndexByte(line[start:end], '.')
	if dot <= 0 || end-start-dot-1 < 2 {
		return 0
	}
	if c := line[start+dot+1]; c-'0' < 10 {
		return 0
	}
	return end
}

// The lengths of card numbers (ISO/IEC 7812-1), and what they begin with: the
// digits of travel, banking and merchandising.
const (
	shortestCard = 13
	longestCard  = 19
)

// findCard finds a card number: digits in groups with single blanks or dashes
// between them, of which the last is the check digit by Luhn's formula (ISO/IEC
// 7812-1, annex B).
func findCard(line []byte, from int) (start, end int) {
	// Wherever a number is, one of two bytes next to each other is a digit, and
	// both are in it at one of every shortestCard-1 places.
	for i := from; i+1 < len(line); i += shortestCard - 1 {
		at := i
		if !isDigit(line[at]) {
			if at++; !isDigit(line[at]) {
				continue
			}
		}
		begin, limit, digits := at, at, 0
		for begin > from && inCard(line[begin-1]) {
			if begin--; isDigit(line[begin]) {
				digits++
			}
		}
		for limit < len(line) && inCard(line[limit]) {
			if isDigit(line[limit]) {
				digits++
			}
			limit++
		}
		if digits >= shortestCard {
			if start, end = firstCard(line, begin, limit); end > 0 {
				return start, end
			}
		}
		i = max(i, limit-shortestCard+1)
	}
	return -1, -1
}

// firstCard returns the first card number that begins between two places; end is 0
// when there is none.
func firstCard(line []byte, begin, limit int) (start, end int) {
	for start = begin; start+shortestCard <= limit; start++ {
		if c := line[start]; c-'2' >= 5 || start > 0 && isWord(line[start-1]) {
			continue
		}
		if end = cardEnd(line, start); end > 0 {
			return start, end
		}
	}
	return start, 0
}

func isDigit(c byte) bool { return c-'0' < 10 }

func inCard(c byte) bool { return isDigit(c) || c == ' ' || c == '-' }

// cardEnd returns where the longest card number that begins at start ends, 0 when
// there is none.
func cardEnd(line []byte, start int) int {
	found, digits := 0, 0
	// sums are Luhn's for an even and an odd number of digits.
	var sums [2]int
	for i := start; i < len(line); i++ {
		d := int(line[i]) - '0'
		if d < 0 || d > 9 {
			if line[i] != ' ' && line[i] != '-' || i+1 == len(line) || line[i+1]-'0' >= 10 {
				break
			}
			continue
		}
		twice := 2 * d
		if twice > 9 {
			twice -= 9
		}
		sums[digits&1] += twice
		sums[digits&1^1] += d
		if digits++; digits > longestCard {
			break
		}
		// The last digit counts once, and so does every second before it.
		if digits >= shortestCard && sums[digits&1]%10 == 0 && (i+1 == len(line) || !isWord(line[i+1])) {
			found = i + 1
		}
	}
	return found
}

// isWord reports whether c is a letter, a digit, an underscore, or a part of a
// letter beyond ASCII.
func isWord(c byte) bool {
	return c|0x20-'a' < 26 || c-'0' < 10 || c == '_' || c >= 0x80
}
