package iis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/parsetest"
)

const head = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2021-03-03 00:00:00\r\n"

func log(fields string, rows ...string) string {
	return head + "#Fields: " + fields + "\r\n" + strings.Join(rows, "\r\n") + "\r\n"
}

func TestDerive(t *testing.T) {
	t.Parallel()
	const guid = "7f3a1b2c-0000-4000-8000-000000000000"
	const tokens = "&CorrelationID=<empty>;&cafeReqId=" + guid + ";&encoding=;"
	tests := []struct {
		name, fields, row string
		want              map[string][]string
	}{
		{"carrier of the request forgery", columns, "2021-03-03 06:59:18 10.0.0.5 POST /ecp/y.js " + tokens + " 443 - 130.255.189.21 python-requests/2.25.1 - 200 0 0 871",
			map[string][]string{"Url": {"/ecp/y.js?" + strings.ToLower(tokens)}, "UrlPath": {"/ecp/y.js"}, "Query": {strings.ToLower(tokens)},
				"Agent": {"python-requests/2.25.1"}, "ClientIp": {"130.255.189.21"}, "RequestId": {guid}}},
		{"session on the back end", columns, "2021-03-03 06:59:18 10.0.0.5 POST /ecp/proxyLogon.ecp - 444 DOM\\SRV$ 10.0.0.5 python-requests/2.25.1 - 241 0 0 12",
			map[string][]string{"Url": {"/ecp/proxylogon.ecp"}, "UrlPath": {"/ecp/proxylogon.ecp"}, "Agent": {"python-requests/2.25.1"}}},
		{"reset on the back end", columns, "2021-03-03 06:59:20 10.0.0.5 POST /ecp/DDI/DDIService.svc/SetObject msExchEcpCanary=Ab-_x.&schema=Reset%4fABVirtualDirectory 444 NT+AUTHORITY\\SYSTEM ::1 - - 200 0 0 12",
			map[string][]string{"Url": {"/ecp/ddi/ddiservice.svc/setobject?msexchecpcanary=ab-_x.&schema=resetoabvirtualdirectory"}, "UrlPath": {"/ecp/ddi/ddiservice.svc/setobject"},
				"Query": {"msexchecpcanary=ab-_x.&schema=resetoabvirtualdirectory"}, "Arguments": {"msExchEcpCanary=Ab-_x.&schema=Reset%4fABVirtualDirectory"}, "ClientIp": {"::1"}, "Canary": {"Ab-_x."}}},
		{"web shell", columns, "2021-03-05 03:06:27 10.0.0.5 GET /owa/auth/RedirSuiteServerProxy.aspx " + tokens + " 443 - 139.162.202.236 Mozilla/5.0+(Windows+NT+10.0)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/65.0.2345.0 - 200 0 0 133",
			map[string][]string{"Url": {"/owa/auth/redirsuiteserverproxy.aspx?" + strings.ToLower(tokens)}, "UrlPath": {"/owa/auth/redirsuiteserverproxy.aspx"}, "Query": {strings.ToLower(tokens)},
				"Agent": {"mozilla/5.0 (windows nt 10.0) applewebkit/537.36 (khtml like gecko) chrome/65.0.2345.0"}, "ClientIp": {"139.162.202.236"}, "RequestId": {guid}}},
		{"web shell with a command", columns, "2021-03-05 03:06:27 10.0.0.5 GET /aspnet_client/..%5cASPNET~1/%u0073hell.aspx cmd=who%2561mi" + tokens + " 443 - 192.0.2.7 - - 200 0 0 133",
			map[string][]string{"Url": {"/aspnet_client/shell.aspx?cmd=whoami" + strings.ToLower(tokens)}, "UrlPath": {"/aspnet_client/shell.aspx"}, "Query": {"cmd=whoami" + strings.ToLower(tokens)},
				"Arguments": {"cmd=who%2561mi"}, "ClientIp": {"192.0.2.7"}, "RequestId": {guid}}},
		{"behind a load balancer", columns + " X-Forwarded-For", "2021-03-05 03:06:27 10.0.0.5 GET / - 443 - 10.0.0.1 - - 200 0 0 133 203.0.113.9:1234,+10.0.0.1",
			map[string][]string{"Url": {"/"}, "UrlPath": {"/"}, "ClientIp": {"203.0.113.9"}}},
		{"forwarded for nobody", columns + " X-Forwarded-For", "2021-03-05 03:06:27 10.0.0.5 GET / - 443 - 10.0.0.1 - - 200 0 0 133 -",
			map[string][]string{"Url": {"/"}, "UrlPath": {"/"}, "ClientIp": {"10.0.0.1"}}},
		{"forwarded for no address", columns + " X-Forwarded-For", "2021-03-05 03:06:27 10.0.0.5 GET / - 443 - 10.0.0.1 - - 200 0 0 133 unknown",
			map[string][]string{"Url": {"/"}, "UrlPath": {"/"}, "ClientIp": {"10.0.0.1"}}},
		{"all columns that there are", "date time s-sitename s-computername s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs-version cs(User-Agent) cs(Cookie) cs(Referer) cs-host sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken",
			"2021-03-05 03:06:27 W3SVC1 EX01 10.0.0.5 GET /x - 443 - 192.0.2.7 HTTP/1.1 a+b x=y - mail.contoso.com 200 0 0 1 2 3",
			map[string][]string{"Url": {"/x"}, "UrlPath": {"/x"}, "Agent": {"a b"}, "ClientIp": {"192.0.2.7"}}},
		{"Outlook on a telephone", columns, "2021-03-05 03:06:27 10.0.0.5 GET /autodiscover/autodiscover.json Email=user%40dom&Protocol=ActiveSync&RedirectCount=1 443 - 192.0.2.7 - - 200 0 0 133",
			map[string][]string{"Url": {"/autodiscover/autodiscover.json?email=user@dom&protocol=activesync&redirectcount=1"}, "UrlPath": {"/autodiscover/autodiscover.json"},
				"Query": {"email=user@dom&protocol=activesync&redirectcount=1"}, "Arguments": {"Email=user%40dom&Protocol=ActiveSync&RedirectCount=1"}, "ClientIp": {"192.0.2.7"}}},
	}
	for _, tc := range tests {
		ev := parsetest.Row(t, Format(), log(tc.fields, tc.row))
		if diff := cmp.Diff(tc.want, parsetest.Derived(ev)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if got := ev.Time.Format("2006-01-02 15:04:05"); !strings.HasPrefix(tc.row, got) {
			t.Errorf("%s: time %s", tc.name, got)
		}
	}
}

// The set of fields changes when somebody changes it, and the header comes again.
func TestFieldsChange(t *testing.T) {
	t.Parallel()
	data := log("date time cs-uri-stem c-ip", "2021-03-05 03:06:27 /a 192.0.2.1") + log("date time s-computername c-ip cs-uri-stem", "2021-03-05 04:06:27 EX01 192.0.2.2 /b")
	events, result := parsetest.Scan(t, Format(), []byte(data))
	var got []string
	for i := range events {
		got = append(got, events[i].Get("UrlPath")+" "+events[i].Get("ClientIp")+" "+events[i].Host)
	}
	if diff := cmp.Diff([]string{"/a 192.0.2.1 ", "/b 192.0.2.2 EX01"}, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if result.Records != 2 || len(result.Hours) != 2 || result.Servers["EX01"] != 1 || len(result.Problems) > 0 {
		t.Errorf("%d records in hours %v, servers %v, problems %v", result.Records, result.Hours, result.Servers, result.Problems)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	row := "2021-03-05 03:06:27 10.0.0.5 GET /x - 443 - 192.0.2.7 - - 200 0 0 133\r\n"
	for _, tc := range []struct {
		name, data string
		want       bool
	}{
		{"default", log(columns, row), true},
		{"header alone", head, true},
		{"fields alone", "#Fields: date cs-uri-stem\n", true},
		{"time without a date", "#Fields: time cs-uri-stem\n", true},
		{"no header", row, true},
		{"no header, no web server", "2021-03-05 03:06:27 a b c d e f g h i j k l\r\n", false},
		{"front end", "#Software: Microsoft Exchange Server\r\n#Log-type: HttpProxy Logs\r\n#Fields: DateTime,UrlStem,AnchorMailbox,RoutingHint\r\n", false},
		{"errors of the driver", "#Software: Microsoft HTTP API 2.0\r\n#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid s-reason s-queuename\r\n", false},
	} {
		f, _ := parse.Recognise([]byte(tc.data), "u_ex210305.log", []*parse.Format{Format()}, nil)
		if got := f != nil; got != tc.want {
			t.Errorf("%s: recognised %v, want %v", tc.name, got, tc.want)
		}
	}
}

func FuzzIIS(f *testing.F) {
	each := func(t *testing.T, ev *postern.Event) {
		for _, name := range []string{"Url", "UrlPath"} {
			for _, v := range parsetest.Derived(ev)[name] {
				parsetest.Canonical(t, name, v)
			}
		}
		if strings.ContainsAny(ev.Get("RequestId")+ev.Get("Canary"), "&#;") {
			t.Fatalf("tokens of %v hold their own end", ev.Derived)
		}
	}
	parsetest.Fuzz(f, Format(), each,
		log(columns, `2021-03-05 03:06:27 10.0.0.5 GET /a\%2e%2e//b%3fc &msExchEcpCanary=x;&cafeReqId=y;&encoding=; 443 - 192.0.2.7 a+b - 200 0 0 1`),
		log(columns+" X-Forwarded-For s-computername", "2021-03-05 03:06:27 - - - - - - - - - - - - - [::1]:80,+1.2.3.4 EX01")+"#Fields: time cs-uri-stem\r\n04:00:00 /\r\n")
}
