package lines

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// The most words that are searched for before the expression is asked, and the
// most members of a set of characters that are taken for words.
const (
	maxWords = 16
	maxSet   = 4
)

// word is a text that is searched for; with fold it is in small letters and found
// in any case.
type word struct {
	text string
	fold bool
}

// need says what text every match of a part of an expression holds: one of
// words, none when nothing is known. exact says that the part matches these
// words and nothing else.
type need struct {
	words []word
	exact bool
}

// nothing is the need of an empty expression.
func nothing() need { return need{words: []word{{}}, exact: true} }

// shortest returns the length of the shortest word.
func (n *need) shortest() int {
	length := 0
	for i, w := range n.words {
		if i == 0 || len(w.text) < length {
			length = len(w.text)
		}
	}
	return length
}

// requiredWords returns texts of which every line that matches holds at least
// one; see Pattern.
func requiredWords(expression string) need {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return need{}
	}
	n := needOf(tree.Simplify())
	if n.shortest() == 0 {
		return need{}
	}
	return n
}

func needOf(re *syntax.Regexp) need {
	switch re.Op {
	case syntax.OpLiteral:
		return needOfLiteral(re)
	case syntax.OpEmptyMatch:
		return nothing()
	case syntax.OpCapture:
		return needOf(re.Sub[0])
	case syntax.OpCharClass:
		return needOfSet(re)
	case syntax.OpPlus:
		n := needOf(re.Sub[0])
		n.exact = false
		return n
	case syntax.OpConcat:
		return needOfConcat(re)
	case syntax.OpAlternate:
		return needOfAlternate(re)
	default:
		return need{}
	}
}

func needOfLiteral(re *syntax.Regexp) need {
	if re.Flags&syntax.FoldCase == 0 {
		if slices.Contains(re.Rune, utf8.RuneError) {
			return need{} // It stands for bytes that are no UTF-8 too.
		}
		return need{words: []word{{text: string(re.Rune)}}, exact: true}
	}
	// In any case, k and s stand for letters beyond ASCII too, and those letters
	// for others: the word ends there.
	var piece, longest []byte
	for _, c := range re.Rune {
		low := toLower(byte(c))
		if c >= utf8.RuneSelf || low == 'k' || low == 's' {
			piece = nil
			continue
		}
		if piece = append(piece, low); len(piece) > len(longest) {
			longest = piece
		}
	}
	return need{words: []word{{string(longest), true}}, exact: len(longest) == len(re.Rune)}
}

// needOfSet takes a small set of characters, such as that of [45]xx, for
// words of one letter.
func needOfSet(re *syntax.Regexp) need {
	n := need{exact: true}
	for i := 0; i+1 < len(re.Rune); i += 2 {
		for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
			if len(n.words) == maxSet || c == utf8.RuneError {
				return need{}
			}
			n.words = append(n.words, word{text: string(c)})
		}
	}
	return n
}

// needOfConcat joins what follows each other, as far as it is exact, and returns
// what is the most telling.
func needOfConcat(re *syntax.Regexp) need {
	var best need
	run := nothing()
	whole := true
	keep := func(n need) {
		if n.shortest() > best.shortest() {
			best = n
		}
	}
	for _, sub := range re.Sub {
		n := needOf(sub)
		joined, ok := join(run, n)
		if ok {
			run = joined
			continue
		}
		keep(run)
		whole = false
		run = nothing()
		if n.exact && len(n.words) > 0 {
			run = n
		} else {
			keep(n)
		}
	}
	keep(run)
	best.exact = best.exact && whole
	return best
}

// join returns every word of a followed by every word of b.
func join(a, b need) (need, bool) {
	if !a.exact || !b.exact || len(a.words)*len(b.words) > maxWords || len(b.words) == 0 {
		return need{}, false
	}
	n := need{exact: true}
	for _, first := range a.words {
		for _, second := range b.words {
			if first.fold != second.fold && first.text != "" {
				return need{}, false
			}
			n.words = append(n.words, word{first.text + second.text, second.fold})
		}
	}
	return n, true
}

func needOfAlternate(re *syntax.Regexp) need {
	all := need{exact: true}
	for _, sub := range re.Sub {
		n := needOf(sub)
		if n.shortest() == 0 || len(all.words)+len(n.words) > maxWords {
			return need{}
		}
		all.words = append(all.words, n.words...)
		all.exact = all.exact && n.exact
	}
	return all
}
