package syslog

import "unicode/utf8"

// The words of the option text.
const (
	textUnaltered = "unaltered"
	textUTF8      = "utf8"
	textBOM       = "utf8-bom"
	textPrintable = "printable"
)

// byteOrderMark says that UTF-8 follows (RFC 5424, section 6.4).
const byteOrderMark = "\ufeff"

// textRule says what is made of a message's text.
type textRule struct {
	mark, valid, printable bool
}

func newTextRule(word string) textRule {
	return textRule{mark: word == textBOM, valid: word != textUnaltered, printable: word == textPrintable}
}

// append appends text, made what the rule asks for, and reports whether any of
// it was altered.
func (t textRule) append(dst, text []byte) (result []byte, altered bool) {
	if t.mark {
		dst = append(dst, byteOrderMark...)
	}
	if !t.valid || !t.printable && utf8.Valid(text) {
		return append(dst, text...), false
	}
	sound := 0 // How much of the start of text is to be copied as it is.
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf && (!t.printable || !isControl(rune(c))) {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRune(text[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, text[sound:i]...)
		if i += size; r == utf8.RuneError {
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = append(dst, '#', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		}
		sound, altered = i, true
	}
	return append(dst, text[sound:]...), altered
}
