package httpproxy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// log puts rows, given as values by column, under the header of a build.
func log(columns string, rows ...map[string]string) string {
	var b strings.Builder
	b.WriteString("#Software: Microsoft Exchange Server\r\n#Version: 15.01.2176.002\r\n#Log-type: HttpProxy Logs\r\n#Date: 2021-03-03T06:00:00.000Z\r\n")
	b.WriteString("#Fields: " + columns + "\r\n" + columns + "\r\n")
	for _, row := range rows {
		for i, c := range strings.Split(columns, ",") {
			if i > 0 {
				b.WriteByte(',')
			}
			v := row[c]
			if strings.ContainsAny(v, "\",\n") {
				v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
			b.WriteString(v)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// oldColumns are those of 15.0.516: no UrlHost, no RoutingType, and one without a name.
var oldColumns = strings.NewReplacer("UrlHost,", "", "RoutingType,", ",", "ModuleToHandlerSwitchingLatency,", "ModuleToHandlerSwitching,FirstResponseByteReceived,",
	"EdgeTraceId,DatabaseGuid,UserADObjectGuid,PartitionEndpointLookupLatency,RoutingStatus", "").Replace(columns)

func TestDerive(t *testing.T) {
	t.Parallel()
	const canary = "3tWIrMY5tE2oHmcGTW1eAlDZN1DB3tgIWqKtLUNAB2rzLrEXAMPLEcnDQ2AA5tEMXOo3L6bi_Xc"
	tests := []struct {
		name string
		row  map[string]string
		want map[string][]string
	}{
		{"probe for a mailbox", map[string]string{"UrlStem": "/ecp/y.js", "UserAgent": "ExchangeServicesClient/0.0.0.0", "ClientIpAddress": "130.255.189.21",
			"AnchorMailbox": "ServerInfo~a]@host.local:444/autodiscover/autodiscover.xml?#"},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"}, "Agent": {"exchangeservicesclient/0.0.0.0"}, "ClientIp": {"130.255.189.21"},
				"Anchor":      {"serverinfo~a]@host.local:444/autodiscover/autodiscover.xml?#"},
				"BackEndHost": {"a]@host.local:444"}, "BackEndUrl": {"/autodiscover/autodiscover.xml?#"}}},
		{"mailbox protocol", map[string]string{"UrlStem": "/ecp/y.js", "AnchorMailbox": "ServerInfo~a]@host.local:444/mapi/emsmdb/?#"},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"}, "Anchor": {"serverinfo~a]@host.local:444/mapi/emsmdb/?#"},
				"BackEndHost": {"a]@host.local:444"}, "BackEndUrl": {"/mapi/emsmdb/?#"}}},
		{"session", map[string]string{"UrlStem": "/ecp/y.js", "AnchorMailbox": "ServerInfo~a]@host.local:444/ecp/proxyLogon.ecp?#"},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"}, "Anchor": {"serverinfo~a]@host.local:444/ecp/proxylogon.ecp?#"},
				"BackEndHost": {"a]@host.local:444"}, "BackEndUrl": {"/ecp/proxylogon.ecp?#"}}},
		{"canary", map[string]string{"UrlStem": "/ecp/y.js",
			"AnchorMailbox": "ServerInfo~a]@host.local:444/ecp/DDI/DDIService.svc/GetObject?msExchEcpCanary=" + canary + ".&schema=OABVirtualDirectory#"},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"},
				"Anchor":      {"serverinfo~a]@host.local:444/ecp/ddi/ddiservice.svc/getobject?msexchecpcanary=" + strings.ToLower(canary) + ".&schema=oabvirtualdirectory#"},
				"BackEndHost": {"a]@host.local:444"}, "Canary": {canary + "."},
				"BackEndUrl": {"/ecp/ddi/ddiservice.svc/getobject?msexchecpcanary=" + strings.ToLower(canary) + ".&schema=oabvirtualdirectory#"}}},
		{"escaped in another case, with dots and backslashes", map[string]string{"UrlStem": "/ECP//y%2ejs", "AnchorMailbox": `sErVeRiNfO~a]@host.local:444%5cecp/./DDI/x/../%44DIService.svc%2fSetObject?schema=ResetOABVirtualDirectory`},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"},
				"Anchor":      {`serverinfo~a]@host.local:444\ecp/./ddi/x/../ddiservice.svc/setobject?schema=resetoabvirtualdirectory`},
				"BackEndHost": {"a]@host.local:444"}, "BackEndUrl": {"/ecp/ddi/ddiservice.svc/setobject?schema=resetoabvirtualdirectory"}}},
		{"scanner", map[string]string{"UrlStem": "/owa/auth/x.js", "UserAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_6) AppleWebKit/537.36 (KHTML  like Gecko) Chrome/69",
			"AnchorMailbox": "ServerInfo~localhost/ecp/default.flt?", "ClientIpAddress": "::ffff:192.0.2.7"},
			map[string][]string{"Url": {"/owa/auth/x.js"}, "UrlPath": {"/owa/auth/x.js"}, "Anchor": {"serverinfo~localhost/ecp/default.flt?"}, "ClientIp": {"192.0.2.7"},
				"Agent":       {"mozilla/5.0 (macintosh; intel mac os x 10_13_6) applewebkit/537.36 (khtml like gecko) chrome/69"},
				"BackEndHost": {"localhost"}, "BackEndUrl": {"/ecp/default.flt?"}}},
		{"without a port", map[string]string{"UrlStem": "/ecp/y.js", "AnchorMailbox": "ServerInfo~a]@exchange.dom.de/autodiscover/autodiscover.xml"},
			map[string][]string{"Url": {"/ecp/y.js"}, "UrlPath": {"/ecp/y.js"}, "Anchor": {"serverinfo~a]@exchange.dom.de/autodiscover/autodiscover.xml"},
				"BackEndHost": {"a]@exchange.dom.de"}, "BackEndUrl": {"/autodiscover/autodiscover.xml"}}},
		{"a penetration tester's tool", map[string]string{"UrlStem": "/ecp/lkO.js", "AnchorMailbox": "ServerInfo~Admin@SRV02:444/ecp/proxyLogon.ecp?a=~1942062522&a="},
			map[string][]string{"Url": {"/ecp/lko.js"}, "UrlPath": {"/ecp/lko.js"}, "Anchor": {"serverinfo~admin@srv02:444/ecp/proxylogon.ecp?a=~1942062522&a="},
				"BackEndHost": {"admin@srv02:444"}, "BackEndUrl": {"/ecp/proxylogon.ecp?a=~1942062522&a="}}},
		{"back-end cookie alone", map[string]string{"UrlStem": "/owa/auth/x.js", "BackEndCookie": "Server~host.local/EWS/Exchange.asmx?a=~1942062522~2021-03-03T06:49:42"},
			map[string][]string{"Url": {"/owa/auth/x.js"}, "UrlPath": {"/owa/auth/x.js"}, "BackEndHost": {"host.local"}, "BackEndUrl": {"/ews/exchange.asmx?a=~1942062522~2021-03-03t06:49:42"}}},
		// What honest clients are routed by.
		{"back-end cookie with a date", map[string]string{"UrlStem": "/owa/", "BackEndCookie": "Server~srv.contoso.local~1942062522~3/3/2021 6:49:42"},
			map[string][]string{"Url": {"/owa/"}, "UrlPath": {"/owa/"}}},
		{"server without a path", map[string]string{"UrlStem": "/owa/", "AnchorMailbox": "ServerInfo~SRV02"},
			map[string][]string{"Url": {"/owa/"}, "UrlPath": {"/owa/"}, "Anchor": {"serverinfo~srv02"}}},
		{"identity", map[string]string{"UrlStem": "/ews/", "AnchorMailbox": "Sid~S-1-5-21-1-2-3-1142"},
			map[string][]string{"Url": {"/ews/"}, "UrlPath": {"/ews/"}, "Anchor": {"sid~s-1-5-21-1-2-3-1142"}}},
		{"version of a server", map[string]string{"UrlStem": "/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application", "UserAgent": "Mozilla/5.0 zgrab/0.x",
			"AnchorMailbox": "ServerVersion~Version 15.0 (Build 0.0)"},
			map[string][]string{"Url": {"/ecp/current/exporttool/microsoft.exchange.ediscovery.exporttool.application"}, "UrlPath": {"/ecp/current/exporttool/microsoft.exchange.ediscovery.exporttool.application"},
				"Agent": {"mozilla/5.0 zgrab/0.x"}, "Anchor": {"serverversion~version 15.0 (build 0.0)"}}},
		{"query", map[string]string{"UrlStem": "/autodiscover/autodiscover.json", "UrlQuery": "?@Foo.com/PowerShell/%3FX-Rps-CAT=x&Email=autodiscover/autodiscover.json%3f@foo.com"},
			map[string][]string{"Url": {"/autodiscover/autodiscover.json?@foo.com/powershell/?x-rps-cat=x&email=autodiscover/autodiscover.json?@foo.com"},
				"UrlPath":   {"/autodiscover/autodiscover.json"},
				"Query":     {"@foo.com/powershell/?x-rps-cat=x&email=autodiscover/autodiscover.json?@foo.com"},
				"Arguments": {"@Foo.com/PowerShell/%3FX-Rps-CAT=x&Email=autodiscover/autodiscover.json%3f@foo.com"}}},
	}
	for _, tc := range tests {
		for build, columns := range map[string]string{"15.1": columns, "15.0": oldColumns} {
			row := map[string]string{"DateTime": "2021-03-03T06:49:42.162Z", "MajorVersion": "15", "MinorVersion": "1", "BuildVersion": "2176", "RevisionVersion": "2", "ServerHostName": "EX01"}
			for k, v := range tc.row {
				row[k] = v
			}
			ev := parsetest.Row(t, Format(), log(columns, row))
			if diff := cmp.Diff(tc.want, parsetest.Derived(ev)); diff != "" {
				t.Errorf("%s, columns of %s (-want +got):\n%s", tc.name, build, diff)
			}
			if ev.Host != "EX01" || ev.Source != Name || !ev.Time.Equal(mustTime("2021-03-03T06:49:42.162Z")) {
				t.Errorf("%s: host %q, source %q, time %v", tc.name, ev.Host, ev.Source, ev.Time)
			}
		}
	}
}

