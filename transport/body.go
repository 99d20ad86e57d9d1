package transport

import (
	"cmp"
	"errors"
	"strings"

	"rtdb/keyspace"
	"rtdb/transport/rawjson"
)

// change returns the write that a body or an item asks for. In a body, an unknown member
// that is null is an error, too.
func (r *request) change() (c keyspace.Change, err error) {
	switch err := errors.Join(unknownError(r.unknownOrNull), r.key.err, r.ttl.err, r.ifVersion.err); {
	case err != nil:
		return c, err
	case !r.value.given():
		return c, refuse(codeInvalidRequest, `there is no "value"`)
	case r.value.err != nil:
		return c, r.value.err
	}
	return r.withCondition(keyspace.Change{Value: r.value.value, TTL: r.ttl.value}), nil
}

// parseWrite reads the body of a write: an object that has a value, and may have
// optional members.
func parseWrite(body []byte, optional members, maxValueBytes int) (keyspace.Change, error) {
	var r request
	switch err := r.parse(body, valueMember|optional, maxValueBytes); {
	case err != nil && isInValue(err):
		return keyspace.Change{}, refuse(codeInvalidValue, "the value is not valid JSON: %v", err)
	case err != nil:
		return keyspace.Change{}, refuse(codeInvalidRequest, `the body is not a JSON object {"value":…}: %v`, err)
	case !r.unknownOrNull.present && !r.value.given():
		return keyspace.Change{}, refuse(codeInvalidRequest, `the body has no "value": it is {"value":…}`)
	}
	return r.change()
}

// parsePatch reads a body that is a value and nothing else.
func parsePatch(body []byte, maxValueBytes int) ([]byte, error) {
	v, err := rawjson.Parse(body)
	if err != nil {
		return nil, refuse(codeInvalidValue, "the body is not a JSON Merge Patch, which is any JSON value: %v", err)
	}
	f := decodeValue(v, maxValueBytes)
	return f.value, f.err
}

// parseLevel reads the body {"level":…}, and returns the level in lower case.
func parseLevel(body []byte) (level string, err error) {
	var r request
	err = r.parse(body, levelMember, 0)
	if err != nil || !r.level.present || r.unknownOrNull.present {
		return "", refuse(codeInvalidRequest, `the body is not {"level":…}`)
	}
	return strings.ToLower(r.level.value), nil
}

// An item is one write of a batch, or the error in its place.
type item struct {
	key    field[string]
	change keyspace.Change
	err    error
}

// parseBatch reads the body of a batch, {"items":[…]}. A fault in one item is that
// item's error; parseBatch returns an error only if the body is not a batch.
func parseBatch(body []byte, maxValueBytes int) (items []item, err error) {
	var r request
	err = r.parse(body, itemsMember, maxValueBytes)
	switch {
	case err != nil:
		return nil, refuse(codeInvalidRequest, `the body is not a JSON object {"items":[…]}: %v`, err)
	case r.unknownOrNull.present:
		return nil, refuse(codeInvalidRequest, `unknown field %s: the body is {"items":[…]}`, quoted(r.unknownOrNull.value))
	case !r.items.present:
		return nil, refuse(codeInvalidRequest, `the body has no "items": it is {"items":[…]}`)
	case r.items.value.Kind() != rawjson.Array:
		return nil, refuse(codeInvalidRequest, "items is not an array")
	}
	err = r.items.value.Elements(func(v rawjson.Value) error {
		if len(items) == maxItems {
			return refuse(codeTooLarge, "there are more than %d items", maxItems)
		}
		items = append(items, parseItem(v, maxValueBytes))
		return nil
	})
	return items, err
}

func parseItem(v rawjson.Value, maxValueBytes int) (x item) {
	if v.Kind() != rawjson.Object {
		x.err = refuse(codeInvalidRequest, "the item is not an object")
		return x
	}
	var r request
	err := r.parse(v.Text, itemMembers, maxValueBytes)
	if err == nil {
		x.key = r.key
		x.change, err = r.itemChange(maxValueBytes)
	}
	if err == nil && !r.key.present {
		err = refuse(codeInvalidRequest, `there is no "key"`)
	}
	x.err = err
	return x
}

// itemChange returns the change that an item of a batch asks for: a value, a patch, a
// delete or a touch.
func (r *request) itemChange(maxValueBytes int) (c keyspace.Change, err error) {
	kinds := 0
	for _, given := range []bool{r.value.given(), r.patch.given(), r.delete.value, r.touch.value} {
		if given {
			kinds++
		}
	}
	err = cmp.Or(unknownError(r.unknownOrNull), r.key.err, r.ttl.err, r.ifVersion.err, r.patch.err, r.delete.err, r.touch.err)
	switch {
	case err != nil:
		return c, err
	case kinds > 1:
		return c, refuse(codeInvalidRequest, "an item has only one of value, patch, delete and touch")
	case r.patch.present:
		c = keyspace.Change{Merge: mergePatch(r.patch.value, maxValueBytes), TTL: r.ttl.value}
	case r.delete.value && r.ttl.present:
		return c, refuse(codeInvalidRequest, "an item that deletes has no ttl")
	case r.delete.value:
		c.Delete = true
	case r.touch.value && !r.ttl.present:
		return c, refuse(codeInvalidRequest, "touch needs a ttl, the new time to live in seconds")
	case r.touch.value:
		c = keyspace.Change{Touch: true, TTL: r.ttl.value}
	case kinds == 0:
		return c, refuse(codeInvalidRequest, `there is no "value", "patch", "delete" or "touch"`)
	default:
		return r.change()
	}
	return r.withCondition(c), nil
}
