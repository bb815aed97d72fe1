package main

import (
	"io"
	"strings"
	"testing"

	"postern"
	"postern/internal/catalogue"
)

// A question is answered in the language it is asked in, also on a keyboard without its
// letters; anything else is no.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lang, said string
		yes        bool
	}{
		{"en", "yes\n", true}, {"en", " YES \r\n", true}, {"en", "y\n", false}, {"en", "sí\n", false}, {"en", "", false}, {"en", "yes please\n", false},
		{"es", "sí\n", true}, {"es", "Si\n", true}, {"es", "yes\n", true}, {"es", "s\n", false}, {"es", "no\n", false},
	} {
		words, err := catalogue.Load(tc.lang)
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(strings.NewReader(tc.said), io.Discard, io.Discard, func(string) (string, bool) { return "", false })
		a.words = words
		if err := a.confirm(false, postern.Say("respond.mitigate.ask", "count", 1)); (err == nil) != tc.yes {
			t.Errorf("%s, %q: got %v, want yes %v", tc.lang, tc.said, err, tc.yes)
		}
	}
}
