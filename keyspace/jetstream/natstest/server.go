package natstest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Server is one nats-server of a [Cluster]. If one of its methods fails, so does the
// test.
type Server struct {
	tb             testing.TB
	program        string
	scheme         string // of its URL
	name           string
	dir            string // of its configuration, log and store
	client, routes port
	waiting        sync.WaitGroup // for its processes

	mu      sync.Mutex
	process *process // the newest one, or nil
}

// A process is one run of a server.
type process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended, and the test knows
	ending bool          // the test has told it to; guarded by Server.mu
	paused bool          // likewise
}

// newServer prepares a server that does not run yet. It ends with the test.
func newServer(tb testing.TB, program, name string) (*Server, error) {
	s := &Server{tb: tb, program: program, scheme: "nats", name: name, dir: filepath.Join(tb.TempDir(), name)}
	tb.Cleanup(func() {
		s.Kill()
		s.waiting.Wait()
		s.client.release()
		s.routes.release()
	})
	var err error
	if s.client, err = reserve(); err != nil {
		return nil, err
	}
	if s.routes, err = reserve(); err != nil {
		return nil, err
	}
	return s, os.MkdirAll(s.dir, 0o755)
}

// Name returns the server's name, as JetStream reports it.
func (s *Server) Name() string { return s.name }

// Addr returns the address for clients, as host:port.
func (s *Server) Addr() string { return s.client.addr() }

// URL returns the address for clients.
func (s *Server) URL() string { return s.scheme + "://" + s.Addr() }

// Dir returns the folder of the server's store.
func (s *Server) Dir() string { return filepath.Join(s.dir, "store") }

// Log returns the path of the file with the server's output. A restart appends to it.
func (s *Server) Log() string { return filepath.Join(s.dir, "log") }

// Running reports whether the server has a process. A paused process counts.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.runs()
}

// answers reports whether the server runs and is not paused.
func (s *Server) answers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.runs() && !s.process.paused
}

func (p *process) runs() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends the server by SIGKILL, as a crash would. Writes that it has not synced stay in
// the page cache of the system, and thus survive. Without a process it does nothing.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Terminate ends the server by SIGTERM: it hands its leaderships over and closes its
// files. If it is paused, it goes on for that. Without a process it does nothing.
func (s *Server) Terminate() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal os.Signal) {
	s.tb.Helper()
	s.mu.Lock()
	p := s.process
	if !p.runs() {
		s.mu.Unlock()
		return
	}
	p.ending = true
	_ = p.cmd.Process.Signal(signal) // it fails if the process has just ended
	if p.paused {
		_ = p.cmd.Process.Signal(continueSignal) // or it could not obey
	}
	s.mu.Unlock()
	timer := time.AfterFunc(patience, func() {
		s.tb.Errorf("nats-server %s has not ended %s after the signal %q; its log ends:\n%s", s.name, patience, signal, s.logEnd())
		_ = p.cmd.Process.Kill()
	})
	defer timer.Stop()
	<-p.done
}

// Stop pauses the server by SIGSTOP, and waits until it is paused. Its connections stay
// open, and it answers nothing.
func (s *Server) Stop() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process.runs() && s.process.paused {
		return // a second signal would change nothing to wait for
	}
	if s.signalLocked(stopSignal) {
		s.process.paused = true
		if err := awaitStop(s.process.cmd.Process.Pid); err != nil {
			s.tb.Errorf("nats-server %s does not stop: %v; its log ends:\n%s", s.name, err, s.logEnd())
		}
	}
}

// Continue lets a paused server go on.
func (s *Server) Continue() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signalLocked(continueSignal) {
		s.process.paused = false
	}
}

// signalLocked sends a signal to the server, which must run.
func (s *Server) signalLocked(signal os.Signal) bool {
	s.tb.Helper()
	if !s.process.runs() {
		s.tb.Errorf("nats-server %s does not run, so it cannot get the signal %q: restart it first", s.name, signal)
		return false
	}
	if err := s.process.cmd.Process.Signal(signal); err != nil {
		s.tb.Errorf("nats-server %s: signal %q: %v", s.name, signal, err)
		return false
	}
	return true
}

// Restart starts the server again on its old ports and files, and waits until it accepts
// clients. If it still runs, it is terminated before. The streams of a cluster may need
// longer: see [Cluster.Leader].
func (s *Server) Restart() {
	s.tb.Helper()
	s.Terminate()
	s.launch()
	s.awaitOpen()
}

// launch starts a process.
func (s *Server) launch() {
	s.tb.Helper()
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.tb.Errorf("nats-server %s: %v", s.name, err)
		return
	}
	defer log.Close()
	cmd := exec.Command(s.program, "-c", s.configPath())
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, attributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	s.waiting.Go(func() {
		// The system kills the process when the thread ends that has started it, so the
		// thread must stay until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.wait(p)
		}
	})
	// The mutex is held, so that wait finds the process.
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := <-started; err != nil {
		s.tb.Errorf("nats-server %s: %v", s.name, err)
		return
	}
	s.process = p
}

// wait waits for the end of a process.
func (s *Server) wait(p *process) {
	err := p.cmd.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.ending {
		s.tb.Errorf("nats-server %s ended by itself: %v; its log ends:\n%s", s.name, err, s.logEnd())
	}
	close(p.done)
}

// awaitOpen waits until the server greets a client, or has ended.
func (s *Server) awaitOpen() {
	s.tb.Helper()
	for end := time.Now().Add(patience); s.Running(); time.Sleep(5 * time.Millisecond) {
		if s.greets() {
			return
		}
		if time.Now().After(end) {
			s.tb.Errorf("nats-server %s does not accept clients at %s; its log ends:\n%s", s.name, s.Addr(), s.logEnd())
			return
		}
	}
}

// greets reports whether the server sends its first line to a client.
func (s *Server) greets() bool {
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	n, _ := c.Read(make([]byte, 1))
	return n == 1
}

// logEnd returns the last 4 KiB of the log.
func (s *Server) logEnd() string {
	log, err := os.ReadFile(s.Log())
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(log[max(0, len(log)-4096):])
}
