package transport

import (
	"errors"
	"slices"

	"rtdb/keyspace"
)

// maxItems is how many writes a request may make, and how many keys a page of
// a listing may have.
const maxItems = 1000

// A written is what the body of a write says, or an item of a batch.
type written struct {
	key, value, ttl, ifVersion field
	fault                      error // an unknown field
}

// parseWritten reads an object of the fields that are named. inValue says that
// what is wrong is wrong in the value.
func parseWritten(data []byte, maxValueBytes int, fields ...string) (w written, inValue bool, err error) {
	s := scanner{data: data}
	err = s.document(func(name string) error {
		inValue = name == "value"
		v, err := s.value()
		if err != nil {
			return err
		}
		inValue = false
		known := slices.Contains(fields, name)
		switch {
		case !known && w.fault == nil:
			w.fault = refuse(codeInvalidRequest, "unknown field %s", quoted(name))
		case !known:
		case name == "key":
			w.key = nameField("key", v)
		case name == "value":
			w.value = valueField(v, maxValueBytes)
		case name == "ttl":
			w.ttl = ttlField(v)
		case name == "ifVersion":
			w.ifVersion = versionField("ifVersion", v)
		}
		return nil
	})
	return w, inValue, err
}

// change returns the change that is asked for.
func (w *written) change() (c keyspace.Change, err error) {
	if err := errors.Join(w.fault, w.key.err, w.ttl.err, w.ifVersion.err); err != nil {
		return c, err
	}
	if !w.value.present {
		return c, refuse(codeInvalidRequest, `there is no "value"`)
	}
	c = keyspace.Change{Value: w.value.raw, TTL: w.ttl.ttl}
	if w.ifVersion.present {
		c.If = atVersion(w.ifVersion.number)
	}
	return c, w.value.err
}

// parseWrite reads the body of a write: an object that has a value, and may
// have the other fields that are named.
func parseWrite(body []byte, maxValueBytes int, others ...string) (keyspace.Change, error) {
	w, inValue, err := parseWritten(body, maxValueBytes, append(others, "value")...)
	switch {
	case err != nil && inValue:
		return keyspace.Change{}, refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return keyspace.Change{}, refuse(codeInvalidRequest, `the body is not a JSON object {"value":…}: %v`, err)
	}
	if w.fault == nil && !w.value.present {
		return keyspace.Change{}, refuse(codeInvalidRequest, `the body has no "value": it is {"value":…}`)
	}
	return w.change()
}

// parsePatch reads a body that is a value and nothing else.
func parsePatch(body []byte, maxValueBytes int) ([]byte, error) {
	s := scanner{data: body}
	s.space()
	v, err := s.value()
	if err == nil {
		s.space()
		if s.pos < len(s.data) {
			err = s.unexpected("the end")
		}
	}
	if err != nil {
		return nil, refuse(codeInvalidValue, "the body is not a JSON Merge Patch, which is any JSON value: %v", err)
	}
	f := valueField(v, maxValueBytes)
	return f.raw, f.err
}

// An item is one write of a batch: a change of a key, or why it is none.
type item struct {
	key    field
	change keyspace.Change
	err    error
}

// parseBatch reads the body of many writes, {"items":[…]}. What is wrong with
// one item is that item's; only what is no batch at all is an error.
func parseBatch(body []byte, maxValueBytes int) ([]item, error) {
	var items []item
	var fault, unknown error // of the items, and of another field
	present := false
	s := scanner{data: body}
	err := s.document(func(name string) error {
		if name != "items" {
			if unknown == nil {
				unknown = refuse(codeInvalidRequest, `unknown field %s: the body is {"items":[…]}`, quoted(name))
			}
			_, err := s.value()
			return err
		}
		items, present, fault = nil, true, nil // the last counts
		if s.peek() != '[' {
			fault = refuse(codeInvalidRequest, "items is not an array")
			_, err := s.value()
			return err
		}
		return s.array(func() error {
			v, err := s.value()
			if err != nil {
				return err
			}
			if len(items) == maxItems {
				fault = refuse(codeTooLarge, "there are more than %d items", maxItems)
				return nil
			}
			items = append(items, parseItem(v, maxValueBytes))
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, refuse(codeInvalidRequest, `the body is not a JSON object {"items":[…]}: %v`, err)
	case unknown != nil:
		return nil, unknown
	case fault != nil:
		return nil, fault
	case !present:
		return nil, refuse(codeInvalidRequest, `the body has no "items": it is {"items":[…]}`)
	}
	return items, nil
}

func parseItem(v rawValue, maxValueBytes int) (x item) {
	if !v.isObject() {
		x.err = refuse(codeInvalidRequest, "the item is not an object")
		return x
	}
	w, _, err := parseWritten(v.text, maxValueBytes, "key", "value", "ttl", "ifVersion")
	if err == nil {
		x.key = w.key
		x.change, err = w.change()
	}
	if err == nil && !w.key.present {
		err = refuse(codeInvalidRequest, `there is no "key"`)
	}
	x.err = err
	return x
}
