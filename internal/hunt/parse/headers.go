package parse

import (
	"slices"
	"sync"
)

// maxHeaders bounds the header lines remembered: a server writes a few dozen
// different ones, however many files it has.
const maxHeaders = 512

// Headers remembers the columns of header lines. Logs that roll every hour repeat
// theirs thousands of times. Safe for use by several goroutines; nil remembers nothing.
type Headers struct {
	mu    sync.RWMutex
	lines map[string][]string
}

// columns gives the columns of a header line, which nobody may change: always the
// same slice for the same line, so that what belongs to them can be remembered too.
func (h *Headers) columns(line []byte, split func(string) []string) []string {
	if h == nil || len(line) > maxHeaderLine {
		names, _ := text(line)
		return numbered(split(names))
	}
	h.mu.RLock()
	columns, known := h.lines[string(line)]
	h.mu.RUnlock()
	if known {
		return columns
	}
	names, _ := text(line)
	columns = slices.Clip(numbered(split(names)))
	h.mu.Lock()
	defer h.mu.Unlock()
	if first, known := h.lines[string(line)]; known { // by another goroutine meanwhile
		return first
	}
	if h.lines == nil {
		h.lines = make(map[string][]string)
	}
	if len(h.lines) < maxHeaders {
		h.lines[string(line)] = columns
	}
	return columns
}

// known gives the columns of a line if they are remembered.
func (h *Headers) known(line []byte) ([]string, bool) {
	if h == nil || len(line) > maxHeaderLine {
		return nil, false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	columns, ok := h.lines[string(line)]
	return columns, ok
}
