package cmdletinfra

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

// log puts one row, given by column, under its header.
func log(columns string, row map[string]string) string {
	var cells []string
	for c := range strings.SplitSeq(columns, ",") {
		v := row[c]
		if strings.ContainsAny(v, "\",") {
			v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
		}
		cells = append(cells, v)
	}
	return "#Software: Microsoft Exchange Server\r\n#Version: 15.01.2375.007\r\n#Log-type: CmdletInfra\r\n#Fields: " + columns + "\r\n" + columns + "\r\n" + strings.Join(cells, ",") + "\r\n"
}

// newer columns come behind those that every build has.
const newer = cmdletColumns + ",UserBudgetOnStart,ContributeToFailFast,RunspaceSettingsCreationHint,ADViewEntireForest,ErrorType,ExecutionResult,GenericInfo,GenericErrors,ObjectGuid,NonPiiParameters"

func TestCmdlet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, cmdlet, parameters string
		want                     map[string][]string
	}{
		{"mailbox export", "New-MailboxExportRequest", `-Mailbox "administrator" -FilePath "\\localhost\c$\inetpub\wwwroot\aspnet_client\x.aspx"`,
			map[string][]string{"CmdName": {"new-mailboxexportrequest"}, "Command": {`new-mailboxexportrequest -mailbox "administrator" -filepath "\\localhost\c$\inetpub\wwwroot\aspnet_client\x.aspx"`}}},
		{"escaped", "Set-OabVirtualDirectory", "-ExternalUrl http://f/%3Cx%2541", map[string][]string{"CmdName": {"set-oabvirtualdirectory"}, "Command": {"set-oabvirtualdirectory -externalurl http://f/<xa"}}},
		{"no parameters", " Get-MailboxExportRequest ", "", map[string][]string{"CmdName": {"get-mailboxexportrequest"}, "Command": {" get-mailboxexportrequest  "}}},
	} {
		for _, columns := range []string{cmdletColumns, newer} {
			ev := parsetest.Row(t, Formats()[0], log(columns, map[string]string{"DateTime": "2021-08-20T10:00:00.000Z", "ServerHostName": "EX01", "Cmdlet": tc.cmdlet, "Parameters": tc.parameters}))
			if diff := cmp.Diff(tc.want, parsetest.Derived(ev)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.name, diff)
			}
			if ev.Source != Cmdlet || ev.Host != "EX01" {
				t.Errorf("%s: source %s, host %s", tc.name, ev.Source, ev.Host)
			}
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	ev := parsetest.Row(t, Formats()[1], log(httpColumns, map[string]string{
		"DateTime": "2022-12-20T10:00:00.000Z", "ServerHostName": "EX01", "UrlStem": "/PowerShell/", "UrlQuery": "?X-Rps-CAT=Vg%3D%3d&Email=a",
		"ClientInfo": "Mozilla/5.0 (Windows NT 10.0)  python", "ClientIpAddress": "198.51.100.3 10.0.0.5", "HttpStatus": "200"}))
	want := map[string][]string{"Url": {"/powershell/?x-rps-cat=vg==&email=a"}, "Client": {"mozilla/5.0 (windows nt 10.0) python"}, "ClientIp": {"198.51.100.3"}}
	if diff := cmp.Diff(want, parsetest.Derived(ev)); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
	if ev.Source != HTTP || ev.Host != "EX01" {
		t.Errorf("source %s, host %s", ev.Source, ev.Host)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		Cmdlet: log(newer, nil), HTTP: log(httpColumns, nil), "": "#Fields: DateTime,UrlStem,AnchorMailbox,RoutingHint\r\n",
	} {
		got := ""
		if f, _ := parse.Recognise([]byte(data), "x", Formats(), nil); f != nil {
			got = f.Name
		}
		if got != name {
			t.Errorf("recognised as %q, want %q", got, name)
		}
	}
}

func FuzzCmdlet(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		if name, ok := ev.Lookup("CmdName"); ok && !strings.Contains(ev.Get("Command"), parse.Lower(parse.Decode(name))) {
			t.Fatalf("the command %q has the name %q", ev.Get("Command"), name)
		}
	}
	parsetest.Fuzz(f, Formats()[0], each, log(newer, map[string]string{"DateTime": "2021-08-20T10:00:00Z", "Cmdlet": "Set-X", "Parameters": `-a "b,%41"`}))
}

func FuzzHTTP(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) { parsetest.Canonical(t, "Url", ev.Get("Url")) }
	parsetest.Fuzz(f, Formats()[1], each, log(httpColumns, map[string]string{"DateTime": "2021-08-20T10:00:00Z", "UrlStem": `/a\..//b`, "UrlQuery": "c=%2f"}))
}
