package house

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// wall says what of this module the packages of a room may import. What is not
// named is forbidden, and a package that no wall names fails the test, so that a
// new room gets its wall on the day it is built. docs/ARCHITECTURE.md has the same
// table in words.
type wall struct {
	room string   // path below the module; "*" is one folder, "." the root package
	may  []string // the same; nil is nothing but the standard library and other modules
	why  string
}

var walls = []wall{
	{".", nil,
		"the nouns that everybody shares must not lean on anybody"},
	{"campaigns", nil,
		"a pack is data, carried by one line of Go"},
	{"products", nil,
		"product facts are data, carried by one line of Go"},
	{"internal/catalogue", []string{"."},
		"words are asked for by keys; the catalogue knows none of those who ask"},
	{"internal/campaign", []string{".", "campaigns", "products"},
		"packs are checked without the engines that use them, so that each can be understood alone"},

	{"internal/bundle", nil,
		"the form of a sealed bundle, which one river writes and another reads; it knows neither"},

	{"internal/hunt/source", []string{".", "internal/bundle"},
		"opening hostile archives is hard enough without knowing what is in them"},
	{"internal/hunt/parse", []string{"."},
		"a stage declares what its leaves satisfy and does not know them"},
	{"internal/hunt/parse/*", []string{".", "internal/hunt/parse"},
		"a format can be read, tested and thrown away without its neighbours"},
	{"internal/hunt/parse/all", []string{"internal/hunt/parse", "internal/hunt/parse/*"},
		"the one list of the formats"},
	{"internal/hunt/detect", []string{"."},
		"a stage declares what its leaves satisfy and does not know them"},
	{"internal/hunt/detect/*", []string{".", "internal/hunt/detect"},
		"a detector is told what it needs as plain values, never by a neighbour or a pack"},
	{"internal/hunt/detect/yara", []string{".", "internal/hunt/detect", "internal/hunt/detect/yara/*"},
		"a rule speaks of strings and modules, which are rooms of their own; the rest it is told"},
	{"internal/hunt/detect/yara/module", []string{".", "internal/hunt/detect/yara/module/*"},
		"a rule asks for values by name; the module names them and its folders read the formats"},
	{"internal/hunt/detect/yara/module/*", nil,
		"reading a format of programs needs no word of the hunt or of YARA"},
	{"internal/hunt/detect/yara/module/dotnet", []string{"internal/hunt/detect/yara/module/pe"},
		"a .NET assembly is a part of a Windows program"},
	{"internal/hunt/detect/yara/pattern", []string{"internal/hunt/detect/yara/pattern/*"},
		"finding strings in bytes needs no word of the hunt"},
	{"internal/hunt/detect/yara/pattern/*", nil,
		"a step of the search that knows bytes and nothing else"},
	{"internal/hunt/detect/all", []string{".", "internal/hunt", "internal/hunt/parse", "internal/hunt/detect", "internal/hunt/detect/*"},
		"the one place where detectors meet the river that they serve"},
	{"internal/hunt/correlate", []string{"."},
		"a verdict rests on findings and coverage alone, whoever made them"},
	{"internal/hunt/watch", []string{".", "internal/hunt", "internal/hunt/parse", "internal/hunt/detect", "internal/hunt/correlate"},
		"a live server is judged by what judges evidence; whom it tells, it does not know"},
	{"internal/hunt", []string{".", "internal/hunt/source", "internal/hunt/parse", "internal/hunt/detect", "internal/hunt/correlate"},
		"the river knows its stages, not their leaves, and no other river"},

	{"internal/exposure", []string{"."},
		"a river shares only the nouns with other rivers"},
	{"internal/exposure/*", []string{".", "internal/exposure"},
		"what was measured is decided again without the stage that measured it"},

	{"internal/respond/plan", []string{"."},
		"what to do follows from plain facts about a server, whoever found them; the steps are data of the product"},
	{"internal/respond/mitigate", []string{".", "internal/respond"},
		"writes what a pack says is right; whether it is, the judge of the hunt says, whom the caller hands in"},
	{"internal/respond", nil,
		"the form of what is signed says nothing of servers"},
	{"internal/respond/clean", []string{".", "internal/respond"},
		"what a hunt names arrives as plain values, and what is moved is decided again here"},
	{"internal/respond/verify", []string{".", "internal/respond"},
		"three answers are drawn from what a hunt says of a host, whoever hunted"},
	{"internal/respond/preserve", []string{"internal/bundle"},
		"evidence is taken by what lies on the disk; a hunt hands over names and nothing else"},
	{"internal/respond/custody", []string{"internal/bundle"},
		"a bundle is proved from its bytes, without who made it"},

	{"internal/alert", []string{"."},
		"carries what it is handed and does not know what it says"},

	{"internal/picture", []string{"."},
		"statistics know no river: whoever calls turns records into plain numbers"},
	{"internal/report", []string{"."},
		"a saved run renders anywhere, without the river that it came from"},
	{"internal/report/*", []string{".", "internal/report"},
		"a renderer knows the stream of a report and no other renderer"},
	{"internal/report/all", []string{"internal/report", "internal/report/*"},
		"the one list of the renderers"},

	{"internal/exercise", []string{".", "internal/exercise/eventlog"},
		"evidence that is made by the code that finds it would prove nothing"},
	{"internal/exercise/*", []string{".", "internal/exercise"},
		"the same, for each part of the simulated world"},

	{"internal/bench", []string{"*", "internal/*", "internal/*/*", "internal/*/*/*"},
		"a program that measures the others, as cmd/postern, and that nobody imports"},
	{"internal/wine", nil,
		"a program that runs tests elsewhere; it knows none of them"},
	{"cmd/postern", []string{"*", "internal/*", "internal/*/*", "internal/*/*/*"},
		"the one place that knows everything and wires it"},
}

