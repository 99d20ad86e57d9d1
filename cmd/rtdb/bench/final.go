package bench

import "encoding/json"

// A finalState is the state of a key after its last write.
type finalState struct {
	sequence uint64 // number of the last write; 0 if the key was not written
	version  uint64
	unknown  bool // the server did not answer the publisher that read the key back
}

// readBack reads the keys that were written, and waits for the replies. They must hold
// the last value that this publisher wrote.
func (p *publisher) readBack() {
	var written []int
	p.mu.Lock()
	p.finals = make([]finalState, len(p.keys))
	for i, sequence := range p.sequences {
		if sequence > 0 {
			p.finals[i] = finalState{sequence: sequence, unknown: true}
			written = append(written, i)
		}
	}
	p.unanswered = len(written)
	p.mu.Unlock()
	if len(written) == 0 {
		return
	}
	for _, i := range written {
		if p.writeJSON(map[string]any{"action": "get", "key": p.run.plan.keyName(p.keys[i]), "id": i}) != nil {
			break
		}
	}
	p.await(p.keysRead)
}

// handleFinal handles the reply to a get of readBack. Its id is the index of the key.
func (p *publisher) handleFinal(id uint64, r reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var value string
	if id >= uint64(len(p.finals)) || json.Unmarshal(r.Value, &value) != nil {
		p.violations.add("a publisher read an unexpected value of %q: %.200q", r.Key, r.Value)
		return
	}
	f := &p.finals[id]
	if sequence, ok := p.run.codec.parseSequence(value); !ok || sequence != f.sequence {
		p.violations.add("the server holds write %d of key %d, but the last one was write %d", sequence, p.keys[id], f.sequence)
	}
	f.version, f.unknown = r.Version, false
	if p.unanswered--; p.unanswered == 0 {
		close(p.keysRead)
	}
}

// copyFinals copies the final states of this publisher's keys to all. The index of all
// is the number of the key.
func (p *publisher) copyFinals(all []finalState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.finals {
		all[p.keys[i]] = f
	}
}
