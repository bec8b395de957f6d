package httpstream

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// pingEvery is how often an idle WebSocket client is asked whether it is there.
const pingEvery = 30 * time.Second

// endOfObject ends each object of JSONObjects and nothing within one.
var endOfObject = []byte("\n}\n")

// ServeWebSocket is Serve for a client that asks for a WebSocket (RFC 6455): each
// object of a stream of JSONObjects is a text message. It answers the handshake,
// also one that is wrong. Whether the page that asks may do so is for the caller
// to check.
func (s *Stream) ServeWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // The origin is the caller's to check.
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return fmt.Errorf("accepting a WebSocket: %w", err)
	}
	defer conn.CloseNow()
	// The client has nothing to say; its closing ends ctx.
	ctx = conn.CloseRead(ctx)
	pinging := make(chan struct{})
	go func() {
		defer close(pinging)
		ping(ctx, conn)
	}()
	err = s.pump(ctx, func(chunk []byte) error { return writeObjects(ctx, conn, chunk) })
	if err == nil {
		// The client may have gone already.
		_ = conn.Close(websocket.StatusGoingAway, "")
	}
	_ = conn.CloseNow() // It ends ctx, and so ping.
	<-pinging
	return err
}

// ping ends the connection of a client that does not answer.
func ping(ctx context.Context, conn *websocket.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting, cancel := context.WithTimeout(ctx, writeTimeout)
		err := conn.Ping(waiting)
		cancel()
		if err != nil {
			_ = conn.CloseNow() // It is of no use any more.
			return
		}
	}
}

// writeObjects writes each object of a chunk as a message.
func writeObjects(ctx context.Context, conn *websocket.Conn, chunk []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for len(chunk) > 0 {
		end := bytes.Index(chunk, endOfObject)
		if end < 0 {
			break
		}
		end += len(endOfObject)
		if err := conn.Write(ctx, websocket.MessageText, chunk[:end]); err != nil {
			return fmt.Errorf("writing to the client: %w", err)
		}
		chunk = chunk[end:]
	}
	return nil
}
