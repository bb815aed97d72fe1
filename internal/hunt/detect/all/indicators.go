package all

import (
	"sync"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/indicator"
	"postern/internal/hunt/detect/literal"
	"postern/internal/hunt/parse"
)

// Indicators makes the detector of files that compares with indicators. All takes the
// hash of every file.
func Indicators(set *indicator.Set, k Layout, all bool, now time.Time) detect.FileDetector {
	files := indicator.Files{All: all, Now: now}
	for _, p := range k.Places {
		if p.Drop {
			files.Folders = append(files.Folders, p.Folder)
		}
	}
	for _, s := range k.Staging {
		files.Folders = append(files.Folders, s.Folder)
	}
	return indicator.NewDetector(set, files)
}

// WithIndicators gives the same rules, and rows are compared with indicators besides:
// every row with those of the user's feeds, and with those of the packs the rows that
// a rule may be about.
func (r *Rows) WithIndicators(set *indicator.Set, now time.Time) *Rows {
	with := *r
	with.signs = &signs{set: set, now: now, memory: new(indicator.Memory), made: make(map[gateKey]*indicator.Columns)}
	return &with
}

// signs are indicators with what looks at columns for them. Safe for use by several goroutines.
type signs struct {
	set    *indicator.Set
	now    time.Time
	memory *indicator.Memory

	mu   sync.Mutex
	made map[gateKey]*indicator.Columns
}

// gate lets through what the rules want, and rows whose columns hold an indicator.
func (s *signs) gate(rules *literal.Gate, f *parse.Format, columns []string) parse.Gate {
	work := rules.Start()
	if s == nil || len(columns) == 0 {
		return work
	}
	key := gateKey{f.Name, &columns[0], len(columns)}
	s.mu.Lock()
	defer s.mu.Unlock()
	look, known := s.made[key]
	if !known {
		look = s.set.Columns(f.Delim, columns, s.memory)
		if len(s.made) < maxGates {
			s.made[key] = look
		}
	}
	if look == nil {
		return work
	}
	return either{work, look}
}

// either passes what one of two gates passes.
type either struct {
	rules   *literal.Pass
	columns *indicator.Columns
}

func (e either) Pass(line []byte) bool { return e.rules.Pass(line) || e.columns.Pass(line) }

// compare looks at a row and says at each finding of it what indicators it holds.
func compare(h *indicator.Host, ev *postern.Event, findings []postern.Finding) {
	if h == nil {
		return
	}
	found := h.Look(ev)
	if len(found) == 0 {
		return
	}
	for i := range findings {
		h.Beside(&findings[i], found)
	}
	h.Remember(ev, found, len(findings) > 0)
}
