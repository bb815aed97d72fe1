package fleet

import (
	"encoding/hex"
	"fmt"
	"iter"
	"strconv"
	"time"

	"postern"
)

// Scan is one scan of all hosts.
type Scan struct {
	Day int
	// Reach is the share of hosts that the scan gets to at all; the rest has a line
	// that says timeout. 0 is all.
	Reach float64
}

// Observer says how well the scans see.
type Observer struct {
	Scans []Scan
	// Insight is the share of hosts whose exact build is known all the same, for
	// example because their administrators report it. 0 is what can be seen from outside.
	Insight float64
	// Scope is the label of the scope in every line; "" is "exercise".
	Scope string
}

// scanHours is how long a scan takes from six in the morning on.
const scanHours = 12

// Observe gives the lines that an honest observer of the population writes, scan
// after scan, each with its line end: schema postern.exposure/1. No socket is
// opened and nothing is kept, so tens of millions of lines take no memory. The
// hashes in them stand for certificates and keys; they are not those of a fleet.
// A line is valid until the next one. Single use.
func Observe(o Options, by Observer) (iter.Seq[[]byte], error) {
	p, err := newPopulation(o)
	if err != nil {
		return nil, err
	}
	if by.Scope == "" {
		by.Scope = "exercise"
	}
	for i, s := range by.Scans {
		switch {
		case s.Day < 0 || s.Day > MaxDay:
			return nil, fmt.Errorf("scan on day %d: want 0 to %d", s.Day, MaxDay)
		case s.Reach < 0 || s.Reach > 1:
			return nil, fmt.Errorf("scan of a share of %g: want 0 to 1", s.Reach)
		case s.Reach == 0:
			by.Scans[i].Reach = 1
		}
	}
	return func(yield func([]byte) bool) {
		w := writer{p: p, by: by}
		for _, s := range by.Scans {
			for i := range p.o.Hosts {
				h := p.host(i)
				if !yield(w.line(&h, s)) {
					return
				}
			}
		}
	}, nil
}

// writer puts lines together in one buffer.
type writer struct {
	p  *population
	by Observer
	b  []byte
}

func (w *writer) key(name string) { w.b = append(append(append(w.b, ',', '"'), name...), '"', ':') }

// text adds a field. All texts here are plain ASCII without quotes.
func (w *writer) text(name, value string) {
	w.key(name)
	w.b = append(append(append(w.b, '"'), value...), '"')
}

func (w *writer) build(r *release) {
	w.b = append(append(append(w.b, '"'), r.text...), '"')
}

// line writes what a scan says of a host.
func (w *writer) line(h *host, s Scan) []byte {
	p := w.p
	d := diceOf(uint64(h.dice), uint64(s.Day), 'v')
	kind, away := h.on(p, s.Day)
	at := p.home(h, s.Day).String()
	port := strconv.Itoa(max(p.o.Port, 443))
	name := p.name(h)
	when := Date(s.Day).Add(6*time.Hour + time.Duration(d.share(forTime)*scanHours*float64(time.Hour)).Truncate(time.Second))
	outcome := "exchange"
	switch {
	case away == refusing:
		outcome = "reset"
	case away == silent || kind == Dead || d.share(forReach) >= s.Reach:
		outcome = "timeout"
	case kind == Closed:
		outcome = "refused"
	case kind == Restricted, kind == Gateway && !h.passes(kind).direct:
		outcome = "hidden"
	case kind == CloudHost || kind == CloudName:
		outcome = "cloud"
	case kind == Honeypot || kind == Profile || kind == Phishing:
		outcome = "imitation"
	case !kind.IsExchange():
		outcome = "not-exchange"
	}
	w.b = append(w.b[:0], `{"schema":"postern.exposure/1"`...)
	w.text("target", at+":"+port)
	w.text("address", at)
	w.key("port")
	w.b = append(w.b, port...)
	w.text("name", name)
	w.key("time")
	w.b = when.AppendFormat(append(w.b, '"'), time.RFC3339)
	w.b = append(w.b, '"')
	w.text("outcome", outcome)
	switch outcome {
	case "exchange":
		w.exchange(h, kind, s.Day, d)
	case "hidden":
		w.nothing()
		w.identity(h, d, false)
	default:
		w.nothing()
		w.b = append(w.b, `,"identity":{"frontend":"","fqdn":"","certificate_sha256":"","key_sha256":""}`...)
	}
	if outcome == "timeout" || outcome == "refused" || outcome == "reset" {
		w.b = append(w.b, `,"tls":{"version":"","profile":""},"flags":[],"reason":"","evidence":[],"requests":0,"bytes":0`...)
	} else {
		w.b = append(w.b, `,"tls":{"version":"1.3","profile":"modern"},"flags":[],"reason":"","evidence":[],"requests":1,"bytes":1200`...)
	}
	b := p.belongs(h)
	w.text("scope", w.by.Scope)
	w.key("asn")
	w.b = strconv.AppendUint(w.b, uint64(b.asn), 10)
	w.text("country", b.country)
	w.text("sector", b.sector)
	w.text("operator", b.operator)
	w.b = append(w.b, '}', '\n')
	return w.b
}

