package campaign

import (
	"sync"
	"testing"

	"postern"
	"postern/products"
)

var exchange = sync.OnceValues(func() (*Product, error) { return BuiltInProduct("exchange") })

func theProduct(t testing.TB) *Product {
	t.Helper()
	p, err := exchange()
	if err != nil {
		t.Fatalf("the built-in facts are broken:\n%v", err)
	}
	return p
}

func build(t testing.TB, s string) postern.Build {
	t.Helper()
	if s == "" {
		return postern.Build{}
	}
	b, err := postern.ParseBuild(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The numbers are those of the sources. A row that is lost on the way in shows here.
func TestTablesAreWhole(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	pairs := make(map[fixKind]int)
	for _, fixes := range p.fixes {
		for _, f := range fixes {
			if f != nil {
				pairs[f.kind]++
			}
		}
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"editions", len(p.Editions), 7},
		{"releases", len(p.Releases), 443},
		{"lines", len(p.Lines), 75},
		{"CVEs", len(p.CVEs), 132},
		{"lines with no fix", pairs[noFix], 5339},
		{"lines fixed by an update", pairs[fixByUpdate], 629},
		{"lines fixed in their base", pairs[fixInBase], 664},
		{"lines not affected", pairs[notAffected], 483},
		{"lines not assessed", pairs[notAssessed], 1534},
		{"pairs of CVE and line", pairs[noFix] + pairs[fixByUpdate] + pairs[fixInBase] + pairs[notAffected] + pairs[notAssessed], 8649},
		{"observed versions", len(p.Observed), 36},
		{"stock files", len(p.Stock), 1926},
		{"sites", len(p.Layout.Sites), 2},
		{"log sources", len(p.Layout.Sources), 26},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, c.got, c.want)
		}
	}
	for i := 1; i < len(p.Releases); i++ {
		if p.Releases[i-1].Build.Compare(p.Releases[i].Build) >= 0 {
			t.Errorf("%s stands before %s", p.Releases[i-1].Build, p.Releases[i].Build)
		}
	}
}

// Rule 1 is about tuples, rule 2 about editions.
func TestProductOf(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, c := range []struct{ build, edition, line string }{
		{"8.3.517.0", "exchange-2007", "SP3"},
		{"8.2.305.03", "exchange-2007", "SP2"},
		{"14.3.513.0", "exchange-2010", "SP3"},
		{"14.3.514.7", "exchange-2010", "SP3"}, // a line of 2010 is a service pack
		{"15.0.847.64", "exchange-2013", "SP1"},
		{"15.0.1497.2", "exchange-2013", "CU23"},
		{"15.1.225.16", "exchange-2016", "Preview"},
		{"15.1.225.42", "exchange-2016", "RTM"},
		{"15.1.225.50", "exchange-2016", "RTM"}, // the release owns what is in no list, not the preview
		{"15.1.2176.9", "exchange-2016", "CU19"},
		{"15.01.2176.009", "exchange-2016", "CU19"},
		{"15.1.2176", "exchange-2016", "CU19"},
		{"15.02.1748.036", "exchange-2019", "CU15"},
		{"15.2.2561.9", "exchange-2019", ""},
		{"15.2.2562.17", "exchange-se", "RTM"},
		{"15.2.2600.1", "exchange-se", ""},
		{"15.20.4150.30", "exchange-online", ""},
		{"15.1.1240.20", "exchange-2016", ""}, // never released
		{"16.0.1.2", "", ""},
		{"15.3.1.1", "", ""},
	} {
		b := build(t, c.build)
		if got := p.ProductOf(b); got != c.edition {
			t.Errorf("ProductOf(%s) = %q, want %q", c.build, got, c.edition)
		}
		line, ok := p.LineOf(b)
		if line.Name != c.line || ok != (c.line != "") || ok && line.Edition != c.edition {
			t.Errorf("LineOf(%s) = %q of %q, %v, want %q", c.build, line.Name, line.Edition, ok, c.line)
		}
	}
}

