package indicator

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern"
)

// Bounds of rows.
const (
	// maxSightings are the indicators remembered for one host; what more of them are
	// seen is counted.
	maxSightings = 20_000
	// maxEntity is kept of one value: findings stay in memory until their host is done.
	maxEntity = 2048
	// maxParts of one value are looked at: addresses in a list, labels of a domain,
	// parameters of a query.
	maxParts = 64
)

// role is what a field of a row holds.
type role uint8

const (
	roleNone    role = iota
	roleAddress      // one, or a list as proxies make it
	roleAgent
	roleHost     // name of a host, with or without port
	rolePath     // of a request, without query
	roleURL      // of a request, with query; or a whole address
	roleQuery    // name=value pairs
	roleCookies  // name=value pairs
	roleFile     // path of a file on the server
	roleHashes   // SHA256=…,MD5=…
	roleFullPath // of a request, canonical
)

// roles says by the name of a field, without case and blanks, what it holds: those of
// the text logs, the canonical ones that parsers add, and those of Windows' event logs
// and Sysmon.
var roles = map[string]role{
	"clientip": roleAddress, "c-ip": roleAddress, "clientipaddress": roleAddress, "x-forwarded-for": roleAddress,
	"ipaddress": roleAddress, "sourceip": roleAddress, "destinationip": roleAddress, "sourceaddress": roleAddress, "destaddress": roleAddress, "clientaddress": roleAddress,
	"agent": roleAgent, "cs(user-agent)": roleAgent, "useragent": roleAgent, "clientsoftware": roleAgent, "clientinfo": roleAgent,
	"urlhost": roleHost, "cs-host": roleHost, "backendhost": roleHost, "queryname": roleHost, "destinationhostname": roleHost, "sourcehostname": roleHost,
	"cs(referer)": roleURL, "url": roleURL,
	"urlpath": roleFullPath, "cs-uri-stem": rolePath, "urlstem": rolePath, "backendurl": roleFullPath,
	"arguments": roleQuery, "cs(cookie)": roleCookies,
	"image": roleFile, "parentimage": roleFile, "targetfilename": roleFile, "imageloaded": roleFile, "newprocessname": roleFile,
	"parentprocessname": roleFile, "imagepath": roleFile, "servicefilename": roleFile, "targetfile": roleFile,
	"hashes": roleHashes, "hash": roleHashes,
}

func roleOf(name string) role {
	if r, ok := roles[name]; ok {
		return r
	}
	var buf [64]byte
	if len(name) > len(buf) {
		return roleNone
	}
	key := buf[:0]
	for i := range len(name) {
		if c := name[i]; c != ' ' {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			key = append(key, c)
		}
	}
	return roles[string(key)]
}

// uses says whether the set has anything that a field of a role is compared with.
func (s *Set) uses(r role, count *[kinds]int) bool {
	switch r {
	case roleAddress:
		return count[kindAddress] > 0
	case roleAgent:
		return count[kindAgent] > 0
	case roleHost:
		return count[kindDomain] > 0 || count[kindAddress] > 0
	case rolePath, roleFullPath:
		return count[kindURL] > 0 || count[kindName] > 0
	case roleURL:
		return count[kindURL] > 0 || count[kindDomain] > 0
	case roleQuery, roleCookies:
		return count[kindParameter] > 0
	case roleFile:
		return count[kindPath] > 0 || count[kindName] > 0
	case roleHashes:
		return count[kindSHA256]+count[kindSHA1]+count[kindMD5] > 0
	}
	return false
}

// visit is told each key of a value that is looked up. It answers whether to go on.
type visit func(k kind, key []byte) bool

