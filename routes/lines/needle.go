package lines

import (
	"bytes"
	"strings"
)

// needle is a word that lines are searched for. With fold it is in small letters
// and found in any case of ASCII letters. It is not empty.
type needle struct {
	text []byte
	fold bool
	// at is the place of the word's rarest byte, which is looked for first: small
	// and great are the two cases of it, the same where there is only one.
	at           int
	small, great byte
}

// commonest are the bytes of logs, beginning with those that lines have most of.
const commonest = ` e0t1a2n3ior5s4l"d6:c7/.8,9-mpuhg_=fb[]()ywv{}kIx'TENSAjRCDOqzPLFMGHUBW`

// rarity tells how rare a byte is in logs.
func rarity(c byte) int {
	if i := strings.IndexByte(commonest, c); i >= 0 {
		return i
	}
	return len(commonest)
}

func newNeedle(text string, fold bool) needle {
	n := needle{text: []byte(text), fold: fold}
	best := -1
	for i := range n.text {
		small := n.text[i]
		great := small
		if fold && small-'a' < 26 {
			great -= 'a' - 'A'
		}
		if r := min(rarity(small), rarity(great)); r > best {
			best, n.at, n.small, n.great = r, i, small, great
		}
	}
	return n
}

// index returns where the word is first in a line, below zero where it is not.
func (n *needle) index(line []byte) int {
	small := next(line, n.at, n.small)
	great := small
	if n.great != n.small {
		great = next(line, n.at, n.great)
	}
	for {
		i := min(small, great)
		start := i - n.at
		if start+len(n.text) > len(line) {
			return -1
		}
		if candidate := line[start : start+len(n.text)]; !n.fold && bytes.Equal(candidate, n.text) || n.fold && equalFold(candidate, n.text) {
			return start
		}
		if i == small {
			small = next(line, i+1, n.small)
		}
		if n.great == n.small {
			great = small
		} else if i == great {
			great = next(line, i+1, n.great)
		}
	}
}

// next returns the place of c at or behind from; where there is none, one behind
// all words.
func next(line []byte, from int, c byte) int {
	if from < len(line) {
		if i := bytes.IndexByte(line[from:], c); i >= 0 {
			return from + i
		}
	}
	return 2*len(line) + from
}

// equalFold reports whether text is a word in small letters, which is as long, in
// any case.
func equalFold(text, word []byte) bool {
	for i, c := range word {
		if toLower(text[i]) != c {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if c-'A' < 26 {
		c |= 0x20
	}
	return c
}
