package main

import (
	"context"
	"errors"
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
		if err := a.confirm(t.Context(), false, postern.Say("respond.mitigate.ask", "count", 1)); (err == nil) != tc.yes {
			t.Errorf("%s, %q: got %v, want yes %v", tc.lang, tc.said, err, tc.yes)
		}
	}
}

// Somebody who interrupts at the question does not want the change, whatever is typed
// behind it.
func TestConfirmInterrupted(t *testing.T) {
	t.Parallel()
	words, err := catalogue.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	in, keyboard := io.Pipe()
	defer keyboard.Close()
	a := newApp(in, io.Discard, io.Discard, func(string) (string, bool) { return "", false })
	a.words = words
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := a.confirm(ctx, false, postern.Say("respond.mitigate.ask", "count", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was interrupted", err)
	}
}
