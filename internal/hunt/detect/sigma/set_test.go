package sigma

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern"
)

func TestSetPlacesRules(t *testing.T) {
	t.Parallel()
	var rules []*Rule
	for _, service := range []string{"security", "sysmon", "everything", "nowhere", "creation"} {
		src := "title: " + service + "\nlogsource: {service: " + service + "}\ndetection: {s: {F: x}, condition: s}\n"
		rules = append(rules, mustCompile(t, src))
	}
	set := NewSet(rules, func(l LogSource) []string {
		switch l.Service {
		case "nowhere":
			return nil
		case "everything":
			return []string{"*"}
		case "creation":
			return []string{"windows/security/4688", "windows/sysmon/1"}
		}
		return []string{"windows/" + l.Service}
	}, nil)
	for _, c := range []struct{ source, want string }{
		{"windows/security", "security everything"},
		{"windows/security/4688", "security everything creation"},
		{"windows/security/4688/x", "security everything creation"},
		{"windows/security/4625", "security everything"},
		{"windows/sysmon/1", "sysmon everything creation"},
		{"windows", "everything"},
		{"iis", "everything"},
		{"", "everything"},
		{"/", "everything"},
		{"*", "everything"},
	} {
		ev := event("F", "X")
		ev.Source = c.source
		var got []string
		for _, m := range set.Eval(ev, nil) {
			got = append(got, m.Rule.Title)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("source %q: got %q, want %q", c.source, s, c.want)
		}
		if n := len(set.Rules(c.source)); n != len(got) {
			t.Errorf("source %q: %d rules, want %d", c.source, n, len(got))
		}
	}
	if got := set.Unplaced(); len(got) != 1 || got[0].Title != "nowhere" {
		t.Errorf("Unplaced: got %v", got)
	}
	if got := NewSet(nil, anywhere, nil).Eval(event("F", "x"), nil); got != nil {
		t.Errorf("empty set: got %v", got)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	r := mustCompile(t, one("c-uri|contains: /ecp\nImage|endswith: x\nplain: y"))
	set := NewSet([]*Rule{r}, anywhere, map[string]map[string]string{
		"iis":              {"C-URI": "cs-uri-stem", "image": "cs-uri-stem"},
		"windows":          {"c-uri": "CommandLine"},
		"windows/security": {"c-uri": "Url", "Image": "NewProcessName"},
	})
	for _, c := range []struct {
		source string
		ev     *postern.Event
		want   string // fields
	}{
		{"iis", event("CS-URI-stem", "/ECP/x", "Plain", "Y"), "CS-URI-stem Plain"},
		{"iis", event("c-uri", "/ecp", "image", "x", "plain", "y"), ""},
		{"windows/security/4688", event("url", "/ecp", "newprocessname", "x", "plain", "y"), "url newprocessname plain"},
		{"windows/sysmon", event("CommandLine", "/ecp", "Image", "x", "plain", "y"), "CommandLine Image plain"},
		{"other", event("c-uri", "/ecp", "Image", "x", "plain", "y"), "c-uri Image plain"},
	} {
		c.ev.Source = c.source
		got := ""
		for _, m := range set.Eval(c.ev, nil) {
			got = strings.Join(m.Fields(), " ")
		}
		if got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.source, c.ev.Fields, got, c.want)
		}
	}
	for _, c := range []struct{ source, field, want string }{
		{"iis", "C-Uri", "cs-uri-stem"}, {"iis", "plain", "plain"}, {"windows/security/4688", "IMAGE", "NewProcessName"},
		{"windows/sysmon", "Image", "Image"}, {"", "Image", "Image"},
	} {
		if got := set.Field(c.source, c.field); got != c.want {
			t.Errorf("Field(%q, %q): got %q, want %q", c.source, c.field, got, c.want)
		}
	}
}

func TestEvalAppendsInOrder(t *testing.T) {
	t.Parallel()
	var rules []*Rule
	for i := range 200 {
		r := mustCompile(t, one("F|contains: needle"))
		r.Title = fmt.Sprint(i)
		rules = append(rules, r)
	}
	set := NewSet(rules, anywhere, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := set.Eval(event("F", "a NEEDLE"), []Match{{}})
			if len(got) != 201 || !slices.IsSortedFunc(got[1:], func(a, b Match) int {
				return slices.Index(rules, a.Rule) - slices.Index(rules, b.Rule)
			}) {
				t.Errorf("got %d matches, want the first kept and 200 in order", len(got))
			}
		})
	}
	wg.Wait()
}