// keys makes the keys of a field's value. Host is that of the row, "" if it has none.
func keys(r role, v, host string, buf []byte, f visit) {
	if v == "" || v == "-" || len(v) > maxValue {
		return
	}
	switch r {
	case roleAddress:
		addresses(v, f)
	case roleAgent:
		f(kindAgent, appendAgent(buf, v))
	case roleHost:
		hosts(v, buf, f)
	case rolePath, roleFullPath:
		path := appendLower(buf, v)
		if !f(kindURL, path) || !pageName(path, f) || host == "" {
			return
		}
		f(kindURL, appendLower(appendLower(path, hostOnly(host)), v)[len(path):])
	case roleURL:
		whole, ok := appendURL(buf, v)
		if !ok || !f(kindURL, whole) {
			return
		}
		if whole[0] == '/' {
			if host != "" {
				f(kindURL, append(appendLower(whole, hostOnly(host)), whole...)[len(whole):])
			}
			return
		}
		if i := bytes.IndexByte(whole, '?'); i > 0 && !f(kindURL, whole[:i]) {
			return
		}
		name, _, _ := bytes.Cut(whole, []byte{'/'})
		hosts(string(name), whole, f)
	case roleQuery, roleCookies:
		sep := byte('&')
		if r == roleCookies {
			sep = ';'
		}
		parameters(v, sep, f)
	case roleFile:
		p := serverPath(v)
		slash := strings.LastIndexByte(p, '/')
		key := append(buf, p...)
		if !f(kindName, key[len(buf)+slash+1:]) {
			return
		}
		f(kindPath, key[len(buf):])
		for i, n := slash, 0; i > 0 && n < maxParts; i, n = strings.LastIndexByte(p[:i], '/'), n+1 {
			if !f(kindPath, key[len(buf):len(buf)+i+1]) {
				return
			}
		}
	case roleHashes:
		for part := range strings.SplitSeq(v, ",") {
			_, digits, named := strings.Cut(part, "=")
			if !named {
				digits = part
			}
			if k, ok := Guess(strings.TrimSpace(digits)); ok {
				kind, _ := kindOf(k)
				if key, ok := appendKey(buf, kind, digits); ok && kind <= kindMD5 && !f(kind, key) {
					return
				}
			}
		}
	}
}

// addresses visits those of a list.
func addresses(v string, f visit) {
	var buf [17]byte
	for n, at := 0, 0; at < len(v) && n < maxParts; n++ {
		var addr netip.Addr
		if addr, at = nextAddress(v, at); addr.IsValid() && !f(kindAddress, appendAddr(buf[:0], addr)) {
			return
		}
	}
}

// nextAddress reads the part of a list at a place, the zero value if it is no address,
// and says where the next begins.
func nextAddress[T text](v T, at int) (netip.Addr, int) {
	end := at
	for end < len(v) && v[end] != ',' && v[end] != ' ' && v[end] != '+' && v[end] != ';' {
		end++
	}
	addr, ok := parse4(v[at:end])
	if !ok && end-at >= 2 {
		addr, _ = parseAddr(string(v[at:end]))
	}
	return addr, end + 1
}

