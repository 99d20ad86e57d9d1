package transport

import "cmp"

// The checks of the actions. Each returns the first fault in the members that the action
// uses. Faults in other members do not matter.

func checkNothing(*request) error { return nil }

func checkKey(r *request) error {
	if !r.key.present {
		return refuse(codeInvalidRequest, "%s needs a key", r.action.value)
	}
	return nil
}

func checkValue(r *request) error {
	if !r.value.given() {
		return refuse(codeInvalidRequest, "%s needs a value", r.action.value)
	}
	return r.value.err
}

func checkWrite(r *request) error {
	if err := checkKey(r); err != nil {
		return err
	}
	if err := checkValue(r); err != nil {
		return err
	}
	return cmp.Or(r.ifVersion.err, r.ttl.err)
}

func checkDelete(r *request) error { return cmp.Or(checkKey(r), r.ifVersion.err) }

func checkTouch(r *request) error {
	switch {
	case !r.key.present:
		return checkKey(r)
	case !r.ttl.given():
		return refuse(codeInvalidRequest, "touch needs a ttl, the new time to live in seconds")
	}
	return cmp.Or(r.ifVersion.err, r.ttl.err)
}

func checkPublish(r *request) error {
	if !r.topic.present {
		return refuse(codeInvalidRequest, "publish needs a topic or a key")
	}
	return checkValue(r)
}

func checkWill(r *request) error {
	extra := r.given & (ifVersionMember | ttlMember | deleteMember)
	switch {
	case !r.key.present && !r.topic.present:
		return refuse(codeInvalidRequest, "will needs a key or a topic")
	case r.topic.present && extra != 0:
		return refuse(codeInvalidRequest, "the will of a topic is a message: it has no ifVersion, ttl or delete")
	case r.delete.value && r.value.given() && string(r.value.value) != "null":
		return refuse(codeInvalidRequest, "a will has either a value or delete")
	case r.delete.value && r.ttl.given():
		return refuse(codeInvalidRequest, "a will that deletes has no ttl")
	case extra != 0 && !r.value.given() && !r.delete.given():
		return refuse(codeInvalidRequest, "a will needs a value or delete; without them it withdraws the earlier will, and takes no ifVersion or ttl")
	}
	return cmp.Or(r.value.err, r.delete.err, r.ifVersion.err, r.ttl.err)
}

func checkToken(r *request) error {
	if !r.token.given() {
		return refuse(codeInvalidRequest, "auth needs a token")
	}
	return r.token.err
}

func checkClient(r *request) error {
	if !r.client.given() {
		return refuse(codeInvalidRequest, "hello needs a client, the name of the client")
	}
	return r.client.err
}

func checkTargets(r *request) error {
	given := 0
	for _, g := range []bool{
		r.key.given(), r.topic.given(), r.keys.given(), r.topics.given(), r.pattern.given(), r.topicPattern.given(),
	} {
		if g {
			given++
		}
	}
	switch given {
	case 0:
		return refuse(codeInvalidRequest, "%s needs a key, a topic, keys, topics, a pattern or a topicPattern", r.action.value)
	case 1:
		return cmp.Or(r.keys.err, r.topics.err, r.pattern.err, r.topicPattern.err)
	}
	return refuse(codeInvalidRequest, "%s takes only one of key, topic, keys, topics, pattern and topicPattern", r.action.value)
}

func checkSubscribe(r *request) error {
	if err := checkTargets(r); err != nil {
		return err
	}
	if err := cmp.Or(r.snapshot.err, r.since.err, r.epoch.err, r.last.err); err != nil || !r.last.present {
		return err
	}
	switch n := r.last.value; {
	case n < 1 || n > maxItems:
		return refuse(codeInvalidRequest, "last is not a number from 1 to %d", maxItems)
	case !r.pattern.present || !r.snapshot.value:
		return refuse(codeInvalidRequest, "last limits the snapshot of a pattern: it needs a pattern and snapshot")
	}
	return nil
}
