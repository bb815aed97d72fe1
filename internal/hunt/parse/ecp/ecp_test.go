package ecp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

func log(rows ...string) string {
	return "#Software: Microsoft Exchange Server\r\n#Version: 15.0.0.0\r\n#Log-type: ECP Server Log\r\n#Date: 2021-03-03T00:00:01.000Z\r\n#Fields: TimeStamp,ServerName,EventId,EventData\r\n" +
		strings.Join(rows, "\r\n") + "\r\n"
}

// row is a row of the server log with a command, as the product quotes it.
func row(pairs ...string) string {
	data := "S:TIME=13;S:SID=abc"
	for _, p := range pairs {
		if strings.ContainsAny(p, ";'") {
			p = "'" + strings.ReplaceAll(p, "'", "''") + "'"
		}
		data += ";" + p
	}
	return csv("2021-03-03T06:59:17.772Z", "EX01", "ECP.Request", data)
}

func csv(cells ...string) string {
	for i, c := range cells {
		if strings.ContainsAny(c, "\",\r\n") {
			cells[i] = `"` + strings.ReplaceAll(c, `"`, `""`) + `"`
		}
	}
	return strings.Join(cells, ",")
}

// Words that a scanner for malware looks for are put together when the test runs.
var (
	script = "<scr" + `ipt language="JScr` + `ipt" run` + `at="server">@@BODY@@</scr` + "ipt>"
	page   = "<%@ Pa" + "ge %>"
)

func TestDerive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		row  string
		want map[string][]string
	}{
		{"inbox rule", row("S:CMD=Get-InboxRule", "S:REQID=", "S:URL=/ecp/RulesEditor/InboxRules.svc/GetList?msExchEcpCanary=CANARY"),
			map[string][]string{"TIME": {"13"}, "SID": {"abc"}, "REQID": {""}, "CMD": {"Get-InboxRule"}, "CmdName": {"get-inboxrule"}, "Command": {"get-inboxrule"}, "Canary": {"CANARY"},
				"URL": {"/ecp/RulesEditor/InboxRules.svc/GetList?msExchEcpCanary=CANARY"}, "Request": {"/ecp/ruleseditor/inboxrules.svc/getlist?msexchecpcanary=canary"}}},
		{"administrator", row("S:CMD=Set-OabVirtualDirectory.ExternalUrl='https://mail.contoso.com/OAB'.InternalUrl='https://srv.contoso.local/OAB'.Identity='0f1e'"),
			map[string][]string{"TIME": {"13"}, "SID": {"abc"}, "CMD": {"Set-OabVirtualDirectory.ExternalUrl='https://mail.contoso.com/OAB'.InternalUrl='https://srv.contoso.local/OAB'.Identity='0f1e'"},
				"CmdName": {"set-oabvirtualdirectory"}, "Command": {"set-oabvirtualdirectory.externalurl='https://mail.contoso.com/oab'.internalurl='https://srv.contoso.local/oab'.identity='0f1e'"},
				"CmdUrl": {"https://mail.contoso.com/oab", "https://srv.contoso.local/oab"}}},
		{"pipeline", row("S:CMD=Pipeline.1|Get-MailboxRegionalConfiguration"),
			map[string][]string{"TIME": {"13"}, "SID": {"abc"}, "CMD": {"Pipeline.1|Get-MailboxRegionalConfiguration"}, "CmdName": {"get-mailboxregionalconfiguration"}, "Command": {"pipeline.1|get-mailboxregionalconfiguration"}}},
		{"tidy-up", row("S:CMD=Set-OabVirtualDirectory.ExternalUrl=$null.Identity='x'"),
			map[string][]string{"TIME": {"13"}, "SID": {"abc"}, "CMD": {"Set-OabVirtualDirectory.ExternalUrl=$null.Identity='x'"}, "CmdName": {"set-oabvirtualdirectory"},
				"Command": {"set-oabvirtualdirectory.externalurl=$null.identity='x'"}, "CmdUrl": {"$null"}}},
		{"pairs named like columns and computed fields", row("S:ServerName=x", "S:CmdUrl=http://f/", "S:eventdata=y", "S:CMD=Get-X", "S:FOO=1"),
			map[string][]string{"TIME": {"13"}, "SID": {"abc"}, "CMD": {"Get-X"}, "FOO": {"1"}, "CmdName": {"get-x"}, "Command": {"get-x"}}},
	}
	for _, tc := range tests {
		ev := parsetest.Row(t, Formats()[0], log(tc.row))
		if diff := cmp.Diff(tc.want, parsetest.Derived(ev)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if ev.Source != Server || ev.Host != "EX01" || ev.Get("EventId") != "ECP.Request" || ev.Time.Second() != 17 {
			t.Errorf("%s: source %s, host %s, event %s, time %v", tc.name, ev.Source, ev.Host, ev.Get("EventId"), ev.Time)
		}
	}
}

