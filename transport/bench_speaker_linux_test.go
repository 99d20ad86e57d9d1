package transport_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// A speaker speaks the protocol of one kind of server. All its updates have one length,
// and so have all its requests.
type speaker interface {
	listen(s *socket, keys int) error // subscribes to that many keys, from key 0 on
	publish(s *socket) error          // prepares a socket for writes without replies
	write(key int) []byte             // returns a request with a value of 64 bytes
	update(key int) []byte            // returns the update of that request
}

// sampleValue is a value of 64 bytes, quotes included.
var sampleValue = []byte(`"` + strings.Repeat("x", 62) + `"`)

func keyName(i int) string { return fmt.Sprintf("k%04d", i) }

func keyNames(first, end int) (names []string) {
	for i := first; i < end; i++ {
		names = append(names, keyName(i))
	}
	return names
}

// webSocketSpeaker speaks the protocol of transport/README.md.
type webSocketSpeaker struct{}

func (w webSocketSpeaker) listen(s *socket, keys int) error {
	if err := s.shakeHands("/ws"); err != nil {
		return err
	}
	return w.subscribe(s, 0, keys)
}

func (webSocketSpeaker) subscribe(s *socket, first, end int) error {
	request := `{"id":1,"action":"subscribe","keys":["` + strings.Join(keyNames(first, end), `","`) + `"]}`
	if err := s.send(clientFrame([]byte(request))); err != nil {
		return err
	}
	reply, err := s.receiveFrame()
	if err == nil && !bytes.HasPrefix(reply, []byte(`{"id":1,"ok":true,`)) {
		err = fmt.Errorf("the reply to subscribe is %s", reply)
	}
	return err
}

func (webSocketSpeaker) publish(s *socket) error { return s.shakeHands("/ws") }

func (webSocketSpeaker) write(key int) []byte {
	return clientFrame(fmt.Appendf(nil, `{"action":"set","key":%q,"value":%s}`, keyName(key), sampleValue))
}

func (webSocketSpeaker) update(key int) []byte {
	return serverFrame(fmt.Appendf(nil, `{"key":%q,"value":%s}`, keyName(key), sampleValue))
}

// bareSpeaker speaks to the bare server, which has no subscriptions.
type bareSpeaker struct{ webSocketSpeaker }

func (bareSpeaker) listen(s *socket, _ int) error { return s.shakeHands("/listen") }
func (bareSpeaker) publish(s *socket) error       { return s.shakeHands("/publish") }

// redisSpeaker speaks RESP to Redis: a key is a channel.
type redisSpeaker struct{}

func (r redisSpeaker) listen(s *socket, keys int) error { return r.subscribe(s, 0, keys) }

func (r redisSpeaker) subscribe(s *socket, first, end int) error {
	return r.watch(s, first, end, first)
}

// watch subscribes to the keys from first to before end, after others.
func (redisSpeaker) watch(s *socket, first, end, others int) error {
	names := keyNames(first, end)
	if err := s.send(redisCommand(append([]string{"SUBSCRIBE"}, names...)...)); err != nil {
		return err
	}
	answer := 0
	for i, name := range names {
		answer += len(fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(name), name, others+i+1))
	}
	_, err := s.receive(answer)
	return err
}

func (redisSpeaker) publish(s *socket) error {
	return s.send(redisCommand("CLIENT", "REPLY", "OFF"))
}

func (redisSpeaker) write(key int) []byte {
	return redisCommand("PUBLISH", keyName(key), string(sampleValue))
}

func (redisSpeaker) update(key int) []byte {
	return redisCommand("message", keyName(key), string(sampleValue))
}

func redisCommand(words ...string) []byte {
	text := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		text = fmt.Appendf(text, "$%d\r\n%s\r\n", len(w), w)
	}
	return text
}

// serverFrame returns the frame of a server's text message (RFC 6455, section 5.2).
func serverFrame(payload []byte) []byte {
	header := []byte{0x81}
	if n := len(payload); n <= 125 {
		header = append(header, byte(n))
	} else {
		header = binary.BigEndian.AppendUint16(append(header, 126), uint16(n))
	}
	return append(header, payload...)
}

// clientFrame returns the frame of a client's text message. Its mask is zero, so that it
// is always the same.
func clientFrame(payload []byte) []byte {
	f := serverFrame(payload)
	header := len(f) - len(payload)
	f[1] |= 0x80
	return append(append(append([]byte(nil), f[:header]...), 0, 0, 0, 0), payload...)
}
