package html_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	nethtml "golang.org/x/net/html"

	"postern"
	"postern/internal/catalogue"
	"postern/internal/report"
	"postern/internal/report/html"
	"postern/internal/report/reporttest"
)

func page(t *testing.T, lang string) *nethtml.Node {
	t.Helper()
	loc := reporttest.Catalogue(t, lang)
	var b bytes.Buffer
	reporttest.Play(t, html.New(&b, report.Options{}, loc), loc)
	return parse(t, b.Bytes())
}

func parse(t *testing.T, b []byte) *nethtml.Node {
	t.Helper()
	root, err := nethtml.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// find gives the elements of a name that have an attribute with a word of a value;
// "" asks for any.
func find(root *nethtml.Node, name, attribute, value string) []*nethtml.Node {
	var found []*nethtml.Node
	for n := range root.Descendants() {
		if n.Type == nethtml.ElementNode && (name == "" || n.Data == name) &&
			(attribute == "" || slices.Contains(strings.Fields(attr(n, attribute)), value)) {
			found = append(found, n)
		}
	}
	return found
}

func attr(n *nethtml.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *nethtml.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == nethtml.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestNothingForeign(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		root := page(t, lang)
		for _, name := range []string{"script", "img", "link", "iframe", "object", "embed", "base", "form", "input", "foreignobject", "animate", "use", "image"} {
			if n := len(find(root, name, "", "")); n > 0 {
				t.Errorf("%d elements %s", n, name)
			}
		}
		for n := range root.Descendants() {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "action" {
					t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
				}
				if a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
					t.Errorf("<%s> leads to %q", n.Data, a.Val)
				}
			}
		}
		if !strings.Contains(text(root), reporttest.Marker) {
			t.Error("the hostile text was left out, not made harmless")
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	root := page(t, "en")
	styles := find(root, "style", "", "")
	if len(styles) != 1 {
		t.Fatalf("%d style sheets, want 1", len(styles))
	}
	sum := sha256.Sum256([]byte(styles[0].FirstChild.Data))
	want := fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'", base64.StdEncoding.EncodeToString(sum[:]))
	policies := find(root, "meta", "http-equiv", "Content-Security-Policy")
	if len(policies) != 1 || attr(policies[0], "content") != want {
		t.Fatalf("policy %v, want %s", policies, want)
	}
	for before := policies[0].PrevSibling; before != nil; before = before.PrevSibling {
		if before.Data == "style" || before.Data == "title" {
			t.Error("the policy comes after what it is for")
		}
	}
	if css := styles[0].FirstChild.Data; strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("the style sheet fetches something")
	}
}

func TestStructure(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		root := page(t, lang)
		if got := attr(find(root, "html", "", "")[0], "lang"); got != lang {
			t.Errorf("lang=%q, want %q", got, lang)
		}
		ids := map[string]bool{}
		for n := range root.Descendants() {
			if id := attr(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("two elements have the id %s", id)
				}
				ids[id] = true
			}
		}
		for n := range root.Descendants() {
			refs := strings.Fields(attr(n, "aria-labelledby"))
			if href := attr(n, "href"); href != "" {
				refs = append(refs, href[1:])
			}
			for _, ref := range refs {
				if !ids[ref] {
					t.Errorf("<%s> names the id %s, which is nowhere", n.Data, ref)
				}
			}
		}
		for _, svg := range find(root, "svg", "", "") {
			if attr(svg, "aria-hidden") == "true" {
				continue
			}
			if attr(svg, "role") != "img" || len(find(svg, "title", "", "")) == 0 || text(find(svg, "title", "", "")[0]) == "" {
				t.Error("a drawing has no role or no title")
			}
		}
		if got := len(find(root, "article", "", "")); got != 3 {
			t.Errorf("%d hosts, want 3", got)
		}
		for i, want := range []string{"bad", "unsure", "good"} {
			if got := attr(find(root, "article", "", "")[i], "class"); got != want {
				t.Errorf("host %d is %s, want %s: the worst first", i+1, got, want)
			}
		}
		for _, th := range find(root, "th", "", "") {
			if attr(th, "scope") == "" {
				t.Errorf("a heading of a table without scope: %s", text(th))
			}
		}
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	articles := find(page(t, "en"), "article", "", "")
	for i, want := range []string{
		"Patched no Build 15.1.225.42 lacks the March 2021 update.",
		"Patched yes since 2021-03-24 21:00:00",
		"Patched yes since 2021-03-03 02:10:00",
	} {
		if got := spaced(find(articles[i], "dl", "class", "facts")[0]); !strings.HasPrefix(got, want) {
			t.Errorf("facts of host %d\n got %s\nwant %s…", i+1, got, want)
		}
	}
	// A patched server on which little could be seen is not called clean.
	if got := spaced(find(articles[1], "dl", "class", "facts")[0]); !strings.Contains(got, "Clean not known") {
		t.Errorf("facts of host 2: %s", got)
	}
	if got := text(find(articles[1], "h1", "", "")[0]); got != "Nothing found: not conclusive" {
		t.Errorf("headline of host 2: %q", got)
	}
}