// parse4 reads the common form of an address, which nearly all are in.
func parse4[T text](v T) (netip.Addr, bool) {
	var b [4]byte
	part, n, digits := 0, 0, 0
	for i := range len(v) {
		switch c := v[i]; {
		case c >= '0' && c <= '9':
			if n = 10*n + int(c-'0'); n > 255 || digits > 0 && n < 10 {
				return netip.Addr{}, false
			}
			digits++
		case c == '.' && digits > 0 && part < 3:
			b[part] = byte(n)
			part, n, digits = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	b[3] = byte(n)
	return netip.AddrFrom4(b), true
}

// hosts visits a name and the domains that it is in, or an address.
func hosts(v string, buf []byte, f visit) {
	v = asked(hostOnly(v))
	if addr, ok := parseAddr(v); ok {
		var b [17]byte
		f(kindAddress, appendAddr(b[:0], addr))
		return
	}
	start := len(buf)
	name := bytes.TrimSuffix(appendLower(buf, v)[start:], []byte{'.'})
	for n := 0; n < maxParts; n++ {
		dot := bytes.IndexByte(name, '.')
		if dot < 0 || !f(kindDomain, name) {
			return
		}
		name = name[dot+1:]
	}
}

// hostOnly takes port and brackets away.
func hostOnly(v string) string {
	if i := strings.LastIndexByte(v, ':'); i > 0 && strings.IndexByte(v, ':') == i {
		return v[:i]
	}
	return strings.Trim(v, "[]")
}

// pageName visits the name of the page in a path. Only names of what a server runs are
// compared: a site is full of others that a list could have too.
func pageName(path []byte, f visit) bool {
	for n := 0; n < maxParts; n++ {
		slash := bytes.IndexByte(path, '/')
		part := path
		if slash >= 0 {
			part = path[:slash]
		}
		if dot := bytes.LastIndexByte(part, '.'); dot > 0 && pages[string(part[dot:])] {
			if slices.IndexFunc(part, func(c byte) bool { return c >= 0x80 }) >= 0 {
				part = bytes.ToLower(part)
			}
			return f(kindName, part)
		}
		if slash < 0 {
			break
		}
		path = path[slash+1:]
	}
	return true
}

func parameters(v string, sep byte, f visit) {
	for n := 0; len(v) > 0 && n < maxParts; n++ {
		pair := v
		if i := strings.IndexByte(v, sep); i >= 0 {
			pair, v = v[:i], v[i+1:]
		} else {
			v = ""
		}
		name, _, _ := strings.Cut(strings.Trim(pair, " +?"), "=")
		var b [64]byte
		if name != "" && !f(kindParameter, append(b[:0], name...)) {
			return
		}
	}
}

// Host gathers what the rows of one host hold. Look is used by several goroutines.
type Host struct {
	set *Set
	now int64

	mu   sync.Mutex
	seen map[uint32]*sighting // by number of the entry
	lost int64
}

// sighting is one indicator in the rows of one host: the first row, in the order of
// time and place, and how many there were.
type sighting struct {
	first  postern.Event // without its fields
	fields []postern.Field
	last   postern.Instant
	count  int64
}

// NewHost gives what looks at the rows of one host.
func (s *Set) NewHost(now postern.Instant) *Host {
	return &Host{set: s, now: now.Unix(), seen: make(map[uint32]*sighting)}
}

// Match is an indicator that a row holds.
type Match struct{ number uint32 }

// Look gives the indicators that a row holds.
func (h *Host) Look(ev *postern.Event) []Match {
	s := h.set
	var found []Match
	host := hostOf(ev)
	var buf [512]byte
	see := func(k kind, key []byte) bool {
		if k == kindAddress {
			addr, _ := netip.AddrFromSlice(key)
			single, nets := s.findAddress(addr)
			found = h.holding(found, single, ev)
			for _, n := range nets {
				found = h.holding(found, n, ev)
			}
			return true
		}
		found = h.holding(found, s.find(k, key), ev)
		return true
	}
	for _, list := range [2][]postern.Field{ev.Derived, ev.Fields} {
		for i := range list {
			if r := roleOf(list[i].Name); r != roleNone && s.uses(r, &s.count) {
				keys(r, list[i].Value, host, buf[:0], see)
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, func(a, b Match) int { return cmp.Compare(a.number, b.number) })
	return slices.Compact(found)
}

// hostOf is the host that a request was for, "" if its row does not say.
func hostOf(ev *postern.Event) string {
	return cmp.Or(ev.Get("UrlHost"), ev.Get("cs-host"))
}

// holding adds the entries of a key that were in force at the time of the row and of
// which everything else holds too.
func (h *Host) holding(found []Match, first uint32, ev *postern.Event) []Match {
	s := h.set
	for n := first; n != 0; n = s.entries[n-1].next {
		e := &s.entries[n-1]
		at := h.now
		if !ev.Time.IsZero() {
			at = ev.Time.Unix()
		}
		if e.until != 0 && e.until <= at || e.kind == kindStem {
			continue
		}
		// The product's own pages have names of the packs too, in other folders: their
		// rules know which.
		if e.kind == kindName && (!s.origins[e.origin].feed || e.place) {
			continue
		}
		if e.and != 0 && !s.rowHolds(s.and[e.and-1], ev) {
			continue
		}
		found = append(found, Match{n})
	}
	return found
}

// rowHolds says whether a row has all of some conditions.
func (s *Set) rowHolds(all []condition, ev *postern.Event) bool {
	host := hostOf(ev)
	var buf [512]byte
	for _, c := range all {
		held, first := false, true
		see := func(k kind, key []byte) bool {
			switch {
			case k != c.kind || held:
			case c.test == nil:
				held = string(key) == c.key || k == kindAddress && within(key, c.key)
			case first || k != kindDomain: // behind a name come the domains that it is in
				held, first = c.test.holds(k, string(key)), false
			}
			return !held
		}
		for _, list := range [2][]postern.Field{ev.Derived, ev.Fields} {
			for i := range list {
				first = true
				if r := roleOf(list[i].Name); r != roleNone && !held {
					keys(r, list[i].Value, host, buf[:0], see)
				}
			}
		}
		if !held {
			return false
		}
	}
	return true
}

// within says whether an address lies in a network.
func within(key []byte, net string) bool {
	if !isNetwork([]byte(net)) {
		return false
	}
	a, ok := netip.AddrFromSlice(key)
	return ok && network([]byte(net)).Contains(a)
}

// kept are the fields of a row that a finding shows, as each is called there.
var kept = []struct{ entity, field string }{
	{postern.ClientIP, "ClientIp"}, {postern.UserAgent, "Agent"}, {postern.URL, "UrlPath"}, {postern.RequestID, "RequestId"},
	{postern.HTTPStatus, "sc-status"}, {postern.HTTPStatus, "HttpStatus"}, {postern.Method, "cs-method"}, {postern.Method, "Method"},
	{postern.File, "TargetFilename"}, {postern.File, "Image"}, {postern.File, "NewProcessName"}, {postern.Account, "User"},
}

// Remember books that a row held indicators. Those of packs are left out where rules
// found the row by themselves: [Host.Beside] says them there.
func (h *Host) Remember(ev *postern.Event, found []Match, ruled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range found {
		if ruled && !h.set.origins[h.set.entries[m.number-1].origin].feed {
			continue
		}
		n := h.seen[m.number]
		if n == nil {
			if len(h.seen) >= maxSightings {
				h.lost++
				continue
			}
			n = &sighting{}
			h.seen[m.number] = n
		}
		n.count++
		if ev.Time.After(n.last) {
			n.last = ev.Time
		}
		if n.count == 1 || before(ev, &n.first) {
			n.first = postern.Event{Source: ev.Source, Time: ev.Time, Place: ev.Place, Raw: strings.Clone(cut(ev.Raw, maxEntity))}
			n.fields = n.fields[:0]
			for _, k := range kept {
				if v := ev.Get(k.field); v != "" && v != "-" {
					n.fields = append(n.fields, postern.Field{Name: k.entity, Value: strings.Clone(cut(v, maxEntity))})
				}
			}
		}
	}
}

// before orders rows by time and place, so that nothing depends on which was read first.
func before(a, b *postern.Event) bool {
	if a.Time.IsZero() != b.Time.IsZero() {
		return b.Time.IsZero()
	}
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Place.Path, b.Place.Path),
		cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Record, b.Place.Record)) < 0
}

// Beside adds to a finding about a row that the row holds indicators: they weigh a
// sentence each, and change neither level nor confidence.
func (h *Host) Beside(f *postern.Finding, found []Match) {
	for i, m := range found {
		if i == maxShown {
			f.Explain = append(f.Explain, postern.Say("indicator.more", "count", len(found)-maxShown))
			break
		}
		e := &h.set.entries[m.number-1]
		f.Explain = append(f.Explain, h.set.said(e, h.set.about(e)))
	}
	if len(found) > 0 && !f.HasTag(tagIndicator) {
		f.Tags = append(f.Tags, tagIndicator)
	}
}

// Findings gives one finding for each indicator that rows held, in the order of their
// numbers.
func (h *Host) Findings() []postern.Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []postern.Finding
	numbers := make([]uint32, 0, len(h.seen))
	for n := range h.seen {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		all = append(all, h.finding(n, h.seen[n]))
	}
	return all
}