// TestGiantValueIsLetGo checks that the pool does not keep what one line blew up.
func TestGiantValueIsLetGo(t *testing.T) {
	t.Parallel()
	v := new(view)
	r := mustCompile(t, one("F|contains: x"))
	v.load(event("F", strings.Repeat("a", 2*maxKeptBuffer)), r.own, r.all)
	r.root.eval(r, v)
	v.unload()
	if cap(v.buf) > maxKeptBuffer {
		t.Errorf("keeps %d bytes", cap(v.buf))
	}
}

// synthetic makes rules as the public collections have them: two or three
// fields, literals that share words and endings, lists, a filter.
func synthetic(t testing.TB, n int) []*Rule {
	var rules []*Rule
	words := strings.Fields("shell update host policy admin cache remote script query task service backup agent loader")
	for i := range n {
		w := func(k int) string { return words[(i*7+k*3)%len(words)] + fmt.Sprint(i*3+k) }
		rules = append(rules, mustCompile(t, fmt.Sprintf(`
title: synthetic %d
logsource: {category: test}
detection:
  selection_img:
    - Image|endswith: ['\%s.exe', '\%s.exe']
    - OriginalFileName: '%s.exe'
  selection_cli:
    CommandLine|contains|all: [' -%s', 'C:\Users\%s']
  selection_uri:
    url|contains: '/%s/'
    EventID: %d
    Hashes|re: 'IMPHASH=[A-F0-9]+%s'
  filter:
    User|startswith: 'nt %s'
  condition: (all of selection_* or selection_img) and not filter
`, i, w(0), w(1), w(0), w(2), w(3), w(4), i%40, w(5), w(6))))
	}
	return rules
}

func quietEvent() *postern.Event {
	return event(
		"EventID", "1", "Computer", "EX01.corp.example", "User", `CORP\svc_backup`,
		"Image", `C:\Program Files\Microsoft\Exchange Server\V15\Bin\MSExchangeMailboxReplication.exe`,
		"OriginalFileName", "MSExchangeMailboxReplication.exe",
		"CommandLine", `"C:\Program Files\Microsoft\Exchange Server\V15\Bin\MSExchangeMailboxReplication.exe" -pipe:2172 -stopkey:Global\ExchangeStopKey-1f0a -resetkey:Global\ExchangeResetKey-2b -readykey:Global\ExchangeReadyKey-33 -hangkey:`,
		"ParentImage", `C:\Windows\System32\services.exe`, "ParentCommandLine", `C:\Windows\system32\services.exe`,
		"Hashes", "SHA256=0D7A5A4B0E7FC7FF3F1C0F9B5D6B3F6B2A7E8C9D0A1B2C3D4E5F60718293A4B5,IMPHASH=0A1B2C3D4E5F60718293A4B5C6D7E8F9",
		"url", "/owa/auth/logon.aspx?url=https%3a%2f%2fmail.corp.example%2fowa%2f&reason=0",
		"LogonId", "0x3e7", "IntegrityLevel", "System", "ProcessGuid", "{2c4f9d4e-1f0a-603f-3c00-000000001200}")
}

// BenchmarkQuietEvent is the cost of an event that hits nothing; between 100 and
// 2,400 rules it must not grow by more than three times.
func BenchmarkQuietEvent(b *testing.B) {
	for _, n := range []int{100, 2400} {
		set := NewSet(synthetic(b, n), anywhere, nil)
		ev := quietEvent()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			var out []Match
			for b.Loop() {
				out = set.Eval(ev, out[:0])
			}
			if len(out) > 0 {
				b.Fatalf("%d matches", len(out))
			}
		})
	}
}

// BenchmarkRuleByRule is what the index saves.
func BenchmarkRuleByRule(b *testing.B) {
	rules := synthetic(b, 2400)
	ev := quietEvent()
	for b.Loop() {
		for _, r := range rules {
			if r.Match(ev, nil) {
				b.Fatal(r.Title)
			}
		}
	}
}

func BenchmarkNewSet(b *testing.B) {
	rules := synthetic(b, 2400)
	for b.Loop() {
		NewSet(rules, anywhere, nil)
	}
}
