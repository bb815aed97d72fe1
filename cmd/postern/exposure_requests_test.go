package main

import (
	"strings"
	"testing"

	"postern/internal/exposure/fingerprint"
	"postern/internal/exposure/probe"
)

// TestAdviceIsInTheSet: what a reading may want to ask next belongs to the closed request set.
func TestAdviceIsInTheSet(t *testing.T) {
	t.Parallel()
	for _, path := range fingerprint.Paths() {
		if !strings.Contains(probe.Sheet(), "GET "+path+" HTTP/1.1\n") {
			t.Errorf("%s is not in the set", path)
		}
	}
}
