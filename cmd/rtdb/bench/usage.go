package bench

import "time"

// A usage is what the server's process takes, where it can be seen.
type usage struct {
	process *process // nil where it cannot
	unseen  string   // why

	memoryBefore, memoryIdle, memoryAtEnd int64 // resident bytes
	cpuBegin, cpuEnd                      time.Duration
	began, ended                          time.Time
}

// A reading is what the process has taken so far.
type reading struct {
	cpu    time.Duration // user and system time
	memory int64         // resident bytes
}

func (u *usage) look() reading {
	if u.process == nil {
		return reading{}
	}
	r, err := u.process.read()
	if err != nil {
		u.process, u.unseen = nil, "it is gone"
	}
	return r
}

func (u *usage) before() { u.memoryBefore = u.look().memory }

// idle is called when all connections are open and nothing is sent.
func (u *usage) idle() { u.memoryIdle = u.look().memory }

func (u *usage) begin() {
	u.cpuBegin, u.began = u.look().cpu, time.Now()
}

func (u *usage) end() {
	r := u.look()
	u.cpuEnd, u.memoryAtEnd, u.ended = r.cpu, r.memory, time.Now()
}

// server says what each delivery and each connection has cost, or is nil.
func (u *usage) server(deliveries int64, connections int) *Server {
	if u.process == nil {
		return nil
	}
	s := &Server{
		Name: u.process.name, PID: u.process.pid,
		CPUSeconds:        (u.cpuEnd - u.cpuBegin).Seconds(),
		MemoryBeforeBytes: u.memoryBefore,
		MemoryIdleBytes:   u.memoryIdle,
		MemoryEndBytes:    u.memoryAtEnd,
	}
	if took := u.ended.Sub(u.began).Seconds(); took > 0 {
		s.CPUCores = s.CPUSeconds / took
	}
	if deliveries > 0 {
		s.CPUPerDelivery = s.CPUSeconds * 1e6 / float64(deliveries)
	}
	if grown := u.memoryIdle - u.memoryBefore; grown > 0 {
		s.MemoryPerConnection = grown / int64(connections)
	}
	return s
}
