package yara

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every reason for which a string is refused has words in the catalogue.
func TestReasonsHaveWords(t *testing.T) {
	t.Parallel()
	words, err := os.ReadFile("../../../catalogue/en/yara.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("pattern/*.go")
	reason := regexp.MustCompile(`(?:refuse|p\.fail)\("([^"]*)"`)
	reasons := 0
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range reason.FindAllStringSubmatch(string(src), -1) {
			reasons++
			if !strings.Contains(string(words), "\nyara.refused."+m[1]+":") {
				t.Errorf("%s: there are no words for %q", name, m[1])
			}
		}
	}
	if reasons < 30 {
		t.Errorf("%d reasons were found, want those of the whole package", reasons)
	}
}
