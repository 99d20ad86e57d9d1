package transport

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects in a value may be nested.
const maxDepth = 64

// A field is what a request says under one name. Where a name comes more than
// once the last counts, what was wrong with the others included.
type field struct {
	present bool
	raw     []byte // as it stands in the request
	text    string // of a string
	err     error  // that the field is no good for what it is there for
}

// A request is one text message of a client.
type request struct {
	id     field // raw is echoed
	action field
	key    field
	topic  field
	value  field // raw is the value as it is kept
	fault  error // that is none of a field: an unknown name
}

// parseRequest reads a message. It reads on after what is wrong with one
// field, for the reply to carry the id; only where the text is no JSON object
// does it stop, and returns the error with what it had read by then.
func parseRequest(data []byte, maxValueBytes int) (r request, err error) {
	inValue := false
	s := scanner{data: data}
	err = s.document(func(name string) error {
		inValue = name == "value"
		v, err := s.value()
		if err != nil {
			return err
		}
		inValue = false
		switch name {
		case "id":
			r.id = idField(v)
		case "action":
			r.action = stringField("action", v)
		case "key":
			r.key = nameField("key", v)
		case "topic":
			r.topic = nameField("topic", v)
		case "value":
			r.value = valueField(v, maxValueBytes)
		default:
			if r.fault == nil && !v.isNull() { // null is absent
				r.fault = refuse(codeInvalidRequest, "unknown field %s", quoted(name))
			}
		}
		return nil
	})
	switch {
	case err != nil && inValue:
		return r, refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return r, refuse(codeInvalidRequest, "the message is not a JSON object: %v", err)
	}
	return r, nil
}

// parseWrite reads the body of a write, {"value":v}, and returns the value as
// it is kept.
func parseWrite(body []byte, maxValueBytes int) ([]byte, error) {
	var value field
	var fault error
	inValue := false
	s := scanner{data: body}
	err := s.document(func(name string) error {
		inValue = name == "value"
		v, err := s.value()
		if err != nil {
			return err
		}
		if inValue {
			value = valueField(v, maxValueBytes)
		} else if fault == nil {
			fault = refuse(codeInvalidRequest, `unknown field %s: the body is {"value":…}`, quoted(name))
		}
		inValue = false
		return nil
	})
	switch {
	case err != nil && inValue:
		return nil, refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return nil, refuse(codeInvalidRequest, `the body is not a JSON object {"value":…}: %v`, err)
	case fault != nil:
		return nil, fault
	case !value.present:
		return nil, refuse(codeInvalidRequest, `the body has no "value": it is {"value":…}`)
	case value.err != nil:
		return nil, value.err
	}
	return value.raw, nil
}

func idField(v rawValue) field {
	switch {
	case v.isNull():
		return field{}
	case v.isString(), v.isNumber():
		return field{present: true, raw: v.compact()}
	}
	return field{err: refuse(codeInvalidRequest, "the id is neither a string nor a number")}
}

func stringField(what string, v rawValue) field {
	switch {
	case v.isNull():
		return field{}
	case v.isString():
		return field{present: true, text: decodeString(v.text)}
	}
	return field{err: refuse(codeInvalidRequest, "the %s is not a string", what)}
}

func nameField(what string, v rawValue) field {
	f := stringField(what, v)
	if f.present && loneSurrogate(v.text) {
		f = field{err: refuse(codeInvalidName, "the %s has half of a surrogate pair", what)}
	}
	return f
}

func valueField(v rawValue, maxBytes int) field {
	f := field{present: true}
	if v.depth > maxDepth {
		f.err = refuse(codeInvalidValue, "the value is nested %d deep, %d at most are allowed", v.depth, maxDepth)
		return f
	}
	f.raw = v.compact()
	if len(f.raw) > maxBytes {
		f.err = refuse(codeTooLarge, "the value is %d bytes long, %d at most are allowed", len(f.raw), maxBytes)
		f.raw = nil
	}
	return f
}

// check returns the first thing that is wrong with a request whatever its
// action. What is wrong with a value matters only to those who want one.
func (r *request) check() error {
	bothNamed := r.key.present && r.topic.present
	switch err := errors.Join(r.id.err, r.action.err, r.fault, r.key.err, r.topic.err); {
	case err != nil:
		return err
	case bothNamed:
		return refuse(codeInvalidRequest, "the request has both a key and a topic")
	case !r.action.present:
		return refuse(codeInvalidRequest, "the request has no action")
	}
	return nil
}

// wantKey returns the key of a request that must have one.
func (r *request) wantKey() (string, error) {
	if !r.key.present {
		return "", refuse(codeInvalidRequest, "%s needs a key", r.action.text)
	}
	return r.key.text, nil
}

// wantValue returns the value of a request that must have one.
func (r *request) wantValue() ([]byte, error) {
	switch {
	case !r.value.present:
		return nil, refuse(codeInvalidRequest, "%s needs a value", r.action.text)
	case r.value.err != nil:
		return nil, r.value.err
	}
	return r.value.raw, nil
}

// quoted returns what a client sent for use in a message to it: quoted, and
// not at any length.
func quoted(s string) string {
	const most = 64
	if len(s) > most {
		cut := most
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		return fmt.Sprintf("%q…", s[:cut])
	}
	return fmt.Sprintf("%q", s)
}
