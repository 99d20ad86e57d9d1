package jetstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// proposals are the messages that wait for the stream's answer.
//
// A proposal is accepted when the stream says so, or when the feed brings it, whichever is
// first. A proposal that is given up may still be accepted later. Then the feed brings it as
// a message of another node.
type proposals struct {
	prefix string // of the subjects of answers: prefix.number.attempt

	mu      sync.Mutex
	last    uint64
	pending map[uint64]*proposal

	// accepted has the sequences of accepted proposals that the feed has not brought yet.
	accepted map[uint64]struct{}
}

// An answer is the stream's reply to one attempt of a proposal.
type answer struct {
	attempt  int
	sequence uint64 // of the message; 0: it was not accepted
	err      error  // the reason
}

// Reasons why the stream refuses an attempt.
var (
	errNoLeader   = errors.New("the stream has no leader, or does not exist")
	errOverlap    = errors.New("another write of the key is in flight")
	errNoStorage  = errors.New("NATS has no storage left")
	errTemporary  = errors.New("JetStream is not available")
	errNotAllowed = errors.New("the stream refuses the message")
)

// A wrongSequence is the refusal of a proposal whose key has a newer message.
type wrongSequence struct{ current uint64 }

func (e wrongSequence) Error() string { return fmt.Sprintf("the key's last sequence is %d", e.current) }

// begin returns a proposal. The caller must pass it to end. appliesItself says that the
// caller applies the message if it is accepted, so that the feed need not.
func (ps *proposals) begin(appliesItself bool) *proposal {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.pending == nil {
		ps.pending, ps.accepted = map[uint64]*proposal{}, map[uint64]struct{}{}
	}
	ps.last++
	p := proposalPool.Get().(*proposal)
	p.number, p.appliesItself = ps.last, appliesItself
	ps.pending[p.number] = p
	return p
}

// end ends a proposal, which must not be used then. It returns the sequence of the message if
// the proposal was accepted after its last answer was read, and otherwise 0.
func (ps *proposals) end(p *proposal) (sequence uint64) {
	defer p.recycle()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.pending, p.number)
	for {
		select {
		case a := <-p.answers:
			sequence = max(sequence, a.sequence)
		default:
			return sequence
		}
	}
}

// inFlight returns the number of proposals that wait.
func (ps *proposals) inFlight() int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.pending)
}

// replySubject returns the subject that the stream answers an attempt at.
func (ps *proposals) replySubject(p *proposal, attempt int) string {
	b := make([]byte, 0, len(ps.prefix)+24)
	b = append(b, ps.prefix...)
	b = append(b, '.')
	b = strconv.AppendUint(b, p.number, 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(attempt), 10)
	return string(b)
}

// answered receives the stream's answer to an attempt. first and second are the tokens that
// replySubject has appended to the prefix.
func (ps *proposals) answered(m *nats.Msg, first, second string) {
	number, err := strconv.ParseUint(first, 10, 64)
	attempt, err2 := strconv.Atoi(second)
	if err != nil || err2 != nil {
		return
	}
	a := parseAnswer(m)
	a.attempt = attempt
	ps.deliver(number, a)
}

// deliver passes an answer to a proposal.
func (ps *proposals) deliver(number uint64, a answer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.pending[number]
	switch {
	case p == nil || p.decided:
		return
	case a.sequence != 0:
		p.decided = true
		if p.appliesItself {
			ps.accepted[a.sequence] = struct{}{}
		}
	}
	select {
	case p.answers <- a:
	default: // so many attempts do not fit into the time of a commit
	}
}

// brought notes that the feed has brought an operation of this node. It reports whether the
// proposal's caller applies, or has applied, the message itself.
func (ps *proposals) brought(number, sequence uint64) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if _, ok := ps.accepted[sequence]; ok {
		delete(ps.accepted, sequence)
		return true
	}
	p := ps.pending[number]
	if p == nil || p.decided {
		return false
	}
	p.decided = true
	for {
		select {
		case p.answers <- answer{sequence: sequence}:
			return p.appliesItself
		case <-p.answers: // it is full of refusals
		}
	}
}

// passed says that the feed has passed a sequence without bringing all messages before it,
// because newer ones had replaced them. The messages of proposals may be among them.
func (ps *proposals) passed(sequence uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for s := range ps.accepted {
		if s <= sequence {
			delete(ps.accepted, s)
		}
	}
	for _, p := range ps.pending {
		p.missed = true
	}
}

// mayHaveMissed reports whether the feed may have missed the message of a proposal.
func (ps *proposals) mayHaveMissed(p *proposal) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return p.missed
}

// Error codes of JetStream (server/errors.json of nats-server).
const (
	codeWrongSequence        = 10071
	codeWrongSequenceNoValue = 10164 // another message with a condition on the subject is in flight
	codeStreamOffline        = 10118
	codeNoResources          = 10023
	codeStorageExceeded      = 10047
	codeStoreFailed          = 10077
	codeUnavailable          = 10008
	codeTooManyRequests      = 10167 // more messages wait for the stream than it takes
	codeIncompleteBatch      = 10176 // the leader changed, or another batch too many was begun
	codeTooManyBatches       = 10210
	codeAccountExceeded      = 10002
)

// statusNoResponders is the status of a message that nobody listens to (NATS protocol,
// no_responders).
const statusNoResponders = "503"

// parseAnswer reads an answer of the stream.
func parseAnswer(m *nats.Msg) answer {
	if n := parseSuccess(m.Data); n != 0 {
		return answer{sequence: n}
	}
	if m.Header.Get("Status") == statusNoResponders {
		return answer{err: errNoLeader}
	}
	var ack struct {
		Seq   uint64
		Error *struct {
			Code        int
			ErrCode     int `json:"err_code"`
			Description string
		}
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return answer{err: fmt.Errorf("%w: bad answer %.100q", errTemporary, m.Data)}
	}
	if ack.Error == nil {
		return answer{sequence: ack.Seq}
	}
	text := ack.Error.Description
	switch ack.Error.ErrCode {
	case codeWrongSequence:
		_, number, _ := strings.Cut(text, ": ")
		current, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return answer{err: fmt.Errorf("%w: %s", errTemporary, text)}
		}
		return answer{err: wrongSequence{current}}
	case codeWrongSequenceNoValue:
		return answer{err: errOverlap}
	case codeNoResources, codeStorageExceeded, codeStoreFailed, codeAccountExceeded:
		return answer{err: fmt.Errorf("%w: %s", errNoStorage, text)}
	case codeUnavailable, codeStreamOffline, codeTooManyRequests, codeIncompleteBatch, codeTooManyBatches:
		return answer{err: fmt.Errorf("%w: %s", errTemporary, text)}
	}
	if ack.Error.Code >= 500 {
		return answer{err: fmt.Errorf("%w: %s", errTemporary, text)}
	}
	return answer{err: fmt.Errorf("%w: %s", errNotAllowed, text)}
}

// parseSuccess returns n of the usual answer {"stream":"…","seq":n}, and 0 for any other. It
// saves the time of encoding/json (BenchmarkParseAnswer: 0.1 µs instead of 1.3 µs).
func parseSuccess(data []byte) uint64 {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return 0
	}
	_, rest, _ = bytes.Cut(rest, []byte(`","seq":`))
	digits, ok := bytes.CutSuffix(rest, []byte("}"))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if !ok || err != nil {
		return 0
	}
	return n
}
