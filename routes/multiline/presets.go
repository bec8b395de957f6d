package multiline

import "bytes"

// In all presets a line that is indented belongs to the one before it, and so
// does a trace to the line by which a logger announces it.

func indented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

func blank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }

func hasPrefix(line []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(line) >= len(p) && string(line[:len(p)]) == p {
			return true
		}
	}
	return false
}

// The states of a trace that begins with the throwable.
const (
	head   = known + iota // the throwable's line
	frames                // some frames
)

// java reads what Throwable.printStackTrace writes.
func java(s state, line []byte) (state, bool) {
	switch {
	case indented(line):
		text := bytes.TrimLeft(line, " \t")
		if hasPrefix(text, "at ", "... ", "Suppressed: ", "Caused by: ") {
			return frames, true
		}
		return max(s, plain), true
	case hasPrefix(line, "Caused by: ", "Suppressed: "):
		return frames, true
	case hasPrefix(line, "Exception in thread "):
		return head, false
	case isThrowable(line):
		return head, s == plain
	}
	return plain, false
}

// dotnet reads what Exception.ToString gives, alone or behind the runtime's
// announcement.
func dotnet(s state, line []byte) (state, bool) {
	switch {
	case indented(line):
		text := bytes.TrimLeft(line, " ")
		if hasPrefix(text, "at ", "--- ") {
			return frames, true
		}
		return max(s, plain), true
	case hasPrefix(line, "--- End of ", "---> "):
		return frames, true
	case hasPrefix(line, "Unhandled exception", "Unhandled Exception"):
		return head, false
	case isThrowable(line):
		return head, s == plain
	}
	return plain, false
}

// isThrowable reports whether a line begins with the full name of a class that is
// called an exception or the like, alone or before a colon.
func isThrowable(line []byte) bool {
	end := 0
	for end < len(line) && (isLetter(line[end]) || line[end]-'0' < 10 || line[end] == '.' || line[end] == '$' || line[end] == '_') {
		end++
	}
	dot := bytes.LastIndexByte(line[:end], '.')
	if dot <= 0 || end < len(line) && line[end] != ':' {
		return false
	}
	class := line[dot+1 : end]
	for _, word := range []string{"Exception", "Error", "Throwable", "Failure"} {
		if bytes.Contains(class, []byte(word)) {
			return true
		}
	}
	return false
}

func isLetter(c byte) bool { return c|0x20-'a' < 26 || c >= 0x80 }

// The states of a traceback.
const (
	traceback = known + iota // its frames
	raised                   // the exception's line
	gap                      // the blank line behind it
	chained                  // what says that another follows
)

const tracebackHead = "Traceback (most recent call last):"

// python reads what the module traceback writes, with chained exceptions and
// groups of them.
func python(s state, line []byte) (state, bool) {
	switch {
	case hasPrefix(line, tracebackHead):
		return traceback, s == plain || s == chained
	case blank(line) && (s == raised || s == gap):
		return gap, true
	case blank(line):
		return max(s, plain), s == traceback || s == chained
	case indented(line):
		if s == gap || s == chained {
			return plain, true // A group of exceptions is all indented.
		}
		return max(s, plain), true
	case s == traceback:
		return raised, true
	case s == gap && hasPrefix(line, "During handling of the above exception", "The above exception was the direct cause"):
		return chained, true
	}
	return plain, false
}

// The states of what the runtime of Go writes when it ends a program.
const (
	crash = known + iota // before the first goroutine
	stack
)

// golang reads panics, fatal errors and debug.Stack.
func golang(s state, line []byte) (state, bool) {
	switch {
	case hasPrefix(line, "goroutine ") && bytes.HasSuffix(line, []byte("]:")):
		return stack, true
	case hasPrefix(line, "panic: ", "fatal error: ", "runtime: ", "unexpected fault address ", "SIG"):
		if hasPrefix(line, "SIG") && !bytes.Contains(line, []byte(": ")) {
			return plain, false
		}
		return crash, s == crash
	case s < crash:
		return max(s, plain), indented(line)
	case blank(line) || indented(line) || isCall(line) || isRegister(line):
		return s, true
	case hasPrefix(line, "[signal ", "[recovered]", "[originating from ", "runtime stack:", "created by ", "exit status ", "...", "PC="):
		return s, true
	}
	return plain, false
}

// isCall reports whether a line is a frame's function with its arguments.
func isCall(line []byte) bool {
	open := bytes.IndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], ' ') < 0 &&
		(bytes.IndexByte(line[:open], '.') > 0 || string(line[:open]) == "panic")
}

// isRegister reports whether a line is a processor's register with its value.
func isRegister(line []byte) bool {
	name, value, ok := bytes.Cut(line, []byte(" "))
	return ok && len(name) <= 7 && hasPrefix(bytes.TrimLeft(value, " "), "0x")
}

// The state of a backtrace of Ruby whose last line is the error.
const upsideDown = known

// ruby reads what Exception#full_message gives, and backtraces whose frames are
// not indented, as its Logger writes them.
func ruby(s state, line []byte) (state, bool) {
	switch {
	case hasPrefix(line, tracebackHead):
		return upsideDown, false
	case indented(line):
		return max(s, plain), true
	case isRubyFrame(line):
		// An error's own line has its message behind the place.
		last := line[len(line)-1]
		return plain, last == '\'' || last == '`' || s == upsideDown
	}
	return plain, false
}

// isRubyFrame reports whether a line begins with a place in a program: a file, a
// line's number and a method.
func isRubyFrame(line []byte) bool {
	i := bytes.Index(line, []byte(":in "))
	if i < 0 || i+4 >= len(line) || line[i+4] != '`' && line[i+4] != '\'' {
		return false
	}
	digits := i
	for digits > 0 && line[digits-1]-'0' < 10 {
		digits--
	}
	return digits < i && digits > 1 && line[digits-1] == ':' && bytes.IndexByte(line[:digits], ' ') < 0
}
