package oab

import (
	"strings"
	"testing"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

func TestDerive(t *testing.T) {
	t.Parallel()
	const install = `C:\Program Files\Microsoft\Exchange Server\V15`
	tests := []struct {
		name, path                 string // as the sentence quotes it
		file, extension, placement string
	}{
		{"download that failed", install + `\ClientAccess\OAB\Temp\0f1e-data-1.lzx`, "c:/program files/microsoft/exchange server/v15/clientaccess/oab/temp/0f1e-data-1.lzx", "lzx", "inside"},
		{"install on another drive", `D:\Exchange\ClientAccess\OAB\x.lzx`, "d:/exchange/clientaccess/oab/x.lzx", "lzx", "inside"},
		{"short names", `C:\PROGRA~1\MICROS~1\EXCHAN~1\V15\CLIENT~1\OAB\x.lzx`, "c:/program files/microsoft/exchange server/v15/clientaccess/oab/x.lzx", "lzx", "inside"},
		{"page of the web server", `C:\inetpub\wwwroot\aspnet_client\help.aspx`, "c:/inetpub/wwwroot/aspnet_client/help.aspx", "aspx", "outside"},
		{"dots that lead out", install + `\ClientAccess\OAB\..\..\FrontEnd\HttpProxy\owa\auth\x.aspx`, "c:/program files/microsoft/exchange server/v15/frontend/httpproxy/owa/auth/x.aspx", "aspx", "outside"},
		{"slashes and dots", "C:/a/ClientAccess/OAB/../../../inetpub/x.lzx", "c:/inetpub/x.lzx", "lzx", "outside"},
		{"page in the generator's own folder", `D:\Exchange\ClientAccess\OAB\x.ASPX`, "d:/exchange/clientaccess/oab/x.aspx", "aspx", "inside"},
		{"administrative share", `\\localhost\c$\inetpub\wwwroot\x.aspx`, "c:/inetpub/wwwroot/x.aspx", "aspx", "outside"},
		{"another machine", `\\server\share\ClientAccess\OAB\x.lzx`, "//server/share/clientaccess/oab/x.lzx", "lzx", "outside"},
		{"long path prefix", `\\?\C:\inetpub\x.aspx`, "c:/inetpub/x.aspx", "aspx", "outside"},
		{"stream", `C:\inetpub\x.aspx::$DATA`, "c:/inetpub/x.aspx", "aspx", "outside"},
		{"trailing dots", `C:\inetpub\x.aspx. .`, "c:/inetpub/x.aspx", "aspx", "outside"},
		{"quote in its name", `C:\inetpub\o'x.aspx`, "c:/inetpub/o'x.aspx", "aspx", "outside"},
		{"words of the sentence in its name", install + `\ClientAccess\OAB\ needs\..\..\..\x.aspx`, "c:/program files/microsoft/exchange server/v15/x.aspx", "aspx", "outside"},
		{"a folder of that name elsewhere", `C:\inetpub\wwwroot\ClientAccess\OAB\x.lzx`, "c:/inetpub/wwwroot/clientaccess/oab/x.lzx", "lzx", "outside"},
		{"no extension", `C:\inetpub.old\x`, "c:/inetpub.old/x", "", "outside"},
	}
	for _, tc := range tests {
		line := "2021-03-03T07:00:00.000Z,,EX01,Download failed and temporary file '" + tc.path + "' needs to be removed."
		ev := parsetest.Row(t, Format(), line+"\r\n")
		if got := ev.Get("TempFile"); got != tc.file {
			t.Errorf("%s: file %q, want %q", tc.name, got, tc.file)
		}
		if got := ev.Get("TempFileRaw"); got != tc.path {
			t.Errorf("%s: as it was written %q, want %q", tc.name, got, tc.path)
		}
		if got := ev.Get("Extension"); got != tc.extension {
			t.Errorf("%s: extension %q, want %q", tc.name, got, tc.extension)
		}
		if got := ev.Get("Placement"); got != tc.placement {
			t.Errorf("%s: placement %q, want %q", tc.name, got, tc.placement)
		}
		if got := ev.Get("Text"); got != strings.ToLower(line) || ev.Get("Line") != line {
			t.Errorf("%s: text %q", tc.name, got)
		}
		if ev.Time.IsZero() || ev.Source != Name {
			t.Errorf("%s: time %v, source %s", tc.name, ev.Time, ev.Source)
		}
	}
}

func TestOtherLines(t *testing.T) {
	t.Parallel()
	log := "#Software: Microsoft Exchange Server\r\n#Log-type: OABGenerator Log\r\nGeneration started\r\n2021-03-03T07:00:00.000Z,the temporary file needs room\r\n\r\n2021-03-03T08:00:00.000Z,done"
	events, result := parsetest.Scan(t, Format(), []byte(log))
	if len(events) != 3 || result.Records != 3 || len(result.Hours) != 2 || len(result.Problems) > 0 {
		t.Fatalf("%d events, %d records in hours %v, problems %v", len(events), result.Records, result.Hours, result.Problems)
	}
	for i := range events {
		if v, ok := events[i].Lookup("TempFile"); ok {
			t.Errorf("line %q names the file %q", events[i].Raw, v)
		}
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	const sentence = "2021-03-03T07:00:00.000Z,Download failed and temporary file 'x' needs to be removed\r\n"
	for _, tc := range []struct {
		name, path, data string
		want             bool
	}{
		{"its type", "x", "#Software: Microsoft Exchange Server\r\n#Log-type: OABGenerator Log\r\n", true},
		{"its folder", "Logging/OABGeneratorLog/x.log", "#Software: Microsoft Exchange Server\r\n#Fields: a,b,c\r\n", true},
		{"its simpler twin", `Logging\OABGeneratorSimpleLog\x.log`, "started\r\n", true},
		{"the sentence", "renamed.txt", sentence, true},
		{"the sentence in UTF-16", "renamed.txt", "\xff\xfe" + string(parsetest.UTF16(sentence, false)), true},
		{"a text about temporary files", "readme.txt", "Every temporary file needs to be removed.\r\n", false},
		{"a page in a folder of that name", "wwwroot/oabgenerator/x.txt", "hello\r\n", false},
		{"another log in its folder", "Logging/OABGeneratorLog/x.log", "#Software: Microsoft Exchange Server\r\n#Log-type: ECP Server Log\r\n", false},
		{"something binary in its folder", "Logging/OABGeneratorLog/x.etl", "\x01\x02\x00\x00", false},
	} {
		f, _ := parse.Recognise([]byte(tc.data), tc.path, []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", tc.name, got, tc.want)
		}
		if tc.want && !parse.Plausible([]byte(tc.data), tc.path) {
			t.Errorf("%s: not plausible", tc.name)
		}
	}
}

func FuzzOAB(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		file, ok := ev.Lookup("TempFile")
		if placement, judged := ev.Lookup("Placement"); judged != (ev.Get("TempFileRaw") != "") || judged && placement != "inside" && placement != "outside" {
			t.Fatalf("file %q has the placement %q", file, placement)
		}
		if ok && strings.Contains(file, "/../") && ev.Get("Placement") == "inside" {
			t.Fatalf("file %q with dots left is inside", file)
		}
	}
	parsetest.Fuzz(f, Format(), each,
		"#Log-type: OABGenerator Log\r\n2021-03-03T07:00:00.000Z,Download failed and temporary file 'C:\\x\\ClientAccess\\OAB\\..\\y.aspx' needs to be removed\r\n",
		"started\r\n[2021-03-03 07:00:00] temporary file \\\\?\\UNC\\h\\c$\\a:b:c. needs\r\n")
}
