package jetstream

import (
	"cmp"
	"time"
)

// DefaultStream is Options.Stream if it is empty.
const DefaultStream = "rtdb"

// Options are the settings of a [Store]. URL must be set; the other zero values are ready to
// use.
type Options struct {
	// URL has the addresses of one or more servers of one NATS cluster, separated by
	// commas. It may contain a user and a password, or a token.
	URL string

	// Credentials is a file with a JWT and an NKey seed, as the tool nsc makes it.
	// Seed is a file with an NKey seed alone.
	Credentials, Seed string

	// CA is a file with the certificates, in PEM, that the servers' certificates are
	// checked with. Certificate and Key are files with those of this client. Each may be "".
	CA, Certificate, Key string

	// Stream names the JetStream stream that all nodes share. "" means DefaultStream.
	Stream string

	// Replicas is the number of servers that keep the stream, if it is made. 0 means 3, or
	// 1 for a server that is not part of a cluster. A stream that exists keeps its own
	// number.
	Replicas int

	// MaxValueBytes is the length of the longest value that is written. Load returns a
	// *PayloadError if a message of NATS may not be as long. 0: it is not checked.
	MaxValueBytes int

	// Node names this node for people. Several nodes may have the same name.
	Node string

	// Observer is told of events. Its functions must return soon.
	Observer Observer
}

// An Observer has a function for each event that can be reported. A nil function is not
// called. They are called one at a time, but from several goroutines.
type Observer struct {
	Connected    func(server, version string)            // a connection to a NATS server was made
	Disconnected func(err error)                         // the connection was lost; a new one is being made
	Waits        func(reason error)                      // Load cannot go on yet; it tries again, once a second or less
	Loaded       func(messages int64)                    // during Load: after each 10,000 messages, and at the end
	Denied       func(err error)                         // after Load: the account lacks a right, which err names
	CutOff       func(reason error, since time.Time)     // writes are refused from now on
	CaughtUp     func(after time.Duration)               // writes are accepted again
	Behind       func(messages uint64)                   // the feed has fallen behind by so many messages
	Filled       func(messages int, took time.Duration)  // the feed has read so many messages of a gap from the stream
	Disagrees    func(other string, mine, theirs Digest) // another node has another state at the same sequence
	Agrees       func()                                  // the states are the same again
	Foreign      func(subject string, sequence uint64)   // the stream has a message that is not of rtdb
	DeclaredDead func()                                  // the other nodes have declared this one dead; it must end its sessions
	Buried       func(node string)                       // this node has declared another one dead
	Failed       func(err error)                         // called once: the stream is gone, or is another one
}

// The times of a node.
const (
	beatInterval   = time.Second
	cutOffInterval = 250 * time.Millisecond // between beats of a node that is cut off
	cutOffAfter    = 3 * beatInterval       // without a beat of its own, a node is cut off
	deadAfter      = 10 * time.Second       // without a beat, a node is declared dead
	attemptTimeout = time.Second            // until a message is sent again
	commitTimeout  = 8 * time.Second        // until a commit is given up; an election takes up to 6 s
	startTimeout   = 3 * time.Second        // for one attempt to open the stream; servers without a leader do not answer
	deleteAge      = 24 * time.Hour         // how long the stream remembers a delete
	beatAge        = 10 * time.Minute       // how long the stream remembers a beat
	expiryDelay    = time.Second            // after the owner of a key, other nodes delete it
	flushTimeout   = time.Second            // for the goodbye of a node that leaves
	writeTimeout   = 2 * time.Second        // of the connection; meanwhile all who publish wait
	pingInterval   = 2 * time.Second        // to notice a dead link
	maxReconnect   = 250 * time.Millisecond // between two attempts to connect, with a jitter of as much
)

func (o Options) settled() Options {
	o.Stream = cmp.Or(o.Stream, DefaultStream)
	return o
}