// The row of a 2013 server as it was published, shortened where it holds nothing: it ends
// earlier than the newest header.
func TestPublishedRow(t *testing.T) {
	t.Parallel()
	row := "2021-03-07T15:04:04.546Z,1a51fb75-0000-4000-8000-000000000000,15,0,1395,0,,Owa,192.0.2.1,/owa/auth/x.js,,FBA,false,,,ServerInfo~localhost/ecp/default.flt?," +
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14) AppleWebKit/537.36 (KHTML  like Gecko) Chrome/69.0.3497.81 Safari/537.36,198.51.100.3,SRV,500,500,,GET,Proxy,localhost,0.00.0003.000,CrossRegion,X-AnonResource-Backend-Cookie,,,,0,85"
	ev := parsetest.Row(t, Format(), "#Log-type: HttpProxy Logs\r\n#Fields: "+columns+"\r\n"+row+"\r\n")
	for name, want := range map[string]string{
		"BackEndHost": "localhost", "BackEndUrl": "/ecp/default.flt?", "HttpStatus": "500", "BackEndStatus": "500", "Method": "GET",
		"TargetServerVersion": "0.00.0003.000", "RoutingHint": "X-AnonResource-Backend-Cookie", "IsAuthenticated": "false", "ClientIp": "198.51.100.3",
	} {
		if got := ev.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	row := map[string]string{"DateTime": "2021-03-03T06:49:42.162Z", "MajorVersion": "15", "MinorVersion": "1", "BuildVersion": "2176", "RevisionVersion": "2", "ServerHostName": "EX01"}
	later := map[string]string{"DateTime": "2021-03-03T07:49:42.162Z", "MajorVersion": "15", "MinorVersion": "1", "BuildVersion": "2176", "RevisionVersion": "9", "ServerHostName": "EX01"}
	_, result := parsetest.Scan(t, Format(), []byte(log(columns, row, later)))
	want := []parse.BuildSeen{
		{Build: postern.Build{15, 1, 2176, 2}, Time: mustTime("2021-03-03T06:49:42.162Z")},
		{Build: postern.Build{15, 1, 2176, 9}, Time: mustTime("2021-03-03T07:49:42.162Z")},
	}
	if diff := cmp.Diff(want, result.Builds); diff != "" {
		t.Errorf("builds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"EX01": 2}, result.Servers); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	row := "2021-03-03T06:49:42.162Z,3656c386-0000-4000-8000-000000000000,15,1,2375,7,,Ews,localhost,/ews/\r\n"
	tests := []struct {
		name, path, data string
		want             bool
	}{
		{"header block", "x", "#Software: Microsoft Exchange Server\r\n#Version: 15.01.2176.002\r\n#Log-type: HttpProxy Logs\r\n", true},
		{"columns", "x", "#Fields: DateTime,UrlStem,AnchorMailbox,RoutingHint\r\n", true},
		{"bare columns, in quotes and another order", "x", `"RoutingHint","UrlStem","DateTime","AnchorMailbox"` + "\r\n", true},
		{"no header, in its folder", "Logging/HttpProxy/Ews/x.LOG", row, true},
		{"no header, elsewhere", "x.LOG", row, false},
		{"another log in the folder", "Logging/HttpProxy/Ews/x.LOG", "2021-03-03 06:49:42 something else\r\n", false},
		{"another log", "x", "#Log-type: ECP Server Log\r\n#Fields: TimeStamp,ServerName,EventId,EventData\r\n", false},
		{"remote PowerShell", "x", "#Fields: DateTime,UrlStem,ShellId,ClientInfo\r\n", false},
		{"header and NUL padding", "x", "#Log-type: HttpProxy Logs\r\n" + strings.Repeat("\x00", 600), true},
		{"binary", "Logging/HttpProxy/Ews/x.LOG", "2021\x00\x01\x02,", false},
	}
	for _, tc := range tests {
		f, _ := parse.Recognise([]byte(tc.data), tc.path, []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", tc.name, got, tc.want)
		}
	}
}

func FuzzHttpProxy(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		for _, name := range []string{"UrlPath", "BackEndUrl"} {
			for _, v := range parsetest.Derived(ev)[name] {
				parsetest.Canonical(t, name, v)
			}
		}
		if v, ok := ev.Lookup("BackEndUrl"); ok && !strings.HasPrefix(v, "/") {
			t.Fatalf("BackEndUrl %q is no path", v)
		}
	}
	parsetest.Fuzz(f, Format(), each,
		log(columns, map[string]string{"DateTime": "2021-03-03T06:49:42.162Z", "AnchorMailbox": `ServerInfo~a]@h:444/ecp/%2e%2e/x?msExchEcpCanary=c`, "UrlStem": `/ecp\y.js`, "UrlQuery": "?a=b", "GenericErrors": "a,\"b\"\nc"}),
		log(oldColumns, map[string]string{"DateTime": "2021-03-03T06:49:42.162Z", "BackEndCookie": "Server~h/x~1~2"}, map[string]string{"DateTime": "2021-03-03T07:49:42Z"}))
}

func mustTime(s string) postern.Instant {
	var t postern.Instant
	if err := t.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return t
}
