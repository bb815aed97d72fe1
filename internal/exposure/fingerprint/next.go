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

// Ask says what the operator allows.
type Ask struct {
	// Manifest allows the export tool's manifest to be asked for.
	Manifest bool
}

// Next gives the path whose answer would narrow the build further, or false when
// nothing is left to learn from the closed set: the build is exact, the host is
// no target, or all was asked. It never names a path twice, but for a login page
// that sends its visitor to itself.
//
// The login page comes first. It alone shows the exact build of 2007 and 2010, the
// line of all later ones and, since 2022, their build too; and a page that is none
// says most about what else may be there.
func (r *Reading) Next(ask Ask) (string, bool) {
	if len(r.scan.asked) == 0 {
		return r.begin(ask), true
	}
	c := r.conclude()
	o, v := &c.Observation, &c.view
	if v.toItself && o.Outcome == exposure.Hidden && r.times(PathLogon) == 1 {
		return PathLogon, true
	}
	for _, p := range r.wanted(o, v, ask) {
		if r.times(p) == 0 {
			return p, true
		}
	}
	return "", false
}

// begin gives the first place: what told most at an earlier scan, or else the login page.
func (r *Reading) begin(ask Ask) string {
	switch {
	case r.first == exposure.HintManifest && ask.Manifest:
		return PathManifest
	case r.first == exposure.HintSignIn:
		return PathAutodiscover
	}
	return PathLogon
}

// wanted gives the paths that may still tell something, the most telling first,
// whether they were asked for or not.
func (r *Reading) wanted(o *exposure.Observation, v *view, ask Ask) []string {
	switch o.Outcome {
	case exposure.Cloud, exposure.Imitation:
		return nil
	case exposure.Hidden, exposure.NotExchange:
		if r.first != exposure.HintNone && r.times(PathLogon) == 0 { // an earlier scan knew better where to begin, and it is so no more
			return []string{PathLogon}
		}
	}
	switch o.Outcome {
	case exposure.Hidden:
		// What stands before the pages for people often lets phones and Outlook pass.
		return []string{PathAutodiscover, PathActiveSync, PathEWS}
	case exposure.NotExchange:
		switch {
		case v.hint:
			return []string{PathAutodiscover, PathEWS, PathHealth}
		case r.stranger():
			return nil
		}
		// OWA may be shut to strangers while Outlook's place is open.
		return []string{PathAutodiscover}
	}
	if !open(o) {
		return nil
	}
	var paths []string
	if o.Build.IsZero() && !v.broken && !v.gateway {
		paths = append(paths, PathLogon)
	}
	if v.versions == 0 && !v.rewritten && !r.askedToSignIn() && r.book.writesHeader(o, r.clock()) && !r.taken(o, v) {
		// From July to December 2021 only places that ask for a sign-in show the build.
		paths = append(paths, PathAutodiscover, PathEWS)
	}
	if ask.Manifest && manifestHelps(o) && !v.gateway && !r.noTool(o) { // who shuts OWA away shuts the tools for administrators away too
		paths = append(paths, PathManifest)
	}
	return paths
}

// noTool says whether an earlier scan was refused the manifest and the host is still of the
// same line: a newer one is another installation, which may show what the old one did not.
func (r *Reading) noTool(o *exposure.Observation) bool {
	return r.first == exposure.HintNoTool && r.firstLine == LineOf(o)
}

// LineOf names the CU line of a record among those of all editions.
func LineOf(o *exposure.Observation) string { return o.Product + " " + o.Line }

// HintOf reads from a stored record what to ask first when its host is looked at again,
// and what need not be asked again.
func HintOf(o *exposure.Observation) exposure.Hint {
	if o.Outcome != exposure.Exchange || len(o.Members) > 0 {
		return exposure.HintNone
	}
	var tool, refused, signIn bool
	for _, e := range o.Evidence {
		switch s := parseSignal(e); {
		case s.kind == sigVersion && (signInPath(s.path()) || s.path() == PathActiveSync):
			signIn = true
		case s.kind == sigVersion, s.kind == sigLegacy:
			return exposure.HintNone // the login page tells
		case s.kind == sigManifest:
			tool = true
		case s.path() == clean(PathManifest, maxValue) && s.status >= 400 && s.status < 500:
			refused = true
		}
	}
	switch {
	case signIn && !o.Has(exposure.HeadersRewritten):
		return exposure.HintSignIn
	case tool:
		return exposure.HintManifest
	case refused:
		return exposure.HintNoTool
	}
	return exposure.HintNone
}

// times gives how often a path was asked for.
func (r *Reading) times(path string) (n int) {
	for _, p := range r.scan.asked {
		if p == path {
			n++
		}
	}
	return n
}

// askedToSignIn says whether a place that asks strangers to sign in has done so. If
// it did not show the build then, another such place will not.
func (r *Reading) askedToSignIn() bool {
	return slices.ContainsFunc(r.scan.signals, func(s signal) bool {
		return s.status == 401 && (signInPath(s.path()) || s.path() == PathActiveSync)
	})
}

// taken says whether something on the way takes headers away: the login page came without
// the one that every build it may be of writes there, and without any other of the
// server's own. What is taken from one answer is taken from the next.
func (r *Reading) taken(o *exposure.Observation, v *view) bool {
	return v.runtime == "" && len(v.frontends) == 0 && r.book.pageWrites(o) &&
		slices.ContainsFunc(r.scan.signals, func(s signal) bool { return s.kind == sigPath && s.path() == PathLogon })
}

// open says whether the build is not exact, or of a pool that of a member.
func open(o *exposure.Observation) bool {
	if len(o.Members) == 0 {
		return o.Build.Exact.IsZero()
	}
	return slices.ContainsFunc(o.Members, func(m exposure.Member) bool { return m.Build.Exact.IsZero() })
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

// proxies are the servers, "" is none named, that stand before an Exchange and answer
// for places that they do not pass on.
var proxies = []string{"", "nginx", "haproxy", "openresty", "envoy", "awselb", "cloudflare", "bigip", "big-ip", "apache", "microsoft-iis", "microsoft-httpapi"}

// stranger says whether the answers so far are of something that neither is an
// Exchange nor stands before one: a page of its own for everybody, a redirect to
// a place of its own, or the refusal of a device that nobody puts in front.
func (r *Reading) stranger() bool {
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
		case s.status == 200, s.status == 400:
			return true
		case s.status > 400 && s.status < 500 && !slices.Contains(proxies, server):
			return true
		}
	}
	return false
}
