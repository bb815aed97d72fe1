package hunt

import (
	"path"
	"testing"

	"pgregory.net/rapid"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	const auth = "frontend/httpproxy/owa/auth/x.aspx"
	const www = "inetpub/wwwroot/aspnet_client/x.aspx"
	for _, c := range []struct {
		path, prefix, server string
		known                bool
	}{
		// The ways in which collectors name a drive.
		{"C/inetpub/wwwroot/aspnet_client/x.aspx", "", www, true},
		{"C:/inetpub/wwwroot/aspnet_client/x.aspx", "", www, true},
		{"C%3A/inetpub/wwwroot/aspnet_client/X.aspx", "", www, true},
		{"EX01/C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/D_/Inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/c_drive/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/Drive C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/C$/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/[root]/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"uploads/auto/C%3A/inetpub/wwwroot/aspnet_client/x.aspx", "", www, true},
		{"uploads/ntfs/%5C%5C.%5CC%3A/inetpub/wwwroot/aspnet_client/x.aspx", "", www, true},
		{`uploads/ntfs/%5C%5C%3F%5CGLOBALROOT%5CDevice%5CHarddiskVolumeShadowCopy1/inetpub/wwwroot/aspnet_client/x.aspx`, "", www, true},
		{"EX01/VSS1/C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		// Archives.
		{"EX01.zip!/C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01.zip!", www, true},
		{"all.7z!/EX01.tar.gz!/inetpub/wwwroot/aspnet_client/x.aspx", "all.7z!/EX01.tar.gz!", www, true},
		{"Collection-EX01.zip!/uploads/auto/C%3A/inetpub/wwwroot/aspnet_client/x.aspx", "Collection-EX01.zip!", www, true},
		{"Collection-EX01.zip!/data.zip!/uploads/auto/C%3A/inetpub/wwwroot/aspnet_client/x.aspx", "Collection-EX01.zip!", www, true},
		{"hunt.zip!/clients/EX01/collections/F.CRS2A7T0G1/uploads/auto/C%3A/inetpub/wwwroot/aspnet_client/x.aspx", "hunt.zip!/clients/EX01", www, true},
		{"EX01/tout/C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"EX01/Kape_Output/C/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		// Folders around the hosts: the host is the one nearest to its drive.
		{"mnt/EX01/inetpub/wwwroot/aspnet_client/x.aspx", "mnt/EX01", www, true},
		{"uploads/EX01/C/inetpub/wwwroot/aspnet_client/x.aspx", "uploads/EX01", www, true},
		{"E/cases/EX01/C/inetpub/wwwroot/aspnet_client/x.aspx", "E/cases/EX01", www, true},
		{"mnt/inetpub/wwwroot/aspnet_client/x.aspx", "", www, true},
		{"exchange/C/inetpub/wwwroot/aspnet_client/x.aspx", "exchange", www, true}, // a host of that name
		// Installed elsewhere and under any name.
		{"EX01/C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/x.aspx", "EX01", auth, true},
		{"EX01/D/Apps/Mail/FrontEnd/HttpProxy/owa/auth/x.aspx", "EX01", auth, true},
		{"uploads/auto/F%3A/Apps/Mail/FrontEnd/HttpProxy/owa/auth/x.aspx", "", auth, true},
		{"EX01/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/x.aspx", "EX01", auth, true},
		{"Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/x.aspx", "", auth, true},
		{"EX01/D/Exchange/Bin/ExSetup.exe", "EX01", "d/exchange/bin/exsetup.exe", false},
		// Only logs, only pages, only a part of either.
		{"Logging/HttpProxy/Ecp/HttpProxy_2021030306-1.LOG", "", "logging/httpproxy/ecp/httpproxy_2021030306-1.log", true},
		{"EX01/Logging/Ews/Ews_2021030306-1.LOG", "EX01", "logging/ews/ews_2021030306-1.log", true},
		{"EX01/HttpProxy/Ecp/HttpProxy_2021030306-1.LOG", "EX01", "httpproxy/ecp/httpproxy_2021030306-1.log", true},
		{"EX01/W3SVC1/u_ex210303.log", "EX01", "w3svc1/u_ex210303.log", true},
		{"logs/LogFiles/W3SVC1/u_ex210303.log", "", "logfiles/w3svc1/u_ex210303.log", true},
		{"EX01/IIS logs/W3SVC1/u_ex210303.log", "EX01", "w3svc1/u_ex210303.log", true},
		{"EX01/web/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		{"aspnet_client/x.aspx", "", www, true},
		{"EX01/u_ex210303.log", "EX01", "u_ex210303.log", false},
		{"cases/EX01/u_ex210303.log", "cases", "ex01/u_ex210303.log", false},
		{"u_ex210303.log", "", "u_ex210303.log", false},
		// A folder of the product's name inside of a drop folder moves nothing.
		{"C/inetpub/wwwroot/aspnet_client/Logging/x.aspx", "", "inetpub/wwwroot/aspnet_client/logging/x.aspx", true},
		{"C/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa/auth/ClientAccess/x.aspx", "", "frontend/httpproxy/owa/auth/clientaccess/x.aspx", true},
		{"EX01/frontend/inetpub/wwwroot/aspnet_client/x.aspx", "EX01", www, true},
		// Folders that are only known right below a drive.
		{"C/Users/Public/x.aspx", "", "users/public/x.aspx", true},
		{"EX01/Users/Public/x.aspx", "EX01", "users/public/x.aspx", false},
		{"C/root/x.zip", "", "root/x.zip", true},
		// Hostile.
		{"%zz/inetpub/wwwroot/x.aspx", "%zz", "inetpub/wwwroot/x.aspx", true},
		{"", "", "", false},
		{"/", "", "", false},
	} {
		prefix, server, known := place(c.path)
		if prefix != c.prefix || server != c.server || known != c.known {
			t.Errorf("place(%q)\n got %q %q %v\nwant %q %q %v", c.path, prefix, server, known, c.prefix, c.server, c.known)
		}
	}
}

func TestPlaceIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		input, path, prefix, server string
		known                       bool
	}{
		{"C:/inetpub", "wwwroot/aspnet_client/x.aspx", "", "inetpub/wwwroot/aspnet_client/x.aspx", true},
		{"C:/inetpub", "logs/LogFiles/W3SVC1/u_ex210303.log", "", "logfiles/w3svc1/u_ex210303.log", true},
		{"/cases/EX01/C/inetpub/wwwroot", "x.aspx", "", "inetpub/wwwroot/x.aspx", true},
		{"C:/Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/owa", "auth/x.aspx", "", "frontend/httpproxy/owa/auth/x.aspx", true},
		{"C:/ProgramData", "pst/it.zip", "", "programdata/pst/it.zip", true},
		{"C:/Windows/debug", "msert.log", "", "windows/debug/msert.log", false},
		// The analyst's own folders.
		{"C:/Users/me/cases", "EX01/C/inetpub/wwwroot/x.aspx", "EX01", "inetpub/wwwroot/x.aspx", true},
		{"/data/windows", "EX01/u_ex210303.log", "EX01", "windows/ex01/u_ex210303.log", false},
		{"/data/cases", "EX01/x.aspx", "EX01", "x.aspx", false},
		{"", "EX01/x.aspx", "EX01", "x.aspx", false},
	} {
		prefix, server, known := placeIn(c.input, c.path)
		if prefix != c.prefix || server != c.server || known != c.known {
			t.Errorf("placeIn(%q, %q)\n got %q %q %v\nwant %q %q %v", c.input, c.path, prefix, server, known, c.prefix, c.server, c.known)
		}
	}
}

// Files that are asked about one after the other lie where each lies by itself.
func TestLastPlace(t *testing.T) {
	t.Parallel()
	folders := []string{"EX01", "C", "C%3A", "D_", "inetpub", "wwwroot", "aspnet_client", "Program Files", "V15", "FrontEnd", "HttpProxy", "owa", "Logging", "x", "root", "users", "a%2fb"}
	names := append([]string{"X.aspx", "logging.txt", "%43.aspx", "a%2Flogging%2fb", "É.aspx", "u_ex210303.log"}, folders...)
	inputs := []string{"", "C:/inetpub", "/cases/EX01", "C:/Program Files/Microsoft/Exchange Server/V15/FrontEnd"}
	rapid.Check(t, func(t *rapid.T) {
		var last lastPlace
		dir := rapid.SliceOfN(rapid.SampledFrom(folders), 0, 4)
		for range rapid.IntRange(1, 6).Draw(t, "files") {
			input := rapid.SampledFrom(inputs).Draw(t, "input")
			p := path.Join(append(dir.Draw(t, "folder"), rapid.SampledFrom(names).Draw(t, "name"))...)
			prefix, server, known := last.of(input, p)
			if wantPrefix, wantServer, wantKnown := placeIn(input, p); prefix != wantPrefix || server != wantServer || known != wantKnown {
				t.Fatalf("%q in %q\n got %q %q %v\nwant %q %q %v", p, input, prefix, server, known, wantPrefix, wantServer, wantKnown)
			}
		}
	})
}

func TestHostName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                     "",
		"/":                    "",
		".":                    "",
		"EX01":                 "EX01",
		"EX01/":                "EX01",
		"cases/EX01":           "EX01",
		"EX01.zip!":            "EX01",
		"EX01.ZIP":             "EX01",
		"EX01.tar.gz!":         "EX01",
		"a/EX01.tar.gz":        "EX01",
		"EX01.tgz!":            "EX01",
		".zip":                 ".zip",
		"mail.contoso.example": "mail.contoso.example",
		"Collection-ex01.contoso.example-2021-03-10T09_00_00Z.zip!": "ex01.contoso.example",
		"Collection-EX-01-2021-03-10T090000Z.zip":                   "EX-01",
		"2021-03-12T090000_EX01.zip!":                               "EX01",
		"all.zip!/EX01.tar.zst!":                                    "EX01",
		"u_ex210303.log":                                            "u_ex210303.log",
	} {
		if got := hostName(in); got != want {
			t.Errorf("hostName(%q) = %q, want %q", in, got, want)
		}
	}
}
