package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters"
)

// absences knows the subjects on which nobody has answered. That alone is no
// reason to give lines up: so it is while a server restarts or a stream's servers
// elect their leader. It takes JetStream's own word that none of its streams takes
// the subject, some time after the first message went unanswered. A subject that a
// stream has taken is no such one ever after: that stream may be another account's,
// or of a server that is cut off, of which JetStream here knows nothing.
type absences struct {
	// patience is how long a subject has to be without an answer before JetStream
	// is asked, and for how long its word holds.
	patience time.Duration

	mu sync.Mutex
	// All below is guarded by mu. subjects are those without an answer, taken those
	// that a stream has taken.
	subjects map[string]absence
	taken    map[string]bool
}

func newAbsences(patience time.Duration) *absences {
	return &absences{patience: patience, subjects: make(map[string]absence), taken: make(map[string]bool)}
}

// stored takes note that a stream has taken a message of a subject.
func (a *absences) stored(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[subject] {
		return
	}
	delete(a.subjects, subject)
	if len(a.taken) >= mostSubjects {
		clear(a.taken)
	}
	a.taken[subject] = true
}

// absence is of one subject.
type absence struct {
	// first and last are when nobody answered, until is how long JetStream's word
	// holds.
	first, last, until time.Time
}

// forgetAfter is how long a subject is remembered on which nothing is sent: longer
// than a route waits before it tries again.
const forgetAfter = 5 * time.Minute

// mostSubjects is how many subjects are remembered, of each kind.
const mostSubjects = 4096

// note takes note that nobody answers on a subject. It reports whether it is
// certain that no stream takes it.
func (a *absences) note(subject string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken[subject] {
		return false
	}
	s, known := a.subjects[subject]
	if known && now.Before(s.until) {
		return true
	}
	if now.Sub(s.last) > forgetAfter {
		s = absence{first: now}
	}
	if s.last = now; known || len(a.subjects) < mostSubjects {
		a.subjects[subject] = s
	}
	return false
}

// due returns the subjects of which JetStream is to be asked, and forgets old ones.
func (a *absences) due(now time.Time) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for subject, s := range a.subjects {
		switch {
		case now.Sub(s.last) > forgetAfter:
			delete(a.subjects, subject)
		case now.Sub(s.first) >= a.patience && !now.Before(s.until):
			list = append(list, subject)
		}
	}
	return list
}

// answer takes note of JetStream's word on a subject.
func (a *absences) answer(subject string, taken bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, known := a.subjects[subject]
	if taken {
		delete(a.subjects, subject)
	} else if known {
		s.until = now.Add(a.patience)
		a.subjects[subject] = s
	}
}

// askTimeout is how long JetStream may take to answer. To who may not ask it says
// nothing, and lines wait meanwhile.
const askTimeout = 2 * time.Second

// ask asks JetStream of the subjects that are due. Where it does not answer, or may
// not be asked, nothing is certain and their lines wait.
func (a *absences) ask(ctx context.Context, conn *natsgo.Conn) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, subject := range a.due(time.Now()) {
		question, err := json.Marshal(map[string]string{"subject": subject})
		if err != nil {
			return
		}
		// https://docs.nats.io/reference/reference-protocols/nats_api_reference
		m, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.NAMES", question)
		if err != nil {
			return
		}
		var names struct {
			Error   json.RawMessage `json:"error"`
			Total   *int            `json:"total"`
			Streams []string        `json:"streams"`
		}
		if json.Unmarshal(m.Data, &names) != nil || names.Error != nil || names.Total == nil {
			return
		}
		a.answer(subject, *names.Total > 0 || len(names.Streams) > 0, time.Now())
	}
}

// noStream makes the reject of a message whose subject no stream takes.
func noStream(subject string) *adapters.Reject {
	return &adapters.Reject{Reason: "no_stream", Err: fmt.Errorf("subject %q: %w", subject, errNoStream)}
}