func TestLineKnowsItsReleases(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	line, _ := p.LineOf(build(t, "15.1.2176.9"))
	if got, want := p.LineTitle(line), "Exchange Server 2016 CU19"; got != want {
		t.Errorf("title: got %q, want %q", got, want)
	}
	var updates []string
	for _, r := range line.Releases() {
		updates = append(updates, r.Update+" "+r.Build.String())
	}
	want := []string{" 15.1.2176.2", "Feb21SU 15.1.2176.4", "Mar21SU 15.1.2176.9", "Apr21SU 15.1.2176.12", "May21SU 15.1.2176.14"}
	if len(updates) != len(want) {
		t.Fatalf("releases: got %q, want %q", updates, want)
	}
	for i := range want {
		if updates[i] != want[i] {
			t.Errorf("release %d: got %q, want %q", i, updates[i], want[i])
		}
	}
}

// The list of the vendor dates every update of March 2021 alike; they came out on
// five different days.
func TestMarch2021BecameAvailableLater(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, c := range []struct{ build, available string }{
		{"15.1.2176.9", "2021-03-02"},
		{"15.1.1913.12", "2021-03-08"},
		{"15.1.2044.13", "2021-03-10"},
		{"15.1.1415.10", "2021-03-11"},
		{"15.2.221.18", "2021-03-11"},
		{"15.0.847.64", "2021-03-16"},
		{"14.3.513.0", "2021-03-02"},
	} {
		r, ok := p.Release(build(t, c.build))
		if !ok {
			t.Errorf("%s is not in the table", c.build)
			continue
		}
		if got := r.Available.Format("2006-01-02"); got != c.available {
			t.Errorf("%s: available %s, want %s", c.build, got, c.available)
		}
		if got := r.Released.Format("2006-01-02"); got != "2021-03-02" {
			t.Errorf("%s: listed %s, want 2021-03-02", c.build, got)
		}
		line, _ := p.LineOf(r.Build)
		for _, in := range line.Releases() {
			if in.Build == r.Build && !in.Available.Equal(r.Available) {
				t.Errorf("%s: the line says %s", c.build, in.Available)
			}
		}
	}
}

func TestObservation(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, c := range []struct {
		seen  string
		rule  ObservedRule
		build string
	}{
		{"15.2.858.2", ObservedRoundUp, "15.2.858.5"},
		{"15.1.2242.5", ObservedLowerBound, "15.1.2242.8"},
		{"15.1.1240.20", ObservedImpostor, ""},
		{"15.1.1415.8", ObservedUnknown, "15.1.1415.10"},
		{"14.3.328.5", ObservedListError, "14.2.328.5"},
		{"15.02.2562.037", ObservedRewritten, ""},
	} {
		o, ok := p.Observation(c.seen)
		if !ok || o.Rule != c.rule || o.Build != build(t, c.build) {
			t.Errorf("Observation(%s) = %q %s, %v, want %q %s", c.seen, o.Rule, o.Build, ok, c.rule, c.build)
		}
	}
	for _, seen := range []string{"15.1.2176.9", "15.2.2562.37"} {
		if o, ok := p.Observation(seen); ok {
			t.Errorf("Observation(%s) = %q, want none: an ordinary build needs no care", seen, o.Rule)
		}
	}
}

