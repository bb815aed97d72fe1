package detect

import "sync"

// Spares are things that a detector uses for one file and needs again for the next, as
// many as have ever been in use at once. A pool of the library forgets them whenever
// garbage is collected, which in a hunt is many times a second. The zero value is empty.
type Spares[T any] struct {
	mu   sync.Mutex
	idle []*T
}

// Take gives a spare one, nil if there is none.
func (s *Spares[T]) Take() *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	t := s.idle[n-1]
	s.idle = s.idle[:n-1]
	return t
}

// Put gives one back.
func (s *Spares[T]) Put(t *T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, t)
}