func (w *writer) nothing() {
	w.b = append(w.b, `,"product":"","line":"","build":{"exact":"","low":"","high":""},"assessments":{}`...)
}

// exchange writes what is known of the build, of every front end of a farm.
func (w *writer) exchange(h *host, kind Kind, day int, d dice) {
	if h.members == 1 {
		w.member(h, kind, day, 0)
		w.identity(h, d, true)
		return
	}
	weakest := 0
	for k := 1; k < h.members; k++ {
		if w.older(h, k, weakest, day) {
			weakest = k
		}
	}
	w.member(h, kind, day, weakest)
	w.identity(h, d, true)
	w.b = append(w.b, `,"members":[`...)
	for k := range h.members {
		if k > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(append(append(w.b, `{"frontend":"`...), w.p.frontend(h, k)...), '"')
		w.text("fqdn", w.p.fqdn(h, k))
		w.text("host", "fqdn:"+w.p.fqdn(h, k))
		w.member(h, kind, day, k)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// older says whether front end a runs an older build than front end b.
func (w *writer) older(h *host, a, b, day int) bool {
	at := func(k int) postern.Build {
		life := w.p.live(h, k)
		l, r := life.at(w.p.table, day)
		return w.p.table.lines[l].releases[r].build
	}
	return at(a).Compare(at(b)) < 0
}

// member writes product, line, build and assessment of one front end.
func (w *writer) member(h *host, kind Kind, day, member int) {
	life := w.p.live(h, member)
	lineIndex, rel := life.at(w.p.table, day)
	l := &w.p.table.lines[lineIndex]
	v := w.p.sees(h, kind, lineIndex, rel, day)
	if h.dice.share(forInsight) < w.by.Insight {
		v = view{as: ExactBuild, line: lineIndex, low: rel, high: rel}
	}
	switch v.as {
	case ExactBuild, LowerBound, LineOnly:
	default:
		w.text("product", "exchange")
		w.b = append(w.b, `,"line":"","build":{"exact":"","low":"","high":""},"assessments":{`...)
		w.assessment(postern.Undecidable)
		return
	}
	w.text("product", l.edition)
	w.text("line", l.name)
	w.b = append(w.b, `,"build":{"exact":`...)
	if v.as == ExactBuild {
		w.build(&l.releases[v.low])
	} else {
		w.b = append(w.b, '"', '"')
	}
	w.b = append(w.b, `,"low":`...)
	w.build(&l.releases[v.low])
	w.b = append(w.b, `,"high":`...)
	w.build(&l.releases[v.high])
	w.b = append(w.b, `},"assessments":{`...)
	w.assessment(l.over(v.low, v.high))
}

func (w *writer) assessment(a postern.Assessment) {
	if w.p.o.CVE != "" && a != "" {
		w.b = append(append(append(append(append(w.b, '"'), w.p.o.CVE...), `":"`...), a...), '"')
	}
	w.b = append(w.b, '}')
}

// identity writes who the host is: by its full name when the health check was
// asked, which not every visit does, and by what the visit shows otherwise.
func (w *writer) identity(h *host, d dice, answers bool) {
	var raw [16]byte
	hash := func(p purpose) string {
		for i := range 2 {
			x := h.dice.bits(p + purpose(i)<<8)
			for j := range 8 {
				raw[8*i+j] = byte(x >> (8 * j))
			}
		}
		return hex.EncodeToString(raw[:]) + hex.EncodeToString(raw[:])
	}
	cert, key := hash(forCertificate), hash(forKey)
	frontend, fqdn := "", ""
	strong := "key:" + key
	if answers {
		frontend = w.p.frontend(h, 0)
		strong = "frontend:" + frontend + "+" + cert[:16]
	}
	also := ""
	if answers && d.share(forHealth) < .8 {
		fqdn = w.p.fqdn(h, 0)
		strong, also = "fqdn:"+fqdn, strong
	}
	w.b = append(w.b, `,"identity":{"frontend":"`...)
	w.b = append(append(w.b, frontend...), '"')
	w.text("fqdn", fqdn)
	w.text("certificate_sha256", cert)
	w.text("key_sha256", key)
	w.text("host", strong)
	if also != "" {
		w.b = append(append(append(w.b, `,"also":["`...), also...), `"]`...)
	}
	w.b = append(w.b, '}')
}
