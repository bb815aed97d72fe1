package fingerprint

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/internal/exposure"

	"pgregory.net/rapid"
)

// place is what may stand at an address on the day of a scan.
type place struct {
	now      exposure.Release
	tool     exposure.Release // the last one that brought another manifest; of the same line
	what     string           // exchange, shop, cloud, refusing
	front    string           // "" or the device that asks for a sign-in before "pages" or before "tools"
	manifest bool             // open to strangers
	stripped bool             // a proxy takes the server's headers away
	broken   bool
}

// answers gives what the place says to everything that may be asked.
func (p *place) answers() map[string]exposure.Answer {
	b := p.now.Build
	all := map[string]exposure.Answer{}
	refuse := func(status int, server string, paths ...string) {
		for _, path := range paths {
			all[path] = answer(path, status, "", "Server", server)
		}
	}
	switch p.what {
	case "shop":
		for _, path := range Paths() {
			all[path] = answer(path, 200, "<html>shop</html>", "Server", "nginx")
		}
		return all
	case "cloud":
		for _, path := range Paths() {
			all[path] = answer(path, 302, "", "Location", "https://outlook.office365.com/owa/")
		}
		return all
	case "refusing":
		refuse(403, "Microsoft-IIS/10.0", Paths()...)
		return all
	}
	refuse(404, "Microsoft-IIS/10.0", PathOWA, PathHealth)
	head := func(shows bool) []string {
		if p.stripped {
			return []string{"Server", "nginx"}
		}
		h := []string{"X-FEServer", "EX01"}
		if shows && !legacy(b) {
			h = append(h, "X-OWA-Version", b.String())
		}
		return h
	}
	for _, path := range []string{PathAutodiscover, PathEWS, PathActiveSync} {
		all[path] = answer(path, 401, "", head(!p.now.Released.Before(headerSince))...)
	}
	switch {
	case legacy(b):
		all[PathLogon] = loginPageOf2010(b.String())
	case p.broken:
		all[PathLogon] = answer(PathLogon, 302, "", "Server", "Microsoft-IIS/10.0", "Location", "/owa/auth/errorFE.aspx?httpCode=500")
	default:
		all[PathLogon] = loginPage(fmt.Sprintf("%d.%d.%d", b[0], b[1], b[2]), head(!p.now.Released.Before(pageHeaderSince))...)
	}
	switch {
	case legacy(b):
		refuse(404, "Microsoft-IIS/7.5", PathManifest)
	case p.manifest:
		all[PathManifest] = manifest(p.tool.Build.String())
	default:
		refuse(403, "Microsoft-IIS/10.0", PathManifest)
	}
	gateway := func(paths ...string) {
		for _, path := range paths {
			all[path] = answer(path, 302, "", "Location", "/my.policy")
		}
	}
	switch p.front {
	case "pages":
		gateway(PathOWA, PathLogon, PathHealth, PathManifest)
	case "tools":
		gateway(PathManifest)
	}
	return all
}

// TestEarlierMissesNothing looks again and again at a host that changes in any way, with what
// the record before says of it, and holds each look against one that knows no more than that
// an Exchange was there. Only what is asked may differ: what is concluded is the same, but
// that a manifest which the same line refused is not asked for again.
func TestEarlierMissesNothing(t *testing.T) {
	t.Parallel()
	b := book(t)
	var releases []exposure.Release
	for _, l := range b.lines {
		releases = append(releases, l.releases...)
	}
	slices.SortFunc(releases, func(x, y exposure.Release) int { return x.Build.Compare(y.Build) })
	rapid.Check(t, func(t *rapid.T) {
		at := time.Date(2021, 3, 2, 12, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 2000).Draw(t, "day"))
		p := place{what: "exchange", manifest: rapid.Bool().Draw(t, "open"), stripped: rapid.IntRange(0, 4).Draw(t, "stripped") == 0}
		install := func() {
			var out []exposure.Release
			for _, r := range releases {
				if !r.Since().After(at) {
					out = append(out, r)
				}
			}
			p.now = rapid.SampledFrom(out).Draw(t, "installed")
			p.tool = p.now
			line := b.lines[keyOf(p.now.Build)].releases
			if i := slices.IndexFunc(line, func(r exposure.Release) bool { return r.Build == p.now.Build }); i > 0 {
				p.tool = line[rapid.IntRange(0, i).Draw(t, "tool")]
			}
		}
		install()
		var hint exposure.Hint
		line := ""
		var known time.Time
		for range 4 {
			visit := &exposure.Visit{Name: "mail.alpha.example", Address: "192.0.2.1", Time: at, KnownSince: known}
			all := p.answers()
			_, fresh := walk(t, b.Start(visit), Ask{Manifest: true}, all)
			_, without := walk(t, b.Start(visit), Ask{}, all)
			visit.Hint, visit.HintLine = hint, line
			asked, o := walk(t, b.Start(visit), Ask{Manifest: true}, all)
			want := fresh
			if hint == exposure.HintNoTool && line == LineOf(&without) {
				want = without
			}
			if o.Outcome != want.Outcome || o.Product != want.Product || o.Line != want.Line || o.Build != want.Build {
				t.Fatalf("%s on %s with hint %d of %q: asked %v and said\n %s\nwant\n %s\nevidence %v", p.now.Build, at.Format(time.DateOnly), hint, line, asked, said(&o), said(&want), o.Evidence)
			}
			if p.what != "exchange" && o.Outcome == exposure.Exchange {
				t.Fatalf("%s is said to be %s", p.what, said(&o))
			}
			if x := p.now.Build; !o.Build.IsZero() && (o.Build.Low.Compare(x) > 0 || o.Build.High.Compare(x) < 0) {
				t.Fatalf("%s is said to be %s", x, said(&o))
			}
			if o.Outcome == exposure.Exchange {
				hint, line, known = HintOf(&o), LineOf(&o), at
			}
			at = at.AddDate(0, 0, rapid.IntRange(1, 30).Draw(t, "later"))
			switch rapid.SampledFrom([]string{"", "", "update", "tools", "front", "broken", "proxy", "other"}).Draw(t, "change") {
			case "update": // a patch, another edition, or back to an older build
				p.what = "exchange"
				install()
			case "tools":
				p.manifest = !p.manifest
			case "front":
				p.front = rapid.SampledFrom([]string{"", "pages", "tools"}).Draw(t, "front")
			case "broken":
				p.broken = !p.broken
			case "proxy":
				p.stripped = !p.stripped
			case "other":
				p.what = rapid.SampledFrom([]string{"exchange", "shop", "cloud", "refusing"}).Draw(t, "what")
			}
		}
	})
}
