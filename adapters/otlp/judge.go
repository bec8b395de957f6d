package otlp

import (
	"fmt"
	"math"
	"net/http"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"tallyman/adapters/transport/post"
)

// The fields of ExportLogsServiceResponse, ExportLogsPartialSuccess and
// google.rpc.Status.
const (
	responsePartial = 1

	partialRejected = 1
	partialMessage  = 2

	statusMessage = 2
)

// judge goes by the OTLP specification, section "OTLP/HTTP Response": 429, 502,
// 503 and 504 are to be sent again and no other error is. A request of which the
// server has left out a part is not to be sent again either. A body that is too
// large is another request once it is split.
func judge(a *post.Answer) post.Verdict {
	switch s := a.Status; {
	case s >= 200 && s < 300:
		rejected, message := partialSuccess(a)
		if rejected == 0 {
			return post.Verdict{}
		}
		return post.Verdict{
			Rejected: rejected, Reason: "rejected",
			Err: fmt.Errorf("the server rejected %d of %d records: %w", rejected, a.Lines, a.Errorf(message)),
		}
	case s == http.StatusTooManyRequests, s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		return post.Verdict{Retry: true, Err: failure(a)}
	case s < 400 || s == http.StatusRequestEntityTooLarge:
		return post.JudgeStatus(a)
	default:
		v := a.Refused()
		v.Err = failure(a)
		return v
	}
}

// failure returns the error of an answer, whose body is a google.rpc.Status if it
// is protobuf.
func failure(a *post.Answer) error {
	if !isProtobuf(a) {
		return a.Error()
	}
	message := ""
	eachField(a.Body, func(number protowire.Number, value []byte, _ uint64) {
		if number == statusMessage {
			message = string(value)
		}
	})
	return a.Errorf(message)
}

func isProtobuf(a *post.Answer) bool {
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-protobuf")
}

// partialSuccess returns how many records a server did not take, and why.
func partialSuccess(a *post.Answer) (rejected int, message string) {
	if !isProtobuf(a) {
		return 0, ""
	}
	eachField(a.Body, func(number protowire.Number, value []byte, _ uint64) {
		if number != responsePartial {
			return
		}
		eachField(value, func(number protowire.Number, value []byte, n uint64) {
			switch {
			case number == partialRejected && n <= math.MaxInt64: // A negative number means nothing.
				rejected = int(min(n, uint64(a.Lines)))
			case number == partialMessage:
				message = string(value)
			}
		})
	})
	return rejected, message
}

// eachField calls f with the fields of a message: with the value of one of bytes,
// or with the number of a varint. What is damaged ends it.
func eachField(message []byte, f func(number protowire.Number, value []byte, n uint64)) {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return
		}
		message = message[length:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, length = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			n, length = protowire.ConsumeVarint(message)
		default:
			length = protowire.ConsumeFieldValue(number, kind, message)
		}
		if length < 0 {
			return
		}
		f(number, value, n)
		message = message[length:]
	}
}
