package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"rtdb/transport/auth"
	"rtdb/transport/transporttest"
)

// A watchedFile is a file with a watcher whose set takes every text that begins with "ok".
type watchedFile struct {
	path   string
	used   []string // the texts that were put into use
	failed int      // how often a failure was reported
	*watcher
}

func watchFile(t *testing.T, path string) *watchedFile {
	t.Helper()
	f := &watchedFile{path: path, watcher: newWatcher(zerolog.Nop())}
	set := &fileSet{paths: []string{path}}
	set.use = func(texts [][]byte) error {
		if !strings.HasPrefix(string(texts[0]), "ok") {
			return errors.New("it does not parse")
		}
		f.used = append(f.used, string(texts[0]))
		return nil
	}
	set.report = func(_ zerolog.Logger, err error) {
		if err != nil {
			f.failed++
		}
	}
	if err := set.open(); err != nil {
		t.Fatal(err)
	}
	f.add(set)
	return f
}

func (f *watchedFile) want(t *testing.T, failed int, used ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != failed || !slices.Equal(f.used, used) {
		t.Errorf("used %q and failed %d times, want %q and %d", f.used, f.failed, used, failed)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file in one step: a server that looks at it by itself sees no half of it.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A changed file counts within seconds, however it was changed. One that cannot be used
// leaves the old one in use, and is reported once for each change.
func TestAWatcherUsesChangedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "key")
		write(t, path, "ok 1")
		stamp := time.Now()
		f := watchFile(t, path)
		defer f.close()
		time.Sleep(time.Hour)
		synctest.Wait()
		f.want(t, 0, "ok 1")

		write(t, path, "ok 2")
		if err := os.Chtimes(path, stamp, stamp); err != nil { // as a copy that keeps times
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.want(t, 0, "ok 1", "ok 2")

		replace(t, path, "ok 3")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		f.want(t, 0, "ok 1", "ok 2", "ok 3")

		write(t, path, "broken")
		time.Sleep(time.Hour)
		synctest.Wait()
		f.want(t, 1, "ok 1", "ok 2", "ok 3")
		write(t, path, "")
		time.Sleep(time.Hour)
		synctest.Wait()
		f.want(t, 2, "ok 1", "ok 2", "ok 3")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		f.want(t, 3, "ok 1", "ok 2", "ok 3")
		write(t, path, "ok 3") // that it is back is reported, too
		time.Sleep(time.Hour)
		synctest.Wait()
		f.want(t, 3, "ok 1", "ok 2", "ok 3", "ok 3")
	})
}

// A file that is being written does not count before it is complete, even if its beginning
// can be used.
func TestAWatcherDoesNotUseHalfAFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, "ok 1")
		f := watchFile(t, path)
		defer f.close()
		time.Sleep(500 * time.Millisecond) // between two looks
		synctest.Wait()
		for n := range 10 {
			write(t, path, "ok "+strings.Repeat("x", n))
			time.Sleep(lookInterval)
			synctest.Wait()
		}
		f.want(t, 0, "ok 1")
		time.Sleep(lookInterval)
		synctest.Wait()
		f.want(t, 0, "ok 1", "ok xxxxxxxxx")
	})
}

// reload puts a changed file into use at once, and reports again that one is wrong. It
// fetches the keys of an identity provider again.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key")
		write(t, path, "ok 1")
		f := watchFile(t, path)
		defer f.close()
		write(t, path, "ok 2")
		f.reload()
		f.want(t, 0, "ok 1", "ok 2")
		f.reload()
		f.want(t, 0, "ok 1", "ok 2")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		f.reload()
		f.reload()
		f.want(t, 2, "ok 1", "ok 2")
		write(t, path, "ok 3")
		f.reload()
		f.want(t, 2, "ok 1", "ok 2", "ok 3")
	})

	fetched := make(chan struct{}, 10)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched <- struct{}{}
		http.NotFound(w, r)
	}))
	defer provider.Close()
	files := newWatcher(zerolog.Nop())
	defer files.close()
	s := keySources{keys: auth.NewKeys(auth.Rules{}), url: provider.URL}
	s.follow(zerolog.Nop(), files)
	defer s.close()
	for range 3 {
		<-fetched
		files.reload()
	}
}

// Kubernetes replaces the files of a volume by replacing a symbolic link to their folder.
func TestAWatcherFollowsASymbolicLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for n := range 3 {
			folder := filepath.Join(dir, fmt.Sprint(n))
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, "key"), fmt.Sprint("ok ", n))
		}
		link := func(n int) {
			t.Helper()
			if err := os.Symlink(fmt.Sprint(n), filepath.Join(dir, "tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
		}
		link(0)
		if err := os.Symlink("data/key", filepath.Join(dir, "key")); err != nil {
			t.Fatal(err)
		}
		f := watchFile(t, filepath.Join(dir, "key"))
		defer f.close()
		for n := 1; n < 3; n++ {
			link(n)
			if err := os.RemoveAll(filepath.Join(dir, fmt.Sprint(n-1))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
		}
		f.want(t, 0, "ok 0", "ok 1", "ok 2")
	})
}

// A file that is replaced by one that cannot be read in full does not stop the watcher.
func TestAWatcherDoesNotBlock(t *testing.T) {
	transporttest.NeedTool(t, "mkfifo")
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "ok 1")
	f := watchFile(t, path)
	defer f.close()
	for n, replace := range []func() error{
		func() error { return exec.Command("mkfifo", path).Run() },
		func() error { return os.Mkdir(path, 0o700) },
		func() error { return os.Symlink("/dev/zero", path) },
		func() error { return os.Symlink(path, path) },
		func() error { return os.WriteFile(path, make([]byte, maxFileBytes+1), 0o600) },
	} {
		if err := errors.Join(os.Remove(path), replace()); err != nil {
			t.Fatal(err)
		}
		f.reload()
		f.want(t, n+1, "ok 1")
	}
}

// A pipe is read once, at the start.
func TestAPipeIsReadOnce(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("ok 1"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	path := fmt.Sprint("/dev/fd/", r.Fd())
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	f := watchFile(t, path)
	defer f.close()
	f.reload()
	f.want(t, 0, "ok 1")
}

// A certificate and its key count together: a new certificate without its key leaves the
// old pair in use.
func TestACertificateAndItsKeyCountTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		otherCert, otherKey := filepath.Join(dir, "other.pem"), filepath.Join(dir, "other.key")
		makeCertificate(t, certFile, keyFile, 1)
		makeCertificate(t, otherCert, otherKey, 2)
		var out bytes.Buffer
		files := newWatcher(zerolog.New(&out))
		defer files.close()
		c := &certificate{}
		set := &fileSet{paths: []string{certFile, keyFile}, use: c.use, report: c.report}
		if err := set.open(); err != nil {
			t.Fatal(err)
		}
		files.add(set)
		serial := func() int64 {
			got, err := c.config().GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return got.Leaf.SerialNumber.Int64()
		}
		for _, step := range []struct {
			from, to string
			serial   int64
			event    string
		}{
			{otherCert, certFile, 1, "certificate not changed"},
			{otherKey, keyFile, 2, "certificate changed"},
		} {
			if err := os.Rename(step.from, step.to); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			files.mu.Lock()
			if got := serial(); got != step.serial || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), step.event) {
				t.Errorf("certificate %d, logged %s; want %d and %q", got, out.String(), step.serial, step.event)
			}
			out.Reset()
			files.mu.Unlock()
		}
	})
}
