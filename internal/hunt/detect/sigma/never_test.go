package sigma

import (
	"testing"

	"postern"
)

func TestNever(t *testing.T) {
	t.Parallel()
	rule := func(condition string) *Rule {
		r, err := Compile([]byte("title: t\nlogsource: {category: x}\ndetection:\n  page:\n    Path|endswith: .aspx\n  stock:\n    Path|re: '^/logon\\.aspx$'\n  post:\n    Method: POST\n  word: [secret]\n  condition: "+condition+"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		condition, path string
		want            bool
	}{
		{"page and not stock", "/logon.aspx", true},
		{"page and not stock", "/x.aspx", false},
		{"page and not stock", "/x.js", true},
		{"page and not stock and post", "/logon.aspx", true},
		{"page and post", "/logon.aspx", false},
		{"page and not post", "/logon.aspx", false},
		{"not (page or post)", "/logon.aspx", true},
		{"not (page and post)", "/logon.aspx", false},
		{"stock or post", "/x.js", false},
		{"stock or page", "/x.js", true},
		{"not 1 of *", "/logon.aspx", true},
		{"word", "/logon.aspx", false},
		{"page and not word", "/x.js", true},
	} {
		ev := &postern.Event{Fields: []postern.Field{{Name: "path", Value: c.path}}}
		if got := rule(c.condition).Never(ev, []string{"Path"}); got != c.want {
			t.Errorf("%q with %s: never %v, want %v", c.condition, c.path, got, c.want)
		}
		if rule(c.condition).Never(ev, nil) {
			t.Errorf("%q is never true of an event of which nothing is known", c.condition)
		}
	}
}
