package catalogue_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern"
	"postern/internal/catalogue"
)

func load(t *testing.T, lang string) *catalogue.Catalogue {
	t.Helper()
	c, err := catalogue.Load(lang)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSay(t *testing.T) {
	t.Parallel()
	c := load(t, "en").With(map[string]string{
		"test.plain":      "nothing to fill",
		"test.args":       "{count} rows of {source}",
		"test.rows.one":   "{count} row",
		"test.rows.other": "{count} rows",
		"test.open":       "a brace { stays",
		"test.outer":      "see: {why}",
		"test.inner":      "because of {file}",
		"test.loop":       "{why}",
	})
	tests := []struct {
		name string
		text postern.Text
		want string
	}{
		{"nothing", postern.Text{}, ""},
		{"plain", postern.Say("test.plain"), "nothing to fill"},
		{"arguments", postern.Say("test.args", "count", 2, "source", "iis"), "2 rows of iis"},
		{"one", postern.Say("test.rows", "count", 1), "1 row"},
		{"none are several", postern.Say("test.rows", "count", 0), "0 rows"},
		{"a missing argument is seen", postern.Say("test.args", "count", 2), "2 rows of {source}"},
		{"an argument is never read as a message", postern.Say("test.args", "count", "{source}", "source", "{count}"), "{source} rows of {count}"},
		{"open brace", postern.Say("test.open"), "a brace { stays"},
		{"a message inside a message", postern.Say("test.outer", "why@", "test.inner", "file", "web.config"), "see: because of web.config"},
		{"a message that names itself ends", postern.Say("test.loop", "why@", "test.loop"), "{why}"},
		{"an unknown key loses no fact", postern.Say("test.unknown", "file", "a", "count", 3), "test.unknown count=3 file=a"},
		{"verbatim", postern.Verbatim("Título {x}"), "Título {x}"},
	}
	for _, tt := range tests {
		if got := c.Say(tt.text); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	tests := []struct{ wanted, want string }{
		{"", "en"}, {"C", "en"}, {"C.UTF-8", "en"}, {"POSIX", "en"}, {"de_DE.UTF-8", "en"}, {"en_GB.UTF-8", "en"},
		{"es", "es"}, {"ES", "es"}, {"es_ES.UTF-8", "es"}, {"es-MX", "es"}, {"es.UTF-8", "es"}, {"est_EE", "en"},
	}
	for _, tt := range tests {
		if got := catalogue.Choose(tt.wanted); got != tt.want {
			t.Errorf("Choose(%q) = %q, want %q", tt.wanted, got, tt.want)
		}
	}
	if _, err := catalogue.Load("tlh"); err == nil {
		t.Error("Load of a language that nobody wrote gives no error")
	}
}

// arguments of a message, in order and once each.
func arguments(message string) []string {
	set := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9_-]*)\}`).FindAllStringSubmatch(message, -1) {
		set[m[1]] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func TestLanguagesSayTheSame(t *testing.T) {
	t.Parallel()
	first := catalogue.Languages[0]
	en := messages(t, first)
	for _, lang := range catalogue.Languages[1:] {
		other := messages(t, lang)
		for key, at := range en {
			if _, ok := other[key]; !ok {
				t.Errorf("%s: %s is missing; %s has it in %s", lang, key, first, at.file)
			}
		}
		for key, at := range other {
			want, ok := en[key]
			switch {
			case !ok:
				t.Errorf("%s: %s is missing; %s has it in %s", first, key, lang, at.file)
				continue
			case at.room != want.room:
				t.Errorf("%s stands in %s and in %s: want files of one name", key, want.file, at.file)
			case len(strings.Fields(at.text)) > 3 && at.text == want.text && !strings.HasSuffix(key, ".example"):
				t.Errorf("%s: %s says in %s what it says in %s: %q", at.file, key, lang, first, at.text)
			}
			// "one" may leave out the number that "other" needs.
			if got, want := arguments(at.text), arguments(want.text); !slices.Equal(got, want) && !strings.HasSuffix(key, ".one") {
				t.Errorf("%s: %s has the arguments %v; %s has %v", at.file, key, got, first, want)
			}
		}
	}
}

// The reason of a fact stands by itself behind the answer, in texts, pages and plans alike.
func TestReasonsAreSentences(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		n := 0
		for key, at := range messages(t, lang) {
			reason := strings.HasPrefix(key, "config.why.") && !strings.HasPrefix(key, "config.why.part.") ||
				strings.HasPrefix(key, "correlate.patched.") || strings.HasPrefix(key, "correlate.mitigated.")
			if !reason {
				continue
			}
			n++
			begins := strings.HasPrefix(at.text, "applicationHost.config") || strings.ToUpper(at.text[:1]) == at.text[:1]
			if !begins || !strings.HasSuffix(at.text, ".") {
				t.Errorf("%s: %s is no sentence: %q", at.file, key, at.text)
			}
		}
		if n < 50 {
			t.Errorf("%s: %d reasons found", lang, n)
		}
	}
}

func TestMessagesAreWhole(t *testing.T) {
	t.Parallel()
	for _, lang := range catalogue.Languages {
		all := messages(t, lang)
		for key, at := range all {
			if strings.TrimSpace(at.text) == "" {
				t.Errorf("%s: %s says nothing", at.file, key)
			}
			if strings.Contains(at.text, "\t") || strings.Contains(at.text, "\x1b") {
				t.Errorf("%s: %s has a tab or escape, which not every medium shows", at.file, key)
			}
			for this, that := range map[string]string{".one": ".other", ".other": ".one"} {
				if base, ok := strings.CutSuffix(key, this); ok && !read(t).literals[key] { // a literal is no form but a word
					if _, both := all[base+that]; !both {
						t.Errorf("%s: %s has no %s beside it", at.file, key, that)
					}
					if _, plain := all[base]; plain {
						t.Errorf("%s: %s and %s: the plain form hides the others", at.file, base, key)
					}
				}
			}
		}
	}
}
