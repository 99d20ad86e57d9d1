package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A bench is one run.
type bench struct {
	options Options
	plan    plan
	form    form
	dialer  *dialer

	subscribers []*subscriber
	publishers  []*publisher
	windows     []*window // of the keys; nil where a rate is given
	recorder    *recorder
	connected   atomic.Int64
	receiving   sync.WaitGroup

	start time.Time
	stop  context.CancelCauseFunc // ends what goes on before settling

	released  chan struct{} // closed when slow clients may go on
	published chan struct{} // closed when nothing more is written
	finals    []final       // of the keys; set before settling is
	settling  atomic.Bool
	unsettled *countdown // subscribers that have not come to their end
	watching  atomic.Int64
	writing   atomic.Int64
	closing   atomic.Bool // connections may end now

	began    int64         // when writing did, in nanoseconds since the start
	took     time.Duration // of writing
	usage    usage
	leftOver bool         // there are keys that could not be deleted
	phase    atomic.Value // a string, for Progress

	mu      sync.Mutex
	failure error
}

// Run loads a server and returns what it could take. The measuring ends after
// Options.Duration, or early where ctx ends; what was written until then is
// waited for, checked and deleted all the same. The error says why there is no
// report; that updates were lost is in the report.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	o = o.settled()
	if err := enoughFiles(o.Subscribers + o.Publishers); err != nil {
		return Report{}, err
	}
	b := newBench(o)
	var err error
	if b.dialer, err = newDialer(o, b.released); err != nil {
		return Report{}, err
	}
	var running context.Context
	running, b.stop = context.WithCancelCause(ctx)
	defer b.stop(nil)
	stopProgress := b.startProgress()
	defer stopProgress()
	defer b.close()
	if err := b.connect(running); err != nil {
		return Report{}, err
	}
	b.measure(running)
	interrupted := ctx.Err() != nil
	if err := b.failed(); err != nil {
		return Report{}, err
	}
	b.settle()
	b.close()
	return b.report(interrupted), nil
}

func newBench(o Options) *bench {
	b := &bench{
		options: o, plan: newPlan(o), recorder: newRecorder(),
		released: make(chan struct{}), published: make(chan struct{}),
		finals:    make([]final, o.Keys),
		unsettled: newCountdown(o.Subscribers),
	}
	b.form = newForm(b.plan, o.Size)
	b.phase.Store(phaseConnecting)
	flows := make([]*publisherFlow, o.Publishers)
	for i := range flows {
		flows[i] = newFlow()
		b.publishers = append(b.publishers, &publisher{
			bench: b, flow: flows[i], keys: b.plan.written(i), written: make([]uint64, len(b.plan.written(i))),
			answered: make(chan struct{}), deleted: make(chan struct{}), ended: make(chan struct{}),
		})
	}
	if o.Rate == 0 {
		limit := min(windowUpdates, windowBytes/b.form.length(o.Keys))
		b.windows = newWindows(b.plan, uint64(max(limit, 1)), flows)
	}
	for i := range o.Subscribers {
		b.subscribers = append(b.subscribers, &subscriber{
			bench: b, slow: b.plan.readsSlowly(i), first: b.plan.first(i),
			shard: b.recorder.shard(i, b.plan.readsSlowly(i)),
		})
	}
	return b
}

// now is the time since the start, in nanoseconds.
func (b *bench) now() int64 {
	return time.Since(b.start).Nanoseconds()
}

// fail ends the run: there is nothing to report.
func (b *bench) fail(err error) {
	b.mu.Lock()
	if b.failure == nil {
		b.failure = err
	}
	b.mu.Unlock()
	b.stop(err)
}

// failed returns what fail was told.
func (b *bench) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// The measuring goes on as long as somebody receives and somebody writes.

func (b *bench) lostSubscriber() {
	if b.watching.Add(-1) == 0 {
		b.stop(errors.New("no subscriber is connected any more"))
	}
}

func (b *bench) lostPublisher() {
	if b.writing.Add(-1) == 0 {
		b.stop(errors.New("no publisher is connected any more"))
	}
}

// measure has the publishers write, until the time is over or ctx ends.
func (b *bench) measure(ctx context.Context) {
	b.phase.Store(phaseMeasuring)
	b.usage.begin()
	b.began = b.now()
	ctx, cancel := context.WithTimeout(ctx, b.options.Duration)
	defer cancel()
	var writing sync.WaitGroup
	for _, p := range b.publishers {
		writing.Go(func() { p.publish(ctx) })
	}
	// A server that takes nothing more would hold a publisher for ever.
	late := make(chan struct{})
	overdue := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(b.options.Patience)
		defer timer.Stop()
		select {
		case <-timer.C:
			for _, p := range b.publishers {
				p.cut()
			}
		case <-late:
		}
	})
	writing.Wait()
	close(late)
	overdue()
	b.took = time.Duration(b.now() - b.began)
	close(b.published)
}

// settle waits until every subscriber has come to what its keys hold, as long
// as anything arrives, and then for no longer than the patience.
func (b *bench) settle() {
	b.phase.Store(phaseSettling)
	var asking sync.WaitGroup
	for _, p := range b.publishers {
		asking.Go(p.finish)
	}
	asking.Wait()
	for _, p := range b.publishers {
		p.finals(b.finals)
	}
	b.settling.Store(true)
	close(b.released)
	b.wakeAll()
	for before, quiet := int64(-1), time.Duration(0); quiet < b.options.Patience; quiet += settleStep {
		select {
		case <-b.unsettled.zero:
			b.usage.end()
			return
		case <-time.After(settleStep):
		}
		if n := b.received(); n != before {
			before, quiet = n, 0
		}
	}
	b.usage.end()
}

const settleStep = 100 * time.Millisecond

// wakeAll sends a ping for each subscriber: who has everything already waits for
// a message, and has to look once more.
func (b *bench) wakeAll() {
	var waking sync.WaitGroup
	stuck := time.AfterFunc(b.options.Patience, func() { // a server that takes nothing
		for _, s := range b.subscribers {
			s.cut()
		}
	})
	defer stuck.Stop()
	for worker := range workers {
		waking.Go(func() {
			for i := worker; i < len(b.subscribers); i += workers {
				_ = b.subscribers[i].write([]byte(`{"action":"ping"}`)) // the receiver learns of an error
			}
		})
	}
	waking.Wait()
}

func (b *bench) received() (bytes int64) {
	for _, s := range b.subscribers {
		bytes += s.meter.received.Load()
	}
	return bytes
}

// report adds up what the clients have, once they have ended.
func (b *bench) report(interrupted bool) Report {
	r := newReport(b.options, interrupted)
	for _, s := range b.subscribers {
		s.account(&r)
		r.ReceivedBytes += s.meter.received.Load()
	}
	for _, p := range b.publishers {
		p.account(&r)
		r.Writes += int64(p.sent.Load())
		r.SentBytes += p.meter.sent.Load()
	}
	r.measured(b.began, b.took, b.options.Duration, b.recorder)
	r.Server, r.ServerNote = b.usage.server(r.Deliveries, len(b.subscribers)+len(b.publishers)), b.usage.unseen
	if b.leftOver {
		r.LeftOver = b.plan.prefix
	}
	return r
}
