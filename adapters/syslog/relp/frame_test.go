package relp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestParseFrame(t *testing.T) {
	f := func(in string, txnr uint32, command, data string, length int) {
		t.Helper()
		got, n, err := parseFrame([]byte(in))
		if err != nil || n != length {
			t.Fatalf("%q: length %d, %v; want %d", in, n, err, length)
		}
		if got.txnr != txnr || string(got.command) != command || string(got.data) != data {
			t.Errorf("%q is read as %d %q %q", in, got.txnr, got.command, got.data)
		}
	}
	f("1 rsp 6 200 OK\n", 1, "rsp", "200 OK", 15)
	f("2 rsp 6 200 OK\n3 rsp", 2, "rsp", "200 OK", 15)
	f("2 rsp 8 200 \n \nx\n", 2, "rsp", "200 \n \nx", 17)
	f("0 serverclose 0\n", 0, "serverclose", "", 16)
	f("999999999 rsp 0 \n", 999999999, "rsp", "", 17)
	whole := "999999999 " + strings.Repeat("a", 32) + " 3 a\nb\n"
	f(whole, 999999999, strings.Repeat("a", 32), "a\nb", len(whole))
	for i := range whole {
		f(whole[:i], 0, "", "", 0)
	}
}

func TestParseHostileFrame(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		_, n, err := parseFrame([]byte(in))
		if n != 0 || err == nil || err.Error() != want {
			t.Errorf("%q: length %d, %v; want %s", in, n, err, want)
		}
	}
	f("\n", `'\n' where a number is due`)
	f("-1 rsp 0\n", `'-' where a number is due`)
	f("1234567890", "a number of more than 9 digits")
	f("1\nrsp", "a frame without a command")
	f("1  rsp", `' ' within a command`)
	f("1 r2", `'2' within a command`)
	f("1 "+strings.Repeat("a", 33), "a command of more than 32 letters")
	f("1 rsp x", `'x' where a number is due`)
	f("1 rsp 8193 ", "a frame of 8193 bytes, where at most 8192 are taken")
	f("1 rsp 999999999 ", "a frame of 999999999 bytes, where at most 8192 are taken")
	f("1 rsp 6\n200 OK\n", "a frame without its data")
	f("1 rsp 6 200 OK ", `a frame that ends with ' ' in place of a newline`)
	f("1 rsp 0 x", `a frame that ends with 'x' in place of a newline`)
}

func TestParseResponse(t *testing.T) {
	f := func(in string, code int, text, data string) {
		t.Helper()
		r, err := parseResponse([]byte(in))
		if err != nil || r.code != code || string(r.text) != text || string(r.data) != data {
			t.Errorf("%q is read as %d %q %q, %v", in, r.code, r.text, r.data, err)
		}
	}
	f("200", 200, "", "")
	f("200 OK", 200, "OK", "")
	f("500 no such thing\na=b\nc", 500, "no such thing", "a=b\nc")
	f("200\na", 200, "", "a")
	for _, in := range []string{"", " OK", "20 OK", "2000", "2x0 OK", "\n200", strings.Repeat("x", 5000)} {
		if _, err := parseResponse([]byte(in)); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.20q: %v", in, err)
		}
	}
}

// What is written is read as it was, and the numbers go round as the protocol
// has it.
func TestNumbers(t *testing.T) {
	f := func(seq uint64, want uint32) {
		t.Helper()
		if got := txnr(seq); got != want {
			t.Errorf("message %d has number %d, want %d", seq, got, want)
		}
		data := []byte("a\nb")
		got, n, err := parseFrame(appendFrame(nil, txnr(seq), commandSyslog, data))
		if err != nil || n == 0 || got.txnr != want || string(got.command) != commandSyslog || !bytes.Equal(got.data, data) {
			t.Errorf("message %d comes back as %v, %v", seq, got, err)
		}
	}
	f(0, 2)
	f(maxTxnr-2, maxTxnr)
	f(maxTxnr-1, 1)
	f(maxTxnr, 2)
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte("1 rsp 6 200 OK\n"))
	f.Add([]byte("0 serverclose 0\n"))
	f.Add([]byte("9 rsp 999999999 "))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, n, err := parseFrame(in)
		if n < 0 || n > len(in) || len(got.data) > maxData || err != nil && n != 0 {
			t.Fatalf("length %d of %d, %d bytes of data, %v", n, len(in), len(got.data), err)
		}
		if n == 0 {
			if err == nil && len(in) >= readBuffer {
				t.Fatalf("%d bytes are no frame yet", len(in))
			}
			return
		}
		_, _ = parseResponse(got.data) // It must not panic.
		again := appendFrame(nil, got.txnr, string(got.command), got.data)
		back, _, err := parseFrame(again)
		if err != nil || fmt.Sprint(back) != fmt.Sprint(got) {
			t.Fatalf("%q comes back as %v, %v", again, back, err)
		}
		for i := range n {
			if _, short, err := parseFrame(in[:i]); short != 0 || err != nil {
				t.Fatalf("the first %d bytes of %q: length %d, %v", i, in[:n], short, err)
			}
		}
	})
}
