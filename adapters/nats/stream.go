package nats

import (
	"context"
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
)

// makeStream makes the stream unless there is one of its name.
func makeStream(ctx context.Context, conn *natsgo.Conn, s *settings) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.DialTimeout)
	defer cancel()
	js, err := conn.JetStream()
	if err != nil {
		return fmt.Errorf("making the stream %q: %w", s.stream.Name, err)
	}
	_, err = js.StreamInfo(s.stream.Name, natsgo.Context(ctx))
	if errors.Is(err, natsgo.ErrStreamNotFound) {
		_, err = js.AddStream(s.stream, natsgo.Context(ctx))
	}
	// Another agent may have been faster.
	if err != nil && !errors.Is(err, natsgo.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("making the stream %q: %w", s.stream.Name, err)
	}
	return nil
}