// doors are the imports that cross a wall, each with its reason. One that is no
// longer used fails the test, so that the list never says more than the code.
var doors = []struct{ from, to, why string }{
	{"internal/hunt/detect/eventlog", "internal/hunt/parse/evtx", "tells of files that the reader of event logs does not take for one"},
	{"internal/hunt/detect/iisconfig", "internal/hunt/parse/iisconfig", "judges a tree of settings, which has no form as events"},
	{"internal/hunt/detect/iisconfig", "internal/hunt/parse", "asks the stage what counts as text"},
	{"internal/hunt/detect/msert", "internal/hunt/parse/msert", "judges a whole scan, which has no form as events"},
	{"internal/hunt/detect/msert", "internal/hunt/parse", "its parser speaks in the words of the stage"},
	{"internal/hunt/detect/registry", "internal/hunt/parse/regf", "judges keys of a hive, which have no form as events"},
	{"internal/hunt/detect/testproxylogon", "internal/hunt/parse/testproxylogon", "judges the rows of a report, which are no events of a log"},
	{"internal/hunt/detect/webfile", "internal/hunt/parse/webfile", "judges a page as tokens, which have no form as events"},
	{"internal/report/adoption", "internal/picture", "draws the curve that the picture computes; it has no report of a hunt to render"},
	{"internal/report/reporttest", "internal/catalogue", "gives the tests of renderers the true words of both languages"},
}

func TestWalls(t *testing.T) {
	used := make(map[string]bool)
	for _, r := range house(t) {
		if len(r.files) == 0 {
			continue // tests alone may look everywhere
		}
		w, ok := wallOf(r.dir())
		if !ok {
			t.Errorf("%s: no wall names this room: say in walls_test.go and docs/ARCHITECTURE.md what it may lean on, and why", r.dir())
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(r.imports)) {
			if !ours(p) {
				continue
			}
			to := (&room{path: p}).dir()
			if slices.ContainsFunc(w.may, func(may string) bool { return matches(may, to) }) {
				continue
			}
			if door(r.dir(), to) {
				used[r.dir()+" "+to] = true
				continue
			}
			t.Errorf("%s imports %s; it may import %s: %s", r.dir(), to, orNothing(w.may), w.why)
		}
	}
	for _, d := range doors {
		if !used[d.from+" "+d.to] {
			t.Errorf("%s no longer imports %s: take the door out of the list", d.from, d.to)
		}
	}
}

// wallOf gives the wall of a room; one that names it outright before one with "*".
func wallOf(dir string) (wall, bool) {
	var found wall
	var ok bool
	for _, w := range walls {
		if w.room == dir {
			return w, true
		}
		if !ok && matches(w.room, dir) {
			found, ok = w, true
		}
	}
	return found, ok
}

func matches(pattern, dir string) bool {
	ok, err := path.Match(pattern, dir)
	return err == nil && ok
}

// door says whether the list of exceptions has this import.
func door(from, to string) bool {
	for _, d := range doors {
		if d.from == from && d.to == to {
			return d.why != ""
		}
	}
	return false
}

func orNothing(may []string) string {
	if len(may) == 0 {
		return "nothing of this module"
	}
	return strings.Join(may, ", ")
}

// rivers never meet, not even through a third room.
var rivers = []string{"internal/hunt", "internal/exposure", "internal/casework", "internal/respond"}

func TestRiversNeverMeet(t *testing.T) {
	beyond := []string{"internal/store", "internal/web", "internal/work", "cmd"}
	for _, r := range house(t) {
		own := slices.IndexFunc(rivers, func(river string) bool { return inside(r.dir(), river) })
		if own < 0 {
			continue
		}
		for _, to := range reach(t, r) {
			for i, river := range rivers {
				if i != own && inside(to, river) {
					t.Errorf("%s reaches %s: rivers share findings through the root package and nothing else, so that each can be changed alone", r.dir(), to)
				}
			}
			for _, b := range beyond {
				if inside(to, b) {
					t.Errorf("%s reaches %s: a river asks for what it must remember through a small interface of its own", r.dir(), to)
				}
			}
		}
	}
}

