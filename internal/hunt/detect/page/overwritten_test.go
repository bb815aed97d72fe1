package page

import (
	"testing"

	"postern"
)

func TestOverwrittenStockPageIsNotLearned(t *testing.T) {
	t.Parallel()
	d := New()
	f := postern.Finding{Rule: overwritten, Level: postern.Implanted}
	f.Set(postern.URL, "/owa/auth/logon.aspx")
	d.Learn([]postern.Finding{f})
	if len(d.Names()) != 0 {
		t.Errorf("got %v, want no page: everybody signs in there", d.Names())
	}
}
