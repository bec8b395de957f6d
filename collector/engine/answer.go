package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/docker/docker/api/types/container"
	"github.com/klauspost/compress/flate"

	"tallyman/collector/record"
)

// packer keeps the engine's answers about containers packed. Its zero value is
// ready.
type packer struct {
	// dictionary is the first answer there was. Packing begins with it as what was
	// packed before, so that only what differs takes room: all answers have most of
	// their keys in common, and containers of one image or project much more. An
	// answer of some 7 kB takes 200 bytes to 1 kB, and ten times 7 kB as Go's
	// structs.
	dictionary atomic.Pointer[[]byte]
}

// dictionaryMax is how much of a dictionary the packing looks at, its end.
const dictionaryMax = 8 << 10

// pack keeps an answer. Unpacked it is a container.InspectResponse.
func (p *packer) pack(answer []byte) *record.Answer {
	if p.dictionary.Load() == nil {
		first := bytes.Clone(answer[max(0, len(answer)-dictionaryMax):])
		p.dictionary.CompareAndSwap(nil, &first)
	}
	dictionary := p.dictionary.Load()
	var buf bytes.Buffer
	_ = flate.StatelessDeflate(&buf, answer, true, *dictionary) // A buffer takes everything.
	packed := bytes.Clone(buf.Bytes())
	return record.NewAnswer(func() any {
		var response container.InspectResponse
		if err := json.NewDecoder(flate.NewReaderDict(bytes.NewReader(packed), *dictionary)).Decode(&response); err != nil {
			panic(fmt.Sprintf("an answer of the engine that was read before cannot be read again: %v", err))
		}
		return response
	})
}
