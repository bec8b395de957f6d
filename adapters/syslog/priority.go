package syslog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// maxPriority is facility 23 with severity 7 (RFC 5424, section 6.2.1).
const maxPriority = 191

// The severities of the two streams, as the engine's own drivers have them.
const (
	severityErr  = 3
	severityInfo = 6
)

// facilities are the facilities' words, each at its number (RFC 5424, section
// 6.2.1, with the words of syslog.h and of RFC 5427 where that has none).
var facilities = [...]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "console", "cron2",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// severities are the severities' words, each at its number.
var severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// parseFacility reads a facility's word or number.
func parseFacility(text string) (int, error) {
	if i := slices.Index(facilities[:], text); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < len(facilities) {
		return n, nil
	}
	return 0, fmt.Errorf("it is a number from 0 to %d or one of %s", len(facilities)-1, strings.Join(facilities[:], ", "))
}

// The words of the option severity besides those of the severities.
const (
	severityByStream = "stream"
	severityByLevel  = "level"
)

// priority says how a record's severity is found.
type priority struct {
	facility int
	// fixed is the severity of all records, below zero for none.
	fixed int
	// byLevel asks the line first and the stream only when it names no level.
	byLevel bool
}

// newPriority reads the options facility and severity, whose words are checked.
func newPriority(facility, severity string) (priority, error) {
	n, err := parseFacility(facility)
	return priority{
		facility: n,
		fixed:    slices.Index(severities[:], severity),
		byLevel:  severity == severityByLevel,
	}, err
}

// severity returns the severity of r.
func (p *priority) severity(r *record.Record) int {
	if p.fixed >= 0 {
		return p.fixed
	}
	if p.byLevel {
		if l := level.Detect(r.Line); l != level.Unknown {
			return l.Severity()
		}
	}
	if r.Stream == record.Stderr {
		return severityErr
	}
	return severityInfo
}
