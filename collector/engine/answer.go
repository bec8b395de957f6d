package engine

import (
	"bytes"
	_ "embed" // for example
	"encoding/json"
	"fmt"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/klauspost/compress/flate"

	"tallyman/collector/record"
)

// example is an answer about a container with what many of them have in common.
// Packing begins with it as what was packed before, so that only what differs
// takes room: an answer of some 6 kB takes 1 kB, and ten times that as Go's
// structs.
//
//go:embed example.json
var example []byte

// dictionary returns the example as the engine would write it, which is all that
// the packed answers of this process are written and read with.
var dictionary = sync.OnceValue(func() []byte {
	var compact bytes.Buffer
	if err := json.Compact(&compact, example); err != nil {
		panic(fmt.Sprintf("the example of an answer is not JSON: %v", err))
	}
	return compact.Bytes()
})

// pack keeps the engine's answer about a container packed. Unpacked it is a
// container.InspectResponse.
func pack(answer []byte) *record.Answer {
	var buf bytes.Buffer
	_ = flate.StatelessDeflate(&buf, answer, true, dictionary()) // A buffer takes everything.
	packed := bytes.Clone(buf.Bytes())
	return record.NewAnswer(func() any {
		var response container.InspectResponse
		if err := json.NewDecoder(flate.NewReaderDict(bytes.NewReader(packed), dictionary())).Decode(&response); err != nil {
			panic(fmt.Sprintf("an answer of the engine that was read before cannot be read again: %v", err))
		}
		return response
	})
}
