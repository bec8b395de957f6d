package loki

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"tallyman/adapters/transport/post"
)

// counts finds in the text of a 400 how many lines Loki has left out: the
// distributor says how many errors were alike, the ingester how many of a
// stream's lines it has ignored.
var counts = regexp.MustCompile(`(\d+) errors like:|total ignored: (\d+) out of \d+`)

// reasons are the words for what the text of a 400 says.
var reasons = []struct{ text, reason string }{
	{"too far behind", "too_far_behind"},
	{"out of order", "out_of_order"},
	{"timestamp too old", "too_old"},
	{"timestamp too new", "too_new"},
	{"Max entry size", "too_long"},
}

// judge goes by the status, except that a 400 may be about some of the lines
// only: Loki then has stored all others. It does not say which ones it has left
// out, so as many are counted as it names, and all where it names no number.
func judge(a *post.Answer) post.Verdict {
	v := post.JudgeStatus(a)
	if a.Status != http.StatusBadRequest {
		return v
	}
	text := string(a.Body)
	for _, r := range reasons {
		if strings.Contains(text, r.text) {
			v.Reason = r.reason
			break
		}
	}
	refused := 0
	for _, match := range counts.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(match[1] + match[2])
		if err != nil || n > a.Lines {
			n = a.Lines
		}
		refused = min(refused+n, a.Lines)
	}
	if refused > 0 {
		v.Rejected = refused
	}
	return v
}