// spaced is text with a space between elements.
func spaced(n *nethtml.Node) string {
	var parts []string
	for d := range n.Descendants() {
		if d.Type == nethtml.TextNode {
			parts = append(parts, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(parts, " ")
}

// TestHostileNumbers renders what a saved file may say and no hunt would.
func TestHostileNumbers(t *testing.T) {
	t.Parallel()
	loc := reporttest.Catalogue(t, "en")
	const file = `{"schema":"postern.hunt/1","tool":{"name":"x"},"lang":"en","started":"","inputs":[],
		"campaigns":[{"name":"c","window":{"from":"0001-01-02T00:00:00Z","to":"9999-12-31T00:00:00Z"},"levels":["a"]},
			{"name":"d","window":{"from":"2021-01-02T00:00:00Z","to":"2021-01-02T00:00:00.001Z"}}],
		"hosts":[{"host":"","verdict":{"level":6,"name":"x"},"campaigns":[
			{"name":"c","verdict":{"level":0,"name":"x"},"coverage":[{"source":"s","status":"?","from":"0001-01-02T00:00:00Z","to":"9999-12-31T00:00:00Z","records":-9223372036854775808}]},
			{"name":"d","verdict":{"level":0,"name":"x"},"coverage":[{"source":"s","from":"2021-01-02T00:00:00Z","to":"2021-01-02T00:00:00.001Z"}]}],
			"findings":[{"id":"1","rule":"r","level":6,"time":"9999-12-31T23:59:59Z","evidence":[{"line":-1,"offset":-1}]},{"id":"2","rule":"q","level":1,"time":"0001-01-02T00:00:00Z"}],
			"incidents":[{"level":3,"findings":["1","2","2","nowhere"]}]}],
		"problems":[{"what":"?"}],"status":"failed","stats":{"elapsed_seconds":-1e308,"bytes":-1}}`
	var b bytes.Buffer
	if err := report.Replay("saved", strings.NewReader(file), loc, html.New(&b, report.Options{}, loc)); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") || strings.Contains(got, "ZgotmplZ") {
		t.Error("the page has numbers that are none")
	}
	if n := len(find(parse(t, b.Bytes()), "circle", "", "")); n > 20 {
		t.Errorf("%d dots", n)
	}
}

func TestNoHosts(t *testing.T) {
	t.Parallel()
	loc := reporttest.Catalogue(t, "en")
	var b bytes.Buffer
	f := report.NewFeed(html.New(&b, report.Options{}, loc), loc)
	if err := f.Start("0.1.0", postern.Instant{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.End(postern.Complete, postern.Stats{}); err != nil {
		t.Fatal(err)
	}
	if got := text(find(parse(t, b.Bytes()), "main", "", "")[0]); !strings.Contains(got, "That is not a clean result") {
		t.Errorf("without a host the page says %q", got)
	}
}
