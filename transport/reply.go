package transport

import (
	"strconv"

	"rtdb/keyspace"
)

// An object is a JSON object in the making. Its methods append one member.
type object []byte

func (o object) name(name string) object {
	if len(o) == 0 {
		o = append(o, '{')
	} else {
		o = append(o, ',')
	}
	return append(keyspace.AppendString(o, name), ':')
}

func (o object) text(name, value string) object {
	return keyspace.AppendString(o.name(name), value)
}

func (o object) raw(name string, value []byte) object {
	return append(o.name(name), value...)
}

func (o object) number(name string, value uint64) object {
	return strconv.AppendUint(o.name(name), value, 10)
}

func (o object) texts(name string, values []string) object {
	o = append(o.name(name), '[')
	for i, v := range values {
		if i > 0 {
			o = append(o, ',')
		}
		o = keyspace.AppendString(o, v)
	}
	return append(o, ']')
}

func (o object) truth(name string) object { return append(o.name(name), "true"...) }

// mark appends where a subscription goes over to what comes.
func (o object) mark(m keyspace.Mark) object {
	o = o.number("revision", m.Revision)
	if m.Reset {
		o = o.truth("reset")
	}
	return o
}

// end returns the whole object.
func (o object) end() []byte {
	if len(o) == 0 {
		return []byte("{}")
	}
	return append(o, '}')
}

// entry appends a key, its value and its version.
func (o object) entry(e keyspace.Entry) object {
	return o.text("key", e.Key).raw("value", e.Value).number("version", e.Version)
}

// failure appends what a client is told of an error.
func (o object) failure(f *failure) object {
	e := object(nil).text("code", f.code).text("message", f.message)
	if f.current != nil {
		e = e.number("version", *f.current)
	}
	return o.raw("error", e.end())
}

// newReply returns the beginning of the answer to a request that went well.
// Without an id it is empty: such a reply is sent only where there is more to
// say.
func newReply(r *request) object {
	if !r.id.present {
		return nil
	}
	return object(nil).raw("id", r.id.raw).raw("ok", []byte("true"))
}

// newRefusal returns the answer to a request that failed.
func newRefusal(r *request, err error) []byte {
	f := explain(err)
	if r.id.present {
		return object(nil).raw("id", r.id.raw).failure(f).end()
	}
	o := object(nil).failure(f)
	if r.action.present {
		o = o.text("action", r.action.text)
	}
	if r.key.present {
		o = o.text("key", r.key.text)
	}
	if r.topic.present {
		o = o.text("topic", r.topic.text)
	}
	return o.end()
}
