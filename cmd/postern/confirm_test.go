package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

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

// silent is standard input of somebody who writes nothing and then presses Ctrl+C.
type silent struct{ interrupt func() }

func (s silent) Read([]byte) (int, error) {
	s.interrupt()
	select {}
}

func TestStandardInputInterrupted(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"report -", "respond plan -", "exposure assess -", "exposure adoption --cve CVE-2021-26855 -"} {
		ctx, interrupt := context.WithCancel(t.Context())
		var said bytes.Buffer
		a := newApp(silent{interrupt}, io.Discard, &said, func(string) (string, bool) { return "", false })
		ended := make(chan int, 1)
		go func() { ended <- a.main(ctx, strings.Fields(line)) }()
		select {
		case code := <-ended:
			if code != exitInterrupts {
				t.Errorf("%s: ended with %d: %s", line, code, &said)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: an interrupt does not end it", line)
		}
	}
}
