package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// settleInterval is the time between two checks of settle.
const settleInterval = 100 * time.Millisecond

// A run is one execution of Run: its clients and the state that they share. The fields
// that are neither atomic nor guarded by mu belong to the goroutine that called Run. It
// sets them before the clients read them.
type run struct {
	options  Options
	plan     plan
	codec    codec
	dialer   *dialer
	recorder *recorder

	subscribers []*subscriber
	publishers  []*publisher
	windows     []*keyWindow // by key; nil if the options set a rate
	receivers   sync.WaitGroup

	phase           atomic.Value // string, for Progress
	connected       atomic.Int64 // connections opened so far
	liveSubscribers atomic.Int64
	livePublishers  atomic.Int64
	closing         atomic.Bool // from now on, the end of a connection is not an error

	epoch         time.Time     // zero of now and of the times in values
	writeStart    int64         // when writing began, in nanoseconds since epoch
	writeDuration time.Duration // how long the publishers wrote
	writingDone   chan struct{} // closed when no publisher writes values any more

	finals      []finalState  // by key; complete once finalsKnown is set
	finalsKnown atomic.Bool   // set when the subscribers may read finals
	unthrottled chan struct{} // closed when slow clients may read at full speed
	unsettled   atomic.Int64  // subscribers that may still receive updates
	settled     chan struct{} // closed when unsettled reaches 0

	server   serverUsage
	leftKeys bool // some keys could not be deleted

	stop context.CancelCauseFunc // ends connecting and measuring

	mu       sync.Mutex
	fatalErr error // the first error of fail
}

// Run loads a server and reports how much load it carried. Measuring ends after
// Options.Duration, or earlier if ctx ends. In both cases Run waits for the updates
// that are still on their way, checks them, and deletes the keys.
//
// Run returns an error if there is nothing to report, for example because the options
// are invalid, a connection cannot be opened, or the server refuses a write. Updates
// that the server lost or altered are not an error of Run: see Report.Err.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	o = o.normalized()
	if err := checkOpenFiles(o.Subscribers + o.Publishers); err != nil {
		return Report{}, err
	}
	r := newRun(o)
	var err error
	if r.dialer, err = newDialer(o, r.unthrottled); err != nil {
		return Report{}, err
	}
	var running context.Context
	running, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	stopProgress := r.startProgress()
	defer stopProgress()
	defer r.close()
	if err := r.connect(running); err != nil {
		return Report{}, err
	}
	r.measure(running)
	interrupted := ctx.Err() != nil
	if err := r.failure(); err != nil {
		return Report{}, err
	}
	r.settle()
	r.close()
	return r.summary(interrupted), nil
}

func newRun(o Options) *run {
	r := &run{
		options: o, plan: newPlan(o), recorder: newRecorder(),
		finals:      make([]finalState, o.Keys),
		writingDone: make(chan struct{}), unthrottled: make(chan struct{}), settled: make(chan struct{}),
	}
	r.codec = newCodec(r.plan, o.Size)
	r.phase.Store(phaseConnecting)
	r.unsettled.Store(int64(o.Subscribers))
	if o.Subscribers == 0 {
		close(r.settled)
	}
	windows := make([]*publisherWindow, o.Publishers)
	for i := range windows {
		windows[i] = newPublisherWindow()
		r.publishers = append(r.publishers, newPublisher(r, r.plan.keysOf(i), windows[i]))
	}
	if o.Rate == 0 {
		limit := min(unconflatedUpdates, unconflatedBytes/r.codec.maxUpdateBytes(o.Keys))
		r.windows = newKeyWindows(r.plan, uint64(max(limit, 1)), windows)
	}
	for i := range o.Subscribers {
		slow := r.plan.isSlow(i)
		r.subscribers = append(r.subscribers, &subscriber{
			run: r, slow: slow, firstKey: r.plan.firstKey(i), shard: r.recorder.shardOf(i, slow),
		})
	}
	return r
}

// now returns the nanoseconds since the run's epoch.
func (r *run) now() int64 {
	return time.Since(r.epoch).Nanoseconds()
}

// fail ends measuring with an error that leaves nothing to report. Any goroutine may
// call it; the first error counts.
func (r *run) fail(err error) {
	r.mu.Lock()
	if r.fatalErr == nil {
		r.fatalErr = err
	}
	r.mu.Unlock()
	r.stop(err)
}

// failure returns the first error of fail, or nil.
func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatalErr
}

