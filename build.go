package postern

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Build is a version of a product as integers: 15.1.2176.2. The zero value means
// unknown. Builds compare as tuples, never as text or decimals.
type Build [4]int

// ParseBuild reads 15.1.2176.2, its zero-padded form 15.01.2176.002, and the
// three-part form of a CU line, whose last number is then 0.
func ParseBuild(s string) (Build, error) {
	var b Build
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) < 3 || len(parts) > 4 {
		return b, fmt.Errorf("build %q: want three or four numbers with dots between them", s)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Build{}, fmt.Errorf("build %q: %q is not a number from 0 to 65535", s, p)
		}
		b[i] = int(n)
	}
	return b, nil
}

// String gives the form without padding, "" for the zero value.
func (b Build) String() string {
	if b.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
}

// IsZero says whether the build is unknown.
func (b Build) IsZero() bool { return b == Build{} }

// Compare orders builds as tuples. A higher build of another CU line is not
// "newer and fixed": see [Build.SameLine].
func (b Build) Compare(o Build) int {
	for i := range b {
		if c := cmp.Compare(b[i], o[i]); c != 0 {
			return c
		}
	}
	return 0
}

// SameLine says whether two builds belong to one CU line, inside which alone
// they can be compared for fixes.
func (b Build) SameLine(o Build) bool { return b[0] == o[0] && b[1] == o[1] && b[2] == o[2] }

// MarshalText and UnmarshalText keep the dotted form in files.
func (b Build) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (b *Build) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*b = Build{}
		return nil
	}
	*b, err = ParseBuild(string(text))
	return err
}

// Assessment is what a build says about one CVE.
type Assessment string

// The seven assessments.
const (
	Fixed              Assessment = "fixed"
	Unfixed            Assessment = "unfixed"
	UnfixedOrMitigated Assessment = "unfixed-or-mitigated"
	Undecidable        Assessment = "undecidable"
	NotAffected        Assessment = "not-affected"
	NoFixForLine       Assessment = "no-fix-for-line"
	NotAssessed        Assessment = "not-assessed"
)
