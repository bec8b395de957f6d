package textenc

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestAppendJSON(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(AppendJSON([]byte("x"), in)); got != "x"+want {
			t.Errorf("%q became %s, want x%s", in, got, want)
		}
	}
	f("", `""`)
	f("plain", `"plain"`)
	f("a\"b\\c", `"a\"b\\c"`)
	f("a\nb\tc\rd\x00e\x7ff\x1b", `"a\nb\tc\rd\u0000e`+"\x7f"+`f\u001b"`)
	f("grüße, 世界 🚢", `"grüße, 世界 🚢"`)
	f("\xff\xfea\xc3", `"`+"\ufffd\ufffda\ufffd"+`"`)
	f("\ufffd stays", `"`+"\ufffd stays"+`"`)
}

func TestAppendUTF8(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := string(AppendUTF8([]byte("x"), []byte(in))); got != "x"+want {
			t.Errorf("%q became %q, want %q", in, got, "x"+want)
		}
	}
	f("", "")
	f("a\x00\nb", "a\x00\nb")
	f("grüße 🚢", "grüße 🚢")
	f("\xff\xe4\xb8a\xc3", "\ufffd\ufffd\ufffda\ufffd")
}

// Whatever the bytes, the string is valid JSON on one line, means what Go's own
// decoder reads from them, and the text is valid UTF-8.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\xff\xc3\"\\\x00\u2028"))
	for i := range 256 {
		f.Add(bytes.Replace([]byte("0123456789abcdef"), []byte{'0' + byte(i%8)}, []byte{byte(i)}, 1))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		text := AppendJSON(nil, in)
		var got string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%q became %q: %v", in, text, err)
		}
		if bytes.ContainsAny(text, "\n\r") {
			t.Fatalf("%q became several lines: %q", in, text)
		}
		want := string([]rune(string(in)))
		if got != want {
			t.Fatalf("%q reads as %q, want %q", in, got, want)
		}
		plain := AppendUTF8(nil, in)
		if !utf8.Valid(plain) || string(plain) != want {
			t.Fatalf("%q became %q, want %q", in, plain, want)
		}
	})
}

// Neither a line nor a name is copied but to where it goes.
func TestAppendAllocates(t *testing.T) {
	line := bytes.Repeat([]byte("a \"line\" \xff"), 100)
	name := string(line)
	dst := make([]byte, 0, 8<<10)
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendJSON(dst[:0], line)
		dst = AppendJSON(dst[:0], name)
		dst = AppendUTF8(dst[:0], line)
		dst = AppendUTF8(dst[:0], name)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	line := []byte(`10.0.0.7 - - [21/Nov/2026:10:00:00 +0000] "GET /index.html HTTP/1.1" 200 5316 "-" "Mozilla/5.0"`)
	var dst []byte
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendJSON(dst[:0], line)
	}
}