func TestStockFiles(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	asax := "98fc3aa73175d6d55c4ee6ae8daa0acc721d792b14df26b0cd39bbb13cb23d95"
	if !p.IsStock(asax) {
		t.Error("global.asax of the front end is not known")
	}
	owned := make(map[string][]string)
	for _, s := range p.Stock {
		owned[s.Place+"/"+s.Name] = append(owned[s.Place+"/"+s.Name], s.SHA256)
		if s.Name == "global.asax" && !isBackEnd(s.Place) && s.SHA256 != asax {
			t.Errorf("%s/global.asax: got %s, want the one hash of the front end", s.Place, s.SHA256)
		}
	}
	for name, want := range map[string]int{
		"ecp/auth/timeoutlogout.aspx":          2,
		"owa/auth/timeoutlogout.aspx":          0, // the same name elsewhere is a web shell
		"owa/auth/redirsuiteserviceproxy.aspx": 1,
		"owa/auth/redirsuiteserverproxy.aspx":  0,
		"owa/auth/outlookcn.aspx":              1,
		"owa/auth/logon.aspx":                  7,
		"owa/auth/errorfe.aspx":                13,
		"aspnet_client/web.config":             4,
		"clientaccess/ecp/about.aspx":          len(owned["clientaccess/ecp/about.aspx"]),
	} {
		if got := len(owned[name]); got != want {
			t.Errorf("%s: %d hashes, want %d", name, got, want)
		}
	}
	if len(owned["clientaccess/ecp/about.aspx"]) == 0 {
		t.Error("pages of the back end are missing")
	}
	if got := owned["wwwroot/iisstart.htm"]; len(got) != 1 || got[0] != "" {
		t.Errorf("iisstart.htm: got %q, want one entry without a hash", got)
	}
	for place := range owned {
		if folder, ok := p.Layout.FolderOf(place); !ok || folder == place && !isBackEnd(place) {
			t.Errorf("%s: no folder holds it (%q)", place, folder)
		}
	}
}

func isBackEnd(place string) bool {
	return place == "clientaccess" || len(place) > 13 && place[:13] == "clientaccess/"
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	l := &theProduct(t).Layout
	for _, c := range []struct {
		folder, place string
		drop          bool
	}{
		{"frontend/httpproxy/owa/auth", "owa/auth", true},
		{"frontend/httpproxy/owa/auth/current/themes", "owa/auth/current/themes", true},
		{"frontend/httpproxy/owa/auth/15.1.2176", "owa/auth/15.1.2176", true},
		{"frontend/httpproxy/owa", "owa", false},
		{"frontend/httpproxy/owa/authx", "owa/authx", false},
		{"frontend/httpproxy", "", false},
		{"clientaccess/ecp/auth", "clientaccess/ecp/auth", false},
		{"inetpub/wwwroot/aspnet_client/system_web", "aspnet_client/system_web", true},
		{"inetpub/wwwroot", "wwwroot", true},
	} {
		place, ok := l.PlaceOf(c.folder)
		if !ok || place != c.place {
			t.Errorf("PlaceOf(%q) = %q, %v, want %q", c.folder, place, ok, c.place)
		}
		if known, _ := l.Place(c.folder); known.Drop != c.drop {
			t.Errorf("Place(%q): drop is %v, want %v", c.folder, known.Drop, c.drop)
		}
		if back, ok := l.FolderOf(c.place); !ok || back != c.folder {
			t.Errorf("FolderOf(%q) = %q, %v, want %q", c.place, back, ok, c.folder)
		}
	}
	for _, folder := range []string{"", "programdata/com", "frontend/httpproxyx/owa", "inetpub"} {
		if place, ok := l.PlaceOf(folder); ok {
			t.Errorf("PlaceOf(%q) = %q, want none", folder, place)
		}
	}
}

func TestEveryNoteIsSaidInEveryLanguage(t *testing.T) {
	t.Parallel()
	p := theProduct(t)
	for _, lang := range Languages {
		words := p.Messages(lang)
		for key := range p.Messages(Languages[0]) {
			if words[key] == "" {
				t.Errorf("%s: %s is missing", lang, key)
			}
		}
	}
}

func BenchmarkLoadProduct(b *testing.B) {
	for b.Loop() {
		if _, err := LoadProduct(products.FS, "exchange"); err != nil {
			b.Fatal(err)
		}
	}
}