// reach gives every package of the module that a package leans on, however far.
func reach(t *testing.T, r *room) []string {
	t.Helper()
	all, err := rooms()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	var visit func(*room)
	visit = func(r *room) {
		for p := range r.imports {
			if next := all[p]; next != nil && !seen[next.dir()] {
				seen[next.dir()] = true
				visit(next)
			}
		}
	}
	visit(r)
	return slices.Sorted(maps.Keys(seen))
}

func inside(dir, of string) bool { return dir == of || strings.HasPrefix(dir, of+"/") }

// Some rooms are for few: who alone may import them outside of tests.
func TestWhoIsImported(t *testing.T) {
	rules := []struct {
		room string
		by   []string
		why  string
	}{
		{"cmd/*", nil, "nobody leans on the command line"},
		{"internal/bench", nil, "nobody leans on a measurement"},
		{"internal/exercise", []string{"cmd/*", "internal/bench", "internal/exercise/*"}, "a simulated world has no place in the program beside its own command"},
		{"internal/exercise/*", []string{"cmd/*", "internal/bench", "internal/exercise"}, "a simulated world has no place in the program beside its own command"},
		{"internal/*/all", []string{"cmd/*", "internal/bench"}, "lists of leaves are for the one place that wires"},
		{"internal/hunt/*/all", []string{"cmd/*", "internal/bench"}, "lists of leaves are for the one place that wires"},
		{"internal/*/*test", nil, "helpers of tests are used from tests"},
		{"internal/hunt/*/*test", nil, "helpers of tests are used from tests"},
	}
	for _, r := range house(t) {
		for p := range r.imports {
			if !ours(p) {
				continue
			}
			to := (&room{path: p}).dir()
			for _, rule := range rules {
				if matches(rule.room, to) && !slices.ContainsFunc(rule.by, func(by string) bool { return matches(by, r.dir()) }) {
					t.Errorf("%s imports %s: %s", r.dir(), to, rule.why)
				}
			}
		}
	}
}

func TestRootIsStandardLibraryOnly(t *testing.T) {
	for _, r := range house(t) {
		if r.dir() != "." && r.dir() != "campaigns" && r.dir() != "products" {
			continue
		}
		for p := range r.imports {
			if !standard(p) {
				t.Errorf("%s imports %s: the nouns and the data must build anywhere, for ever", r.dir(), p)
			}
		}
	}
}

// The picture is statistics: what it computes must depend on its arguments alone.
func TestPictureDoesNoIO(t *testing.T) {
	doing := []string{"net", "os", "io/fs", "io/ioutil", "bufio", "embed", "syscall", "database/sql", "log", "plugin", "runtime/debug"}
	for _, r := range house(t) {
		if !inside(r.dir(), "internal/picture") {
			continue
		}
		for p := range r.imports {
			if slices.ContainsFunc(doing, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") }) {
				t.Errorf("%s imports %s: statistics open nothing and print nothing, so that the same numbers give the same picture", r.dir(), p)
			}
		}
	}
}

// Hunting opens no connection: it runs on machines that an intruder watches, and
// on evidence that must not be told to anybody.
func TestHuntHasNoNetwork(t *testing.T) {
	for _, r := range house(t) {
		if !inside(r.dir(), "internal/hunt") && !inside(r.dir(), "internal/report") && !inside(r.dir(), "internal/campaign") {
			continue
		}
		for p := range r.imports {
			switch {
			case p == "net/netip", p == "net/url": // words for addresses, no sockets
			case p == "net", strings.HasPrefix(p, "net/"), strings.HasPrefix(p, "crypto/tls"), p == "os/exec", p == "plugin":
				t.Errorf("%s imports %s: a hunt reads and reports; it talks to nobody and starts nothing", r.dir(), p)
			}
		}
	}
}

// The page for people has the same walls. What it must say is printed, to be put there.
func TestArchitectureShowsTheWalls(t *testing.T) {
	page := text(t, "docs/ARCHITECTURE.md")
	for _, w := range walls {
		may := "nothing"
		if len(w.may) > 0 {
			may = "`" + strings.Join(w.may, "`, `") + "`"
		}
		if row := "| `" + w.room + "` | " + may + " | " + w.why + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/ARCHITECTURE.md has no row\n%s", row)
		}
	}
	for _, d := range doors {
		if row := "| `" + d.from + "` | `" + d.to + "` | " + d.why + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/ARCHITECTURE.md has no row\n%s", row)
		}
	}
}
