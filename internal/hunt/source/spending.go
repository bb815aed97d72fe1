package source

import "sync"

// spending is how much the evidence has unpacked. Every archive that lies on
// disk has an allowance by its size; archives inside it spend from the same
// allowance, so that a bomb costs the same however it is nested.
type spending struct {
	mu         sync.Mutex
	left       int64
	allowances map[string]*allowance
}

// allowance is what one archive on disk may still become.
type allowance struct {
	of   *spending
	left int64
	// taken is what each archive has taken when it was opened, so that opening it
	// a second time costs nothing.
	taken map[string]int64
}

// of gives the allowance of an archive on disk.
func (s *spending) of(path string, size int64, l Limits) *allowance {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.allowances[path]; a != nil {
		return a
	}
	a := &allowance{of: s, left: l.FreeBytes + size*l.Ratio}
	if size > (1<<62)/l.Ratio {
		a.left = 1 << 62
	}
	return a
}

// keep remembers an allowance, so that an archive that is opened again does not
// begin anew. Streams do without: there may be 100,000 of them on a disk, and
// nothing is inside them but themselves.
func (s *spending) keep(path string, a *allowance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allowances == nil {
		s.allowances = make(map[string]*allowance)
	}
	s.allowances[path] = a
}

// take gives at most n bytes, fewer when the allowance ends.
func (a *allowance) take(n int64) int64 {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	n = max(min(n, a.left, a.of.left), 0)
	a.left -= n
	a.of.left -= n
	return n
}

// giveBack returns what was taken and not used.
func (a *allowance) giveBack(n int64) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.left += n
	a.of.left += n
}

// reopen starts the account of one archive anew.
func (a *allowance) reopen(path string) {
	a.of.mu.Lock()
	n := a.taken[path]
	delete(a.taken, path)
	a.of.mu.Unlock()
	a.giveBack(n)
}

// opened closes the account of one archive.
func (a *allowance) opened(path string, n int64) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if n > 0 {
		if a.taken == nil {
			a.taken = make(map[string]int64)
		}
		a.taken[path] += n
	}
}
