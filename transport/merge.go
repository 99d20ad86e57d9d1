package transport

import "bytes"

// A mergePatch is a JSON Merge Patch (RFC 7396), read once. It is not changed
// by being applied.
//
// The RFC speaks of values, and leaves to us how they are written: what the
// patch does not touch keeps every byte and its place, a member that it
// replaces keeps its place and the spelling of its name, and new members come
// last, in the order and the spelling of the patch.
//
// Names are the same when they are decoded to the same text. A name with half
// of a surrogate pair stands for no text: it is the same only as one that is
// spelled with the same bytes.
//
// Of members of one name the last counts. In a patch it takes the place of the
// first. In a target the others go away when the patch touches the name, and
// stay when it does not.
type mergePatch struct {
	text    []byte         // as a value is kept
	members []patchMember  // of a patch that is an object
	places  map[string]int // in members, by nameKey
}

type patchMember struct {
	name  []byte // in its quotes
	patch mergePatch
}

// parseMergePatch reads a patch from text, a valid JSON value as
// rawValue.compact returns it, which must not change from then on.
func parseMergePatch(text []byte) mergePatch {
	s := scanner{data: text}
	return s.mergePatch()
}

func (s *scanner) mergePatch() mergePatch {
	start := s.pos
	var p mergePatch
	if s.peek() == '{' {
		must(s.object(func(name []byte) error {
			p.set(name, s.mergePatch())
			return nil
		}))
	} else {
		_, err := s.value()
		must(err)
	}
	p.text = s.data[start:s.pos]
	return p
}

func (p *mergePatch) set(name []byte, patch mergePatch) {
	key := nameKey(name)
	if i, ok := p.places[key]; ok {
		p.members[i] = patchMember{name, patch}
		return
	}
	if p.places == nil { // not made for the many patches that are no objects
		p.places = make(map[string]int)
	}
	p.places[key] = len(p.members)
	p.members = append(p.members, patchMember{name, patch})
}

// place returns where in members the one of a target's name is.
func (p mergePatch) place(name []byte) (i int, ok bool) {
	if bytes.IndexByte(name, '\\') < 0 {
		i, ok = p.places[string(name[1:len(name)-1])] // its own key, not copied
	} else {
		i, ok = p.places[nameKey(name)]
	}
	return i, ok
}

func (p mergePatch) isObject() bool { return isObject(p.text) }

// removes reports whether the member whose patch this is goes away.
func (p mergePatch) removes() bool { return rawValue{text: p.text}.isNull() }

// apply returns the target as the patch changes it, in bytes of its own. The
// target is valid and compact, or nil where there is no value yet. The result is
// valid and compact, but may be nested deeper or be longer than a value may be.
//
// Time is linear in the length of both, whatever they are: the target is read
// once for the members that the patch touches, and written only then, when it
// is known which of two members of one name counts. Written at once, thousands
// of one name would each cost a copy of what the patch has under it.
func (p mergePatch) apply(target []byte) []byte {
	var v targetValue
	if len(target) > 0 && p.isObject() {
		s := scanner{data: target}
		v = s.targetValue(p)
	}
	out := p.appendTo(make([]byte, 0, v.end+len(p.text)), target, v)
	if cap(out)-len(out) > len(out)/8 {
		out = bytes.Clone(out) // the value may be kept: not with room for what was replaced
	}
	return out
}

// A targetValue is where a value stands in the target. The zero is one that is
// not there.
type targetValue struct {
	start, end int
	touched    []touchedMember // of an object whose patch is one
}

// A touchedMember is one that the patch has too.
type touchedMember struct {
	name  int // where it starts
	place int // in the patch's members
	value targetValue
}

// targetValue reads the value that begins here, and that p is for.
func (s *scanner) targetValue(p mergePatch) targetValue {
	v := targetValue{start: s.pos}
	if s.peek() == '{' && len(p.members) > 0 {
		must(s.object(func(name []byte) error {
			start := s.pos - len(name) - len(":")
			if i, ok := p.place(name); ok {
				v.touched = append(v.touched, touchedMember{start, i, s.targetValue(p.members[i].patch)})
				return nil
			}
			_, err := s.value()
			return err
		}))
	} else {
		_, err := s.value()
		must(err)
	}
	v.end = s.pos
	return v
}

// appendTo appends what p makes of the target's value v.
func (p mergePatch) appendTo(out, target []byte, v targetValue) []byte {
	if !p.isObject() {
		return append(out, p.text...)
	}
	at, end := 0, 0 // what of the target is still to be written
	if isObject(target[v.start:v.end]) {
		at, end = v.start+1, v.end-1
	}
	out = append(out, '{')
	last := make([]int, len(p.members)) // which of v.touched counts, from 1
	for i, t := range v.touched {
		last[t.place] = i + 1
	}
	for i, t := range v.touched {
		out = appendMembers(out, target[at:t.name])
		at = t.value.end
		patch := p.members[t.place].patch
		if last[t.place] == i+1 && !patch.removes() {
			out = appendMembers(out, target[t.name:t.value.start]) // the name and its colon
			out = patch.appendTo(out, target, t.value)
		}
	}
	out = appendMembers(out, target[at:end])
	for i, m := range p.members {
		if last[i] == 0 && !m.patch.removes() {
			out = append(appendMembers(out, m.name), ':')
			out = m.patch.appendTo(out, nil, targetValue{})
		}
	}
	return append(out, '}')
}

// appendMembers appends members, or the name of one, to an open object. The
// commas around them are those of the object that they are from.
func appendMembers(out, members []byte) []byte {
	members = bytes.Trim(members, ",")
	if len(members) > 0 && out[len(out)-1] != '{' { // no member ends with one
		out = append(out, ',')
	}
	return append(out, members...)
}

func isObject(text []byte) bool { return len(text) > 0 && text[0] == '{' }

// nameKey returns what names that are the same have in common.
func nameKey(name []byte) string {
	if loneSurrogate(name) { // decoded, it could be that of another
		return "\xff" + string(name) // no name that can be decoded has this byte
	}
	return decodeString(name)
}

// must is for scanning what was scanned before.
func must(err error) {
	if err != nil {
		panic("transport: valid JSON does not scan: " + err.Error())
	}
}
