package watch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"postern"
)

// Bounds of what is raised one by one.
const (
	// window is how long what is alike is counted before the count is raised.
	window = time.Minute
	// perRule is how many different clients of one rule are raised in a window; the
	// rest of them is one count.
	perRule = 60
	// maxAlike bounds the kinds that are told apart at a time.
	maxAlike = 10_000
	// maxWho is kept of the name of a client or file.
	maxWho = 300
)

// quiet lets the first of what is alike through and counts the rest, so that somebody
// who knocks a million times drowns neither the receiver nor the knock of another.
// Nothing is lost: every finding is raised or counted, and counts are saved with
// positions.
type quiet struct {
	alike map[string]*alike
}

// alike is what is counted together: findings of a rule about one client, or, without
// one, about all clients beyond the bound.
type alike struct {
	Key   string        `json:"key"`
	Host  string        `json:"host"`
	Rule  string        `json:"rule"`
	Pack  string        `json:"campaign,omitempty"`
	Title postern.Text  `json:"title"`
	Level postern.Level `json:"level"`
	Who   string        `json:"who,omitempty"`
	Since time.Time     `json:"since"` // when the window began
	Let   int           `json:"let,omitempty"`
	Muted bool          `json:"muted,omitempty"` // counted with those beyond the bound
	Count int64         `json:"count,omitempty"`
	Other int64         `json:"other,omitempty"`
	First time.Time     `json:"first"`
	Last  time.Time     `json:"last"`

	dirty bool
}

// repeat is a count that is due.
type repeat struct {
	id, host string
	Repeat
}

func newQuiet(known map[string]*alike) *quiet { return &quiet{alike: known} }

// whoOf gives what a finding is about: a client, an account or a file.
func whoOf(f *postern.Finding) string {
	who := cmp.Or(f.Entities[postern.ClientIP], f.Entities[postern.Account], f.Entities[postern.File])
	if who == "" && len(f.Evidence) > 0 {
		who = f.Evidence[0].Path
	}
	return who[:min(len(who), maxWho)]
}

// lets says whether a finding is raised by itself; otherwise it was counted. Those with
// the same as are alike.
func (q *quiet) lets(host string, f *postern.Finding, as string, now time.Time) bool {
	kind := strings.Join([]string{host, f.Rule, f.Level.String()}, "\x00")
	key := kind + "\x00" + as
	if a := q.alike[key]; a != nil && (a.Count > 0 || now.Sub(a.Since) < window) {
		if a.Muted {
			q.all(kind, host, f, now).count(f)
			return false
		}
		a.count(f)
		return false
	}
	all := q.all(kind, host, f, now)
	if all.Let < perRule && len(q.alike) < maxAlike {
		all.Let++
		all.dirty = true
		q.alike[key] = newAlike(key, host, f, whoOf(f), now)
		return true
	}
	all.count(f)
	all.Other++
	if len(q.alike) < maxAlike {
		muted := newAlike(key, host, f, whoOf(f), now)
		muted.Muted = true
		q.alike[key] = muted
	}
	return false
}

// all gives the one that counts for all clients of a rule.
func (q *quiet) all(kind, host string, f *postern.Finding, now time.Time) *alike {
	a := q.alike[kind]
	if a == nil {
		a = newAlike(kind, host, f, "", now)
		q.alike[kind] = a
	}
	return a
}

func newAlike(key, host string, f *postern.Finding, who string, now time.Time) *alike {
	return &alike{Key: key, Host: host, Rule: f.Rule, Pack: f.Campaign, Title: f.Title, Level: f.Level, Who: who, Since: now.UTC(), dirty: true}
}

func (a *alike) count(f *postern.Finding) {
	a.Count++
	a.dirty = true
	if !f.Time.IsZero() && (a.First.IsZero() || f.Time.Before(a.First)) {
		a.First = f.Time
	}
	if f.Time.After(a.Last) {
		a.Last = f.Time
	}
}

// due gives the counts whose window is over, or all.
func (q *quiet) due(now time.Time, all bool) (due []repeat) {
	for key, a := range q.alike {
		over := now.Sub(a.Since) >= window || now.Before(a.Since)
		if !over && !(all && a.Count > 0) {
			continue
		}
		if a.Count > 0 {
			due = append(due, repeat{
				id: alertID("repeated", key, a.Since.UTC().Format(time.RFC3339Nano)), host: a.Host,
				Repeat: Repeat{Rule: a.Rule, Campaign: a.Pack, Title: a.Title, Level: a.Level, Who: a.Who, Count: a.Count, Others: a.Other, First: a.First, Last: a.Last},
			})
			a.Count, a.Other, a.Let, a.First, a.Last, a.dirty = 0, 0, 0, time.Time{}, time.Time{}, true
			a.Since = now.UTC()
			continue
		}
		a.Key, a.dirty = "", true // nothing came for a whole window
	}
	slices.SortFunc(due, func(a, b repeat) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Who, b.Who), strings.Compare(a.id, b.id))
	})
	return due
}

// save notes what has changed, and forgets what is over.
func (q *quiet) save(s *store) {
	for key, a := range q.alike {
		if !a.dirty {
			continue
		}
		a.dirty = false
		if a.Key == "" {
			delete(q.alike, key)
			s.put(entry{Loud: key})
			continue
		}
		s.put(entry{Alike: a})
	}
}
