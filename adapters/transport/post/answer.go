package post

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answer is what a server said to a request.
type Answer struct {
	Status int
	Header http.Header
	// Body is the beginning of the answer's body, at most maxAnswer bytes. It is
	// valid until the judge returns.
	Body []byte
	// Lines is how many records the request carried.
	Lines int
}

// Verdict is what an answer means for the records of its request. The zero
// value says that all are delivered.
type Verdict struct {
	// Retry says that all are to be sent again, because of Err.
	Retry bool
	// Split says that they are to be sent again in halves, and one alone is to be
	// given up, because of Err: without a Reason there are too many bytes for one
	// request, which later bodies heed; with one, some of them are refused.
	Split bool
	// Rejected is how many are given up for good, with Reason, a word for a
	// metric's label, because of Err.
	Rejected int
	Reason   string
	Err      error
}

// Judge finds out what an answer means. It may be called by several goroutines
// at the same time.
type Judge func(a *Answer) Verdict

// JudgeStatus is the Judge that goes by the status alone: 2xx is delivered; 408,
// 425, 429, 5xx and 3xx, for redirects are not followed, are to be sent again;
// 413 is to be split; and any other is given up with a reason such as http_400.
func JudgeStatus(a *Answer) Verdict {
	switch s := a.Status; {
	case s >= 200 && s < 300:
		return Verdict{}
	case s == http.StatusRequestEntityTooLarge:
		return Verdict{Split: true, Err: a.Error()}
	case s < 200, s >= 500, s >= 300 && s < 400, s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests:
		return Verdict{Retry: true, Err: a.Error()}
	default:
		return a.Refused()
	}
}

// Refused is the Verdict that all records are given up because of the status.
func (a *Answer) Refused() Verdict {
	return Verdict{Rejected: a.Lines, Reason: "http_" + strconv.Itoa(a.Status), Err: a.Error()}
}

// Error returns an error that shows the status and the beginning of the text.
func (a *Answer) Error() error {
	if a.Status >= 300 && a.Status < 400 {
		return fmt.Errorf("the server answered %s: redirects are not followed; the route has to name the new address itself", a.status())
	}
	return a.Errorf(string(a.Body))
}

// Errorf returns an error that shows the status and the beginning of text.
func (a *Answer) Errorf(text string) error {
	const shown = 300
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\ufffd"), func(r rune) bool {
		return r <= ' ' || r == 0x7f
	}), " ")
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	if text == "" {
		return fmt.Errorf("the server answered %s", a.status())
	}
	return fmt.Errorf("the server answered %s: %s", a.status(), text)
}

// status returns the status as a person reads it.
func (a *Answer) status() string {
	return strings.TrimSpace(strconv.Itoa(a.Status) + " " + http.StatusText(a.Status))
}

// maxPause bounds how long a server can have a route wait.
const maxPause = time.Minute

// retryAfter reads how long a server wants to be left alone: a number of seconds
// or a date (RFC 9110, section 10.2.3). What cannot be read is no time at all.
func retryAfter(value string, now time.Time) time.Duration {
	if value = strings.TrimSpace(value); value == "" {
		return 0
	}
	var pause time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		pause = at.Sub(now)
	}
	return min(max(pause, 0), maxPause)
}