func TestCmdUrl(t *testing.T) {
	t.Parallel()
	low := strings.ToLower
	for _, tc := range []struct {
		name, cmd string
		want      []string
	}{
		{"markup", "Set-OabVirtualDirectory.ExternalUrl='http://f/" + script + "'.Identity='982d48c8'", []string{"http://f/" + low(script)}},
		{"identity first", "Set-OabVirtualDirectory.Identity='982d48c8'.ExternalUrl='http://f/" + script + "'", []string{"http://f/" + low(script)}},
		{"page directive", "Set-OwaVirtualDirectory.InternalUrl='http://f/" + page + "'.Identity='x'", []string{"http://f/" + low(page)}},
		{"escaped", "Set-OabVirtualDirectory.ExternalUrl='http://f/%3cSCRIPT%3e%2541'.Identity='x'", []string{"http://f/<script>a"}},
		{"good one first", "Set-OabVirtualDirectory.ExternalUrl='https://mail.contoso.com/'.InternalUrl='http://g/" + script + "'.Identity='x'",
			[]string{"https://mail.contoso.com/'.internalurl='http://g/" + low(script) + "'.identity='x'", "http://g/" + low(script)}},
		{"two good ones", "Set-OabVirtualDirectory.ExternalUrl='https://a.b/'.InternalUrl='https://c.d/'", []string{"https://a.b/", "https://c.d/"}},
		{"quotes in it", "Set-OabVirtualDirectory.ExternalUrl='http://f/" + script + "x['a'].b('c')'.Identity='x'", []string{"http://f/" + low(script) + "x['a'].b('c')"}},
		{"what looks like its end in it", "Set-OabVirtualDirectory.ExternalUrl='https://a.b/'.Foo='" + script + "'.Identity='x'", []string{"https://a.b/'.foo='" + low(script) + "'.identity='x'"}},
		{"what looks like the end of the command in it", "Set-OabVirtualDirectory.ExternalUrl='https://a.b/';" + script + "'.Identity='x'", []string{"https://a.b/';" + low(script) + "'.identity='x'"}},
		{"cut", "Set-OabVirtualDirectory.ExternalUrl='http://f/" + script[:12], []string{"http://f/" + low(script[:12])}},
		{"cut at its beginning", "Set-OabVirtualDirectory.ExternalUrl='", []string{""}},
		{"blanks", "Set-OabVirtualDirectory.ExternalUrl = 'http://f/x' .Identity = 'x'", []string{"http://f/x"}},
		{"one-letter host", "Set-OabVirtualDirectory.ExternalUrl='http://o/#x'.Identity='x'", []string{"http://o/#x"}},
		{"no URL", "Set-OabVirtualDirectory.Identity='http://f/'.PollInterval='480'", nil},
		{"more than any has", "Set-X" + strings.Repeat(".ExternalUrl='a'", 100), slicesRepeat("a", 16)},
	} {
		ev := parsetest.Row(t, Formats()[0], log(row("S:CMD="+tc.cmd, "S:REQID=")))
		want := tc.want
		if len(want) == 1 && want[0] == "" {
			want = nil // an empty value is none
		}
		if diff := cmp.Diff(want, parsetest.Derived(ev)["CmdUrl"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func slicesRepeat(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// A row that was published with an attack, in the shape of a penetration tester's tool.
func TestPublishedRow(t *testing.T) {
	t.Parallel()
	published := `2021-04-06T14:54:38.677Z,WIN-EX01,ECP.Request,"S:TIME=4365;S:SID=abc;'S:CMD=Set-OabVirtualDirectory.ExternalUrl=''http://o/#x''.Identity=''id''';S:REQID=;S:URL=/ecp/DDI/DDIService.svc/SetObject?schema=OABVirtualDirectory&msExchEcpCanary=Can.&a=%5D:444/ecp/lkO.js;S:REFERRER=;S:EX="`
	ev := parsetest.Row(t, Formats()[0], log(published))
	for name, want := range map[string]string{
		"CmdName": "set-oabvirtualdirectory", "CmdUrl": "http://o/#x", "Canary": "Can.", "REFERRER": "",
		"Request": "/ecp/ddi/ddiservice.svc/setobject?schema=oabvirtualdirectory&msexchecpcanary=can.&a=]:444/ecp/lko.js",
	} {
		if got := ev.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestActivity(t *testing.T) {
	t.Parallel()
	data := "#Software: Microsoft Exchange Server\r\n#Version: 15.0.0.0\r\n#Log-type: ECP Activity Context Log\r\n#Fields: TimeStamp,ServerName,EventId,EventData\r\n" +
		"2021-03-03T06:59:17.772Z,EX01,Request,S:PSA=<PII>admin</PII>;S:URL=https://localhost:444/ecp//y.aspx?a=B;S:Bld=15.1.2176.2;I32:ADS.C[DC01]=4\r\n"
	ev := parsetest.Row(t, Formats()[1], data)
	if ev.Source != Activity || ev.Get("PSA") != "<PII>admin</PII>" || ev.Get("Request") != "https://localhost:444/ecp/y.aspx?a=b" || ev.Get("ADS.C[DC01]") != "4" {
		t.Errorf("source %s, derived %v", ev.Source, ev.Derived)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	const fields = "#Fields: TimeStamp,ServerName,EventId,EventData\r\n"
	for _, tc := range []struct {
		name, path, data, want string
	}{
		{"server", "x", "#Log-type: ECP Server Log\r\n" + fields, Server},
		{"activity", "x", "#Log-type: ECP Activity Context Log\r\n" + fields, Activity},
		{"activity in a folder named server", "ECP/Server/x", "#Log-type: ECP Activity Context Log\r\n" + fields, Activity},
		{"columns alone", "x", fields, Server},
		{"columns alone, by folder", "ECP/Activity/x", fields, Activity},
		{"time column by its other name", "x", "#Fields: MyTimeStamp,ServerName,EventId,EventData\r\n", Server},
		{"no header", "x", "2021-03-03T06:59:17.772Z,EX01,ECP.Request,S:TIME=13;S:SID=abc;S:CMD=Get-InboxRule\r\n", Server},
		{"no header, activity", "x", "2021-03-03T06:59:17.772Z,EX01,Request,S:PSA=x;S:Bld=15.1.2176.2\r\n", Activity},
		{"no header, another log", "x", "2021-03-03T06:59:17.772Z,EX01,ECP.Request,other\r\n", ""},
		{"another log with such columns", "x", "#Log-type: Something else\r\n" + fields, ""},
	} {
		f, _ := parse.Recognise([]byte(tc.data), tc.path, Formats(), nil)
		got := ""
		if f != nil {
			got = f.Name
		}
		if got != tc.want {
			t.Errorf("%s: recognised as %q, want %q", tc.name, got, tc.want)
		}
	}
}

func FuzzECP(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		if n := len(parsetest.Derived(ev)["CmdUrl"]); n > maxURLs {
			t.Fatalf("%d URLs of one command", n)
		}
		for _, d := range ev.Derived {
			if strings.EqualFold(d.Name, "ServerName") || strings.EqualFold(d.Name, "EventData") {
				t.Fatalf("a pair stands for the column %s", d.Name)
			}
		}
	}
	parsetest.Fuzz(f, Formats()[0], each,
		log(row("S:CMD=Set-OabVirtualDirectory.ExternalUrl='http://f/x;y'.Identity='z'", "S:URL=/ecp/x?msExchEcpCanary=a&b=%5d")),
		log("2021-03-03T06:59:17Z,EX01,ECP.Request,S:CMD=Pipeline.1|Set-X.Url='a';'S:EX=a''b\nc;S:EventData=1"))
}
