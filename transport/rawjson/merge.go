package rawjson

import "bytes"

// A MergePatch is a JSON Merge Patch (RFC 7396), read once. Applying it does not
// change it.
//
// The RFC speaks of values and not of how they are written. Here, members that the
// patch does not touch keep every byte and their place. A member that the patch replaces keeps its
// place and the spelling of its name. New members come last, in the order and the
// spelling of the patch.
//
// Two names are the same if they decode to the same text. A name with a lone surrogate
// stands for no text: it is the same only as a name of the same bytes.
//
// If an object has several members of one name, the last one counts. In a patch it
// takes the place of the first. In a target the others are removed if the patch
// touches the name; otherwise they stay.
type MergePatch struct {
	text    []byte         // compact
	members []patchMember  // if the patch is an object
	places  map[string]int // the index in members, by nameKey
}

type patchMember struct {
	name  []byte // in its quotes
	patch MergePatch
}

// ParseMergePatch reads a patch from text, a valid JSON value as Value.Compact returns
// it. The text must not be changed afterwards.
func ParseMergePatch(text []byte) MergePatch {
	s := scanner{data: text}
	return s.mergePatch()
}

func (s *scanner) mergePatch() MergePatch {
	start := s.pos
	var p MergePatch
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

func (p *MergePatch) set(name []byte, patch MergePatch) {
	key := nameKey(name)
	if i, ok := p.places[key]; ok {
		p.members[i] = patchMember{name, patch}
		return
	}
	if p.places == nil { // most patches of members are not objects and need no map
		p.places = make(map[string]int)
	}
	p.places[key] = len(p.members)
	p.members = append(p.members, patchMember{name, patch})
}

// place returns the index in members of a name in the target.
func (p MergePatch) place(name []byte) (i int, ok bool) {
	if bytes.IndexByte(name, '\\') < 0 {
		i, ok = p.places[string(name[1:len(name)-1])] // the name is its own key, and is not copied
	} else {
		i, ok = p.places[nameKey(name)]
	}
	return i, ok
}

func (p MergePatch) isObject() bool { return isObject(p.text) }

// removes reports whether the patch removes its member.
func (p MergePatch) removes() bool { return p.text[0] == 'n' }

// Apply returns the target as the patch changes it, in a slice of its own. The target
// must be valid and compact, or nil if there is no value yet. The result is valid and
// compact, but it may be longer, or nested deeper, than a value may be.
//
// The time is linear in the length of both. Apply first reads the members that the
// patch touches, and then writes: only then it is known which of several members of one
// name counts. If it wrote at once, each of thousands of members of one name would cost
// a copy of the patch's value.
func (p MergePatch) Apply(target []byte) []byte {
	var v targetValue
	if len(target) > 0 && p.isObject() {
		s := scanner{data: target}
		v = s.readTarget(p)
	}
	out := p.appendTo(make([]byte, 0, v.end+len(p.text)), target, v)
	if cap(out)-len(out) > len(out)/8 {
		out = bytes.Clone(out) // without spare capacity, because values are kept
	}
	return out
}

// A targetValue is the place of a value in the target. The zero value stands for a
// value that is not there.
type targetValue struct {
	start, end int
	touched    []touchedMember // if the value and its patch are objects
}

// A touchedMember is a member of the target that the patch has, too.
type touchedMember struct {
	name  int // where its name starts
	place int // its index in the patch's members
	value targetValue
}

// readTarget reads the value that begins here. p is its patch.
func (s *scanner) readTarget(p MergePatch) targetValue {
	v := targetValue{start: s.pos}
	if s.peek() == '{' && len(p.members) > 0 {
		must(s.object(func(name []byte) error {
			start := s.pos - len(name) - len(":")
			if i, ok := p.place(name); ok {
				v.touched = append(v.touched, touchedMember{start, i, s.readTarget(p.members[i].patch)})
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

// appendTo appends the target's value v as p changes it.
func (p MergePatch) appendTo(out, target []byte, v targetValue) []byte {
	if !p.isObject() {
		return append(out, p.text...)
	}
	at, end := 0, 0 // the part of the target that is not written yet
	if isObject(target[v.start:v.end]) {
		at, end = v.start+1, v.end-1
	}
	out = append(out, '{')
	last := make([]int, len(p.members)) // 1 + the index in v.touched of the member that counts; 0 if there is none
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

// appendMembers appends members, or the name of one, to an object that is not closed
// yet. The commas around them belong to the object that they come from.
func appendMembers(out, members []byte) []byte {
	members = bytes.Trim(members, ",")
	if len(members) > 0 && out[len(out)-1] != '{' { // no member ends with a brace that opens
		out = append(out, ',')
	}
	return append(out, members...)
}

func isObject(text []byte) bool { return len(text) > 0 && text[0] == '{' }

// nameKey returns the same key for names that are the same.
func nameKey(name []byte) string {
	if hasLoneSurrogate(name) { // decoded, it could equal another name
		return "\xff" + string(name) // no decoded name has this byte
	}
	return decode(name)
}

// must panics if a text that was valid before does not scan.
func must(err error) {
	if err != nil {
		panic("rawjson: valid JSON does not scan: " + err.Error())
	}
}
