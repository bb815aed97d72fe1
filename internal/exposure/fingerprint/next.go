package fingerprint

import (
	"slices"
	"strings"

	"postern/internal/exposure"
)

// The paths that advice can name; all of them belong to the closed request set.
const (
	PathAutodiscover = "/autodiscover/autodiscover.xml"
	PathOWA          = "/owa/"
	PathLogon        = "/owa/auth/logon.aspx"
	PathEWS          = "/EWS/Exchange.asmx"
	PathActiveSync   = "/Microsoft-Server-ActiveSync"
	PathHealth       = "/owa/healthcheck.htm"
	PathManifest     = "/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application"
)

// Paths gives all that advice can name, so that a test can hold it against the
// closed request set.
func Paths() []string {
	return []string{PathAutodiscover, PathOWA, PathLogon, PathEWS, PathActiveSync, PathHealth, PathManifest}
}

// Ask says what the operator allows and wants to know.
type Ask struct {
	// Manifest allows the export tool's manifest to be asked for.
	Manifest bool
	// Open says whether the question is still open for a product, line and interval,
	// for example because a CVE is undecidable in it. Nil: as long as the build is
	// not exact.
	Open func(edition, line string, r exposure.Range) bool
}

// Next gives the path whose answer would narrow the build further, or false when
// nothing is left to learn from the closed set: the build is exact, the host is
// no target, or all was asked. It never names a path twice.
func (r *Reading) Next(ask Ask) (string, bool) {
	first := func(paths ...string) (string, bool) {
		for _, p := range paths {
			if !r.asked(p) {
				return p, true
			}
		}
		return "", false
	}
	if len(r.scan.asked) == 0 {
		return first(PathAutodiscover)
	}
	var o exposure.Observation
	r.Conclude(&o)
	v := r.look()
	switch o.Outcome {
	case exposure.Cloud, exposure.Imitation:
		return "", false
	case exposure.Hidden:
		if v.toLogon && !r.asked(PathLogon) {
			return first(PathLogon)
		}
		if r.asked(PathOWA) || v.gateway {
			return first(PathEWS, PathActiveSync, PathHealth)
		}
		return first(PathOWA, PathEWS)
	case exposure.NotExchange:
		switch {
		case v.hint:
			return first(PathLogon, PathEWS, PathHealth)
		case r.stranger():
			return "", false
		case r.wantsSignIn():
			// 2010 and hosts without the front-end header: the login page says more than the redirect to it.
			return first(PathLogon)
		}
		return first(PathOWA)
	}
	if !r.open(&o, ask) {
		return "", false
	}
	var paths []string
	if !v.directWithout && v.versions == 0 && !v.rewritten {
		// No sign-in place has answered by itself yet: one that does shows the header.
		paths = append(paths, PathAutodiscover)
	}
	if o.Build.IsZero() || v.rewritten && o.Line == "" {
		paths = append(paths, PathLogon)
	}
	if !v.directWithout && v.versions == 0 && !v.rewritten {
		paths = append(paths, PathEWS)
	}
	if p, ok := first(paths...); ok {
		return p, true
	}
	if ask.Manifest && manifestHelps(&o) {
		if p, ok := first(PathManifest); ok {
			return p, true
		}
	}
	if o.Build.IsZero() && v.health == "" {
		return first(PathHealth)
	}
	return "", false
}

// Decided says whether nothing is left to ask.
func (r *Reading) Decided(ask Ask) bool {
	_, more := r.Next(ask)
	return !more
}

func (r *Reading) asked(path string) bool {
	return slices.Contains(r.scan.asked, path)
}

// wantsSignIn says whether autodiscover asked for a sign-in, as Exchange does and
// others do too.
func (r *Reading) wantsSignIn() bool {
	return slices.ContainsFunc(r.scan.signals, func(s signal) bool { return s.path() == PathAutodiscover && s.status == 401 })
}

// open says whether any member's build still leaves the question open.
func (r *Reading) open(o *exposure.Observation, ask Ask) bool {
	members := o.Members
	if len(members) == 0 {
		members = []exposure.Member{{Product: o.Product, Line: o.Line, Build: o.Build}}
	}
	return slices.ContainsFunc(members, func(m exposure.Member) bool {
		if ask.Open != nil && !m.Build.IsZero() {
			return ask.Open(m.Product, m.Line, m.Build)
		}
		return m.Build.Exact.IsZero()
	})
}

// manifestHelps says whether a lower bound can still narrow anything: 2007 and
// 2010 have no such file, and an interval of one build has no lower part.
func manifestHelps(o *exposure.Observation) bool {
	switch o.Product {
	case "exchange-2007", "exchange-2010":
		return false
	}
	return o.Build.IsZero() || o.Build.Low != o.Build.High
}

// stranger says whether the answers so far are of something that neither is an
// Exchange nor stands before one: a page of its own for everybody, a redirect to
// a place of its own, or the refusal of a device that nobody puts in front.
func (r *Reading) stranger() bool {
	proxy := map[string]bool{"": true, "nginx": true, "haproxy": true, "openresty": true, "envoy": true,
		"awselb": true, "cloudflare": true, "bigip": true, "big-ip": true, "apache": true, "microsoft-iis": true, "microsoft-httpapi": true}
	server := ""
	for _, s := range r.scan.signals {
		if s.kind == sigServer {
			server, _, _ = strings.Cut(strings.ToLower(s.value), "/")
		}
	}
	for _, s := range r.scan.signals {
		switch {
		case s.kind == sigRedirect && (s.value == "elsewhere" || s.value == "path") && server != "microsoft-iis":
			return true
		case s.status == 200 && s.path() == PathAutodiscover:
			return true
		case s.status >= 400 && s.status < 500 && !proxy[server]:
			return true
		case (s.path() == PathOWA || s.path() == PathLogon) && (s.status == 404 || s.status == 400 || s.status == 200):
			return true
		}
	}
	return false
}
