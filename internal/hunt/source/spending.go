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
	// real is how much is paid for of members that are longer or shorter than their
	// archive says, or of which it does not say how long they are.
	real map[memberOf]int64
}

// memberOf is a member of an archive.
type memberOf struct{ archive, name string }

// maxReal is how many members of an archive on disk the allowance remembers. Of more,
// nothing is given back, and each reading is paid for.
const maxReal = 10_000

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
	a.add(n)
}

// add is giveBack for who holds the lock.
func (a *allowance) add(n int64) {
	a.left += n
	a.of.left += n
}

// settle closes the account of one reading of a member: granted bytes were paid for,
// known of them before it began, and read were needed. What was read for the first time
// is paid for from now on; a second reading costs nothing.
func (a *allowance) settle(m memberOf, known, granted, read int64) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	needed := max(read, known)
	a.add(granted - needed)
	if needed == known {
		return
	}
	paid, found := a.real[m]
	if !found {
		paid = known
	}
	if needed > paid && !a.remember(m, paid, needed) {
		return
	}
	a.add(min(paid, needed) - known) // another reading at the same time has paid for that
}

// shorter gives back what was taken for a member on the word of its archive when there
// turns out to be less of it.
func (a *allowance) shorter(m memberOf, paid, real int64) {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if _, twice := a.real[m]; !twice && a.taken[m.archive] >= paid-real && a.remember(m, paid, real) {
		a.add(paid - real)
	}
}

// remember notes how much of a member is paid for, if that is not what its archive says
// of it. The caller holds the lock.
func (a *allowance) remember(m memberOf, before, now int64) bool {
	if _, found := a.real[m]; !found && len(a.real) >= maxReal {
		return false
	}
	if a.real == nil {
		a.real = make(map[memberOf]int64)
	}
	a.real[m] = now
	if a.taken == nil {
		a.taken = make(map[string]int64)
	}
	a.taken[m.archive] += now - before
	return true
}

// claimed is how much of a member is to be paid for: what its archive says unless it is
// known.
func (a *allowance) claimed(m memberOf, said int64) int64 {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if real, known := a.real[m]; known {
		return real
	}
	return said
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