func (h *Host) finding(number uint32, n *sighting) postern.Finding {
	s := h.set
	e := &s.entries[number-1]
	a := s.about(e)
	rule := RuleRow
	f := postern.Finding{Level: postern.NotSeen, Confidence: postern.Low, Title: postern.Say("indicator.row.title"), Time: n.first.Time, Tags: []string{tagIndicator}}
	if e.kind <= kindMD5 {
		rule = RuleRowHash
		f.Title, f.Campaign = postern.Say("indicator.row-hash.title"), a.Campaign
		f.Level, f.Confidence = judge(a.Note)
	}
	at := postern.Evidence{Path: n.first.Place.Path, Line: n.first.Place.Line, Record: n.first.Place.Record, Offset: n.first.Place.Offset, Excerpt: cmp.Or(n.first.Raw, s.shown(e))}
	f.Rule, f.Evidence = rule, []postern.Evidence{at}
	// One row can hold several indicators: each has its own name.
	f.ID = postern.FindingID(rule+"/"+s.shown(e)+"/"+a.Source+"/"+a.ID, at)
	for _, field := range n.fields {
		f.Set(field.Name, field.Value)
	}
	s.describe(&f, []uint32{number})
	if e.until != 0 && e.until <= h.now {
		f.Explain = append(f.Explain, postern.Say("indicator.since-expired", "time", a.Until.Format("2006-01-02")))
	}
	if rule == RuleRow {
		f.Explain = append(f.Explain, postern.Say("indicator.weak"))
	}
	if n.count > 1 {
		f.Set(postern.Count, strconv.FormatInt(n.count, 10))
		if !n.last.IsZero() {
			f.Set(entityRow, n.last.UTC().Format("2006-01-02T15:04:05Z"))
		}
	}
	if h.lost > 0 {
		f.Explain = append(f.Explain, postern.Say("indicator.sightings-lost", "count", h.lost, "bound", maxSightings))
	}
	return f
}