// subscriberDisconnected stops measuring when the last subscriber is gone.
func (r *run) subscriberDisconnected() {
	if r.liveSubscribers.Add(-1) == 0 {
		r.stop(errors.New("no subscriber is connected any more"))
	}
}

// publisherDisconnected stops measuring when the last publisher is gone.
func (r *run) publisherDisconnected() {
	if r.livePublishers.Add(-1) == 0 {
		r.stop(errors.New("no publisher is connected any more"))
	}
}

// measure lets the publishers write until the duration is over or ctx ends.
func (r *run) measure(ctx context.Context) {
	r.phase.Store(phaseMeasuring)
	r.server.sampleStart()
	r.writeStart = r.now()
	ctx, cancel := context.WithTimeout(ctx, r.options.Duration)
	defer cancel()
	var writers sync.WaitGroup
	for _, p := range r.publishers {
		writers.Go(func() { p.publish(ctx) })
	}
	// A server that does not read would block a publisher forever.
	written := make(chan struct{})
	stopWatch := context.AfterFunc(ctx, func() {
		timeout := time.NewTimer(r.options.Patience)
		defer timeout.Stop()
		select {
		case <-timeout.C:
			for _, p := range r.publishers {
				p.cut()
			}
		case <-written:
		}
	})
	writers.Wait()
	close(written)
	stopWatch()
	r.writeDuration = time.Duration(r.now() - r.writeStart)
	close(r.writingDone)
}

// settle reads back the keys and waits until every subscriber has received their last
// updates. It gives up when nothing has arrived for the time of Options.Patience.
func (r *run) settle() {
	r.phase.Store(phaseSettling)
	var reading sync.WaitGroup
	for _, p := range r.publishers {
		reading.Go(p.readBack)
	}
	reading.Wait()
	for _, p := range r.publishers {
		p.copyFinals(r.finals)
	}
	r.finalsKnown.Store(true)
	close(r.unthrottled)
	r.pingSubscribers()
	defer r.server.sampleEnd()
	for before, quiet := int64(-1), time.Duration(0); quiet < r.options.Patience; quiet += settleInterval {
		select {
		case <-r.settled:
			return
		case <-time.After(settleInterval):
		}
		if n := r.receivedBytes(); n != before {
			before, quiet = n, 0
		}
	}
}

// subscriberSettled records that a subscriber needs no more updates. Each subscriber
// calls it once.
func (r *run) subscriberSettled() {
	if r.unsettled.Add(-1) == 0 {
		close(r.settled)
	}
}

// pingSubscribers sends a ping for each subscriber. A subscriber that has received
// everything blocks in a read; the reply wakes it, and it sees that it has settled.
func (r *run) pingSubscribers() {
	// A server that does not read would block a worker forever.
	stuck := time.AfterFunc(r.options.Patience, func() {
		for _, s := range r.subscribers {
			s.cut()
		}
	})
	defer stuck.Stop()
	var pinging sync.WaitGroup
	for worker := range workers {
		pinging.Go(func() {
			for i := worker; i < len(r.subscribers); i += workers {
				_ = r.subscribers[i].write([]byte(`{"action":"ping"}`)) // receive handles the error
			}
		})
	}
	pinging.Wait()
}

// receivedBytes returns the bytes that all subscribers have received so far.
func (r *run) receivedBytes() (bytes int64) {
	for _, s := range r.subscribers {
		bytes += s.tcp.received.Load()
	}
	return bytes
}

// sentWrites returns the number of writes that all publishers have sent so far.
func (r *run) sentWrites() (writes int64) {
	for _, p := range r.publishers {
		writes += int64(p.sent.Load())
	}
	return writes
}

// summary adds up the results of all clients. The clients must have ended.
func (r *run) summary(interrupted bool) Report {
	report := newReport(r.options, interrupted)
	report.ReceivedBytes = r.receivedBytes()
	for _, s := range r.subscribers {
		s.addTo(&report)
	}
	report.Writes = r.sentWrites()
	for _, p := range r.publishers {
		p.addTo(&report)
		report.SentBytes += p.tcp.sent.Load()
	}
	report.addMeasurements(r)
	report.Server = r.server.summary(report.Deliveries, len(r.subscribers)+len(r.publishers))
	report.ServerNote = r.server.note
	if r.leftKeys {
		report.LeftOver = r.plan.prefix
	}
	return report
}
