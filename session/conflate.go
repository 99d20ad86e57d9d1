package session

// conflateLocked puts an update in the place of an older update of its key that
// waits. It reports false if the message does not conflate, or no update of the key
// waits. It is called when the client is behind.
func (b *outbox) conflateLocked(m *Message) bool {
	if !m.conflates() {
		return false
	}
	if b.places == nil {
		b.beginConflationLocked()
	}
	number, ok := b.places[m.update.Target.Name]
	if ok {
		b.replaceLocked(&b.items[number-b.base], m)
	}
	return ok
}

// beginConflationLocked conflates the updates that wait one by one: it keeps the
// newest of each key, in the place of the oldest.
func (b *outbox) beginConflationLocked() {
	b.places = make(map[string]uint64)
	b.gaps = nil // the numbers of messages change
	first := int(max(b.fence, b.base+uint64(b.head)) - b.base)
	kept := first
	for i := first; i < len(b.items); i++ {
		m := &b.items[i]
		if m.conflates() {
			key := m.update.Target.Name
			if number, ok := b.places[key]; ok {
				b.replaceLocked(&b.items[number-b.base], m)
				b.updates--
				b.countLocked(m, -int64(len(m.Text())))
				continue
			}
			b.places[key] = b.base + uint64(kept)
		}
		b.items[kept] = *m
		kept++
	}
	clear(b.items[kept:])
	b.items = b.items[:kept]
}

// replaceLocked puts a newer update in the place of one that waits.
func (b *outbox) replaceLocked(old, newer *Message) {
	b.countLocked(old, int64(len(newer.Text())-len(old.Text())))
	old.replaceWith(newer)
	b.conflated++
}
