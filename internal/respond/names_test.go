package respond

import "testing"

func TestOddName(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"inetpub/wwwroot/aspnet_client/x.aspx": "", "a/connect.aspx": "", "COM10/x": "", "a b/.htaccess": "", "lpt/x": "", "é.aspx": "", "": "", "./a/..": "",
		"ProgramData/CON/x.aspx": "CON", "a/aux.aspx": "aux.aspx", "NUL": "NUL", "a/Com1.tar.gz": "Com1.tar.gz", "lpt³/x": "lpt³", "conin$": "conin$", "a/prn .txt": "prn .txt",
		"a/x.aspx.": "x.aspx.", "a /x": "a ", "x.aspx:y": "x.aspx:y", `a\b`: `a\b`, "a/\x01": "\x01", "a/b?": "b?",
	} {
		if got := OddName(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}
