package all

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern"
	"postern/internal/campaign"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse"
	parseall "postern/internal/hunt/parse/all"
	"postern/internal/hunt/parse/parsetest"
)

// tester is what the helpers here need of a test, *testing.T or *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// builtIn compiles the rules of the built-in packs as the program does.
func builtIn(t tester) *Rows {
	t.Helper()
	packs, err := campaign.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	var rules []detect.RowRule
	var sequences []detect.Sequence
	docs, order := slices.Clone(packs[0].Facts.Rules), slices.Clone(packs[0].Facts.Sequences)
	for _, p := range packs {
		docs, order = append(docs, p.Rules...), append(order, p.Sequences...)
	}
	for _, r := range docs {
		rule := detect.RowRule{Rule: r.Rule, Sigma: r.Sigma, Entities: r.Entities, Where: r.Where.String()}
		for _, d := range r.Downgrade {
			rule.Downgrade = append(rule.Downgrade, detect.Downgrade(d))
		}
		rules = append(rules, rule)
	}
	for _, s := range order {
		sequences = append(sequences, detect.Sequence{Rule: s.Rule, Sigma: s.Sigma, Rules: s.Rules, Where: s.Where.String()})
	}
	sourcesOf := func(category, product, service string) (all []string) {
		for _, p := range packs {
			all = append(all, p.Facts.SourcesOf(campaign.SigmaSource{Category: category, Product: product, Service: service})...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	rows, err := NewRows(rules, sequences, parseall.Formats(), sourcesOf)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// table is a log as a test writes it: values by column.
type table struct {
	format  string
	columns []string
	rows    []map[string]string
}

func formatOf(name string) *parse.Format {
	for _, f := range parseall.Formats() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// write gives the log as the product writes it; quoted puts quotes around every
// value that may have them.
func (tb table) write(quoted bool) string {
	f := formatOf(tb.format)
	var b strings.Builder
	if f.Delim != 0 {
		b.WriteString("#Fields: " + strings.Join(tb.columns, string(f.Delim)) + "\r\n")
	}
	for _, row := range tb.rows {
		for i, c := range tb.columns {
			if i > 0 {
				b.WriteByte(f.Delim)
			}
			v := row[c]
			switch {
			case f.Delim == ' ':
				v = cmp.Or(strings.ReplaceAll(v, " ", "+"), "-")
			case f.Delim == ',' && (quoted || strings.ContainsAny(v, "\",\r\n")):
				v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
			b.WriteString(v)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// judge gives the findings of a log, with a gate or without.
func judge(t tester, f *parse.Format, log string, rules hunt.HostRules, gated bool) []postern.Finding {
	t.Helper()
	var findings []postern.Finding
	opt := parse.Options{Yield: func(ev *postern.Event) { findings = append(findings, rules.Look(ev)...) }}
	if gated {
		opt.Gate = rules.Gate
	}
	if _, err := parse.Scan(context.Background(), strings.NewReader(log), "x.log", f, opt); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(findings, func(a, b postern.Finding) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID)) })
	return append(findings, rules.Sequences(findings)...)
}

// sameBehindGate checks that a gate takes nothing away.
func sameBehindGate(t tester, f *parse.Format, log string, rules hunt.HostRules) []postern.Finding {
	t.Helper()
	want := judge(t, f, log, rules, false)
	if diff := gocmp.Diff(want, judge(t, f, log, rules, true)); diff != "" {
		t.Fatalf("behind the gate other findings come out of\n%s\n(-without +with):\n%s", log, diff)
	}
	return want
}

// short gives findings as "rule level", sorted; rules of the oldest pack and of the
// product stand there without its name.
func short(findings []postern.Finding) []string {
	all := []string{}
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s %d", strings.TrimPrefix(strings.TrimPrefix(f.Rule, "proxylogon/"), "exchange/"), f.Level))
	}
	slices.Sort(all)
	return all
}

// sample is rows of one log and what has to be said of them.
type sample struct {
	name string
	log  table
	want []string
}

// names of the columns of each log, in the order in which they are written.
var columnsOf = map[string][]string{
	"httpproxy":    strings.Split("DateTime,RequestId,MajorVersion,MinorVersion,BuildVersion,RevisionVersion,ClientRequestId,Protocol,UrlHost,UrlStem,ProtocolAction,AuthenticationType,IsAuthenticated,AuthenticatedUser,Organization,AnchorMailbox,UserAgent,ClientIpAddress,ServerHostName,HttpStatus,BackEndStatus,ErrorCode,Method,ProxyAction,TargetServer,TargetServerVersion,RoutingType,RoutingHint,BackEndCookie,UrlQuery,GenericInfo,GenericErrors", ","),
	"iis":          strings.Split("date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken", " "),
	"ecp-server":   {"TimeStamp", "ServerName", "EventId", "EventData"},
	"oabgenerator": {"Line"},
	"rps-cmdlet":   {"DateTime", "ServerHostName", "AuthenticatedUser", "Cmdlet", "Parameters", "ProcessName", "ErrorType"},
	"rps-http":     {"DateTime", "RequestId", "UrlStem", "AuthenticatedUser", "ClientIpAddress", "ServerHostName", "HttpStatus", "ShellId", "ClientInfo", "UrlQuery"},
	"ews":          {"DateTime", "AuthenticatedUser", "UserAgent", "ClientIpAddress", "ServerHostName", "SoapAction", "HttpStatus"},
}

// log makes a table of rows given as "column=value" texts; what all have in common
// comes first.
func log(format string, common []string, rows ...[]string) table {
	tb := table{format: format, columns: columnsOf[format]}
	for i, texts := range rows {
		row := map[string]string{}
		for _, text := range slices.Concat(common, texts) {
			name, value, _ := strings.Cut(text, "=")
			row[name] = value
		}
		second := fmt.Sprintf("%02d", i)
		for name, value := range map[string]string{"DateTime": "2021-03-03T06:59:" + second + ".000Z", "TimeStamp": "2021-03-03T06:59:" + second + ".000Z", "date": "2021-03-03", "time": "06:59:" + second} {
			if row[name] == "" && slices.Contains(tb.columns, name) {
				row[name] = value
			}
		}
		tb.rows = append(tb.rows, row)
	}
	return tb
}

// proxied is a row of the front end: stem, what routed it, status.
func proxied(stem, anchor, status string, more ...string) table {
	return log("httpproxy", []string{"Method=POST", "IsAuthenticated=false", "RoutingHint=X-BEResource-Cookie", "UserAgent=python-requests/2.25.1", "ClientIpAddress=130.255.189.21", "ServerHostName=EX01",
		"UrlStem=" + stem, "AnchorMailbox=" + anchor, "HttpStatus=" + status}, more)
}

// requested is a row of the web server.
func requested(method, stem, query, status string, more ...string) table {
	return log("iis", []string{"s-ip=10.0.0.5", "s-port=443", "c-ip=192.0.2.7", "cs(User-Agent)=Mozilla/5.0", "sc-substatus=0", "sc-win32-status=0", "time-taken=87",
		"cs-method=" + method, "cs-uri-stem=" + stem, "cs-uri-query=" + query, "sc-status=" + status}, more)
}

// commanded are rows of the control panel, one command each.
func commanded(commands ...string) table {
	var rows [][]string
	for _, c := range commands {
		data := "S:TIME=13;S:SID=abc;"
		if pair := "S:CMD=" + c; strings.ContainsAny(pair, ";'") {
			data += "'" + strings.ReplaceAll(pair, "'", "''") + "'"
		} else {
			data += pair
		}
		rows = append(rows, []string{"EventData=" + data + ";S:REQID=;S:URL=/ecp/DDI/DDIService.svc/SetObject?schema=OABVirtualDirectory&msExchEcpCanary=CANARY;S:REFERRER=;S:EX="})
	}
	return log("ecp-server", []string{"ServerName=EX01", "EventId=ECP.Request"}, rows...)
}

func downloaded(path string) table {
	return log("oabgenerator", nil, []string{"Line=2021-03-03T06:59:00.000Z,Download failed and temporary file '" + path + "' needs to be removed"})
}

// tokens are what Exchange adds to a query in the web server's log.
const tokens = "&CorrelationID=<empty>;&cafeReqId=7f3a1b2c-0000-4000-8000-000000000000;&encoding=;"

// Words that a scanner for malware looks for are put together when the test runs;
// what they make cannot run.
var (
	script    = "<scr" + `ipt language="JScr` + `ipt" run` + `at="server">@@BODY@@</scr` + "ipt>"
	directive = "<%@ Pa" + "ge %>@@BODY@@"
)

const (
	target = "ServerInfo~a]@host.local:444"
	canary = "?msExchEcpCanary=Ab-_x.&schema="
	setOAB = "Set-OabVirtualDirectory.ExternalUrl="
)

// samples are every row and condition of the ladder that is known, with what looks
// like them.
func samples() []sample {
	none := []string{}
	all := []sample{
		// The front end.
		{"mailbox asked for", proxied("/ecp/y.js", target+"/autodiscover/autodiscover.xml?#", "200"), []string{"ssrf-autodiscover 1"}},
		{"mailbox asked for, without a port", proxied("/ecp/y.js", "ServerInfo~a]@exchange.dom.de/autodiscover/autodiscover.xml?#", "200"), []string{"ssrf-autodiscover 1"}},
		{"mailbox protocol", proxied("/ecp/y.js", target+"/mapi/emsmdb/?#", "200"), []string{"ssrf-mapi 2"}},
		{"mailbox protocol without the mark at the end", proxied("/owa/auth/x.js", target+"/mapi/emsmdb/", "200"), []string{"ssrf-mapi 2"}},
		{"mailbox protocol refused", proxied("/ecp/y.js", target+"/mapi/emsmdb/?#", "401"), []string{"ssrf-mapi 1"}},
		{"session", proxied("/ecp/y.js", target+"/ecp/proxyLogon.ecp?#", "241"), []string{"ssrf-session 2"}},
		{"session of a tester's tool", proxied("/ecp/lkO.js", "ServerInfo~Admin@SRV02:444/ecp/proxyLogon.ecp?a=~1942062522&a=", "241"), []string{"ssrf-session 2"}},
		{"mail", proxied("/ecp/y.js", target+"/EWS/Exchange.asmx?a=~1942062522", "200"), []string{"ssrf-mail 2"}},
		{"mail refused", proxied("/ecp/y.js", target+"/EWS/exchange.asmx", "500"), []string{"ssrf-mail 1"}},
		{"directory read", proxied("/ecp/y.js", target+"/ecp/DDI/DDIService.svc/GetObject"+canary+"OABVirtualDirectory#", "200"), []string{"ddi-get 3"}},
		{"directory changed", proxied("/ecp/y.js", target+"/ecp/DDI/DDIService.svc/SetObject"+canary+"OABVirtualDirectory#", "200"), []string{"ddi-set 3"}},
		{"directory reset", proxied("/ecp/y.js", target+"/ecp/DDI/DDIService.svc/SetObject"+canary+"ResetOABVirtualDirectory#", "200"), []string{"ddi-reset 4"}},
		{"another directory reset", proxied("/owa/auth/w.js", target+"/ecp/DDI/DDIService.svc/SetObject"+canary+"ResetOWAVirtualDirectory", "200"), []string{"ddi-reset 4"}},
		{"reset refused", proxied("/ecp/y.js", target+"/ecp/DDI/DDIService.svc/SetObject"+canary+"ResetOABVirtualDirectory#", "500"), []string{"ddi-reset 1"}},
		{"another page", proxied("/ecp/main.css", target+"/ecp/default.aspx", "200"), []string{"ssrf-other 2"}},
		{"another page of localhost", proxied("/ecp/default.flt", "ServerInfo~localhost/ecp/x", "500"), []string{"ssrf-other 1"}},
		{"published scan", proxied("/owa/auth/x.js", "ServerInfo~localhost/ecp/default.flt?", "500", "RoutingHint=X-AnonResource-Backend-Cookie", "Method=GET"), []string{"ssrf-scan 1"}},
		{"published scan of another page", proxied("/owa/auth/x.js", "ServerInfo~localhost/owa/auth/logon.aspx?", "200", "Method=GET"), []string{"ssrf-scan 1"}},
		{"cookie alone, another column", proxied("/owa/auth/x.js", "", "200", "RoutingHint=", "BackEndCookie=Server~host.local/EWS/exchange.asmx~1942062522~2021-03-03T06:49:42"), []string{"ssrf-backend-cookie 2"}},
		{"static page routed by a cookie", proxied("/ecp/y.js", "", "200"), []string{"ssrf-cookie 2"}},
		{"static page routed by a cookie, refused", proxied("/owa/auth/Current/themes/resources/logon.css", "", "500", "RoutingHint=X-AnonResource-Backend-Cookie"), []string{"ssrf-cookie 1"}},
		// What looks like it.
		{"cookie of somebody who is signed in", proxied("/ecp/y.js", "", "200", "IsAuthenticated=true"), none},
		{"cookie on a page", proxied("/ecp/", "", "200"), none},
		{"server without a path", proxied("/owa/", "ServerInfo~SRV02", "200", "RoutingHint=", "IsAuthenticated=true"), none},
		{"health probe", proxied("/ews/", "Sid~S-1-5-21-1-2-3-1142", "200", "RoutingHint=WindowsIdentity", "IsAuthenticated=true", "UserAgent=AMProbe/Local/ClientAccess", "Method=GET"), none},
		{"scan for versions", proxied("/ecp/Current/exporttool/microsoft.exchange.ediscovery.exporttool.application", "ServerVersion~Version 15.0 (Build 0.0)", "200", "RoutingHint=EDiscoveryExportTool-ServerVersion", "Method=GET", "UserAgent=Mozilla/5.0 zgrab/0.x"), none},
		{"anonymous page", proxied("/owa/admin.cfg", "", "302", "RoutingHint=", "Method=GET"), none},
		{"cookie of an honest client", proxied("/owa/", "", "200", "RoutingHint=", "BackEndCookie=Server~srv.contoso.local~1942062522~2021-03-03T06:49:42"), none},
		{"cookie with a date", proxied("/owa/", "", "200", "RoutingHint=", "BackEndCookie=Server~srv.contoso.local~1942062522~3/3/2021 6:49:42"), none},
		{"somebody searches for it", proxied("/owa/", "Smtp~serverinfo~a/b@contoso.com", "200", "RoutingHint="), none},

		// The control panel.
		{"code set", commanded(setOAB + "'http://f/" + script + "'.Identity='982d48c8'"), []string{"ecp-set-url 3"}},
		{"code set, identity first", commanded("Set-OabVirtualDirectory.Identity='982d48c8'.ExternalUrl='http://f/" + script + "'"), []string{"ecp-set-url 3"}},
		{"page set", commanded("Set-OwaVirtualDirectory.InternalUrl='http://f/" + directive + "'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"tag that is not closed", commanded("Set-EcpVirtualDirectory.ExternalUrl='http://f/" + script[:40] + "'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"code set, escaped", commanded(setOAB + "'http://mail.contoso.com/%3c" + script[1:20] + "'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"code set, behind a good one", commanded("Set-OabVirtualDirectory.ExternalUrl='https://mail.contoso.com/OAB'.InternalUrl='http://g/" + script + "'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"one-letter host", commanded(setOAB + "'http://o/#x'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"one-letter host and nothing", commanded(setOAB + "'http://a/'.Identity='x'"), []string{"ecp-set-url 3"}},
		{"very long", commanded(setOAB + "'https://mail.contoso.com/" + strings.Repeat("a", 300) + "'.Identity='x'"), []string{"ecp-set-url 1"}},
		{"published row", log("ecp-server", nil, []string{"ServerName=WIN-EX01", "EventId=ECP.Request",
			"EventData=S:TIME=4365;S:SID=abc;'S:CMD=Set-OabVirtualDirectory.ExternalUrl=''http://o/#x''.Identity=''id''';S:REQID=;S:URL=/ecp/DDI/DDIService.svc/SetObject?schema=OABVirtualDirectory&msExchEcpCanary=Can.&a=%5D:444/ecp/lkO.js;S:REFERRER=;S:EX="}), []string{"ecp-set-url 3"}},
		{"forged address", log("ecp-server", nil, []string{"ServerName=EX01", "EventId=ECP.Request",
			"EventData=S:TIME=4;S:CMD=Get-OabVirtualDirectory.ADPropertiesOnly=$true;S:REQID=;S:URL=/ecp/DDI/DDIService.svc/GetObject?schema=OABVirtualDirectory&msExchEcpCanary=Can.&a=%5D:444/ecp/lkO.js;S:EX="}), []string{"ecp-forged 3"}},
		{"the whole chain", commanded("Get-OabVirtualDirectory.ADPropertiesOnly=$true.Identity=$null", "Pipeline.1|Get-MailboxRegionalConfiguration", setOAB+"'http://f/"+script+"'.Identity='982d48c8'",
			"Get-OabVirtualDirectory.ADPropertiesOnly=$true.Identity='982d48c8'", "Get-OABVirtualDirectory.Identity='982d48c8'", "Get-ExchangeServer.Identity='SRV'", `Remove-OABVirtualDirectory.Force=$true.Identity='SRV\OAB (Default Web Site)'`,
			`New-OABVirtualDirectory.WebSiteName='Default Web Site'.Server='SRV'.Role='ClientAccess'.InternalURL='https://srv/OAB'.Path='C:\x\FrontEnd\HttpProxy\OAB'`, setOAB+"$null.Identity='982d48c8'"),
			[]string{"ecp-new-vdir 0", "ecp-remove-vdir 0", "ecp-reset-chain 4", "ecp-set-url 3"}},
		// What looks like it.
		{"administrator", commanded(setOAB + "'https://mail.contoso.com/OAB'.InternalUrl='https://srv.contoso.local/OAB'.Identity='0f1e'"), none},
		{"administrator of a short name", commanded(setOAB + "'http://mail/OAB'.Identity='0f1e'"), none},
		{"administrator with a port and an address", commanded(setOAB + "'https://[2001:db8::1]:8443/OAB?a=b&c=d'.Identity='0f1e'"), none},
		{"administrator with a blank in it", commanded(setOAB + "'https://mail.contoso.com/Offline%20Address%20Book/'.InternalUrl='https://mail.contoso.com/Offline Address Book'.Identity='0f1e'"), none},
		{"administrator of a name with an umlaut", commanded(setOAB + "'https://mail.münchen.example/OAB'.Identity='0f1e'"), none},
		{"administrator clears it", commanded(setOAB + "$null.Identity='0f1e'"), none},
		{"administrator resets it", commanded("Remove-OABVirtualDirectory.Force=$true.Identity='x'", "New-OABVirtualDirectory.Server='SRV'.InternalURL='https://srv/OAB'"), []string{"ecp-new-vdir 0", "ecp-remove-vdir 0"}},
		{"inbox rule", commanded("Get-InboxRule"), none},
		{"signature with code", commanded("Set-MailboxMessageConfiguration.SignatureHtml='" + script + "'"), none},

		// The generator of offline address books.
		{"page dropped", downloaded(`C:\inetpub\wwwroot\aspnet_client\help.aspx`), []string{"oab-write 4"}},
		{"page dropped by dots", downloaded(`C:\Program Files\Microsoft\Exchange Server\V15\ClientAccess\OAB\..\..\FrontEnd\HttpProxy\owa\auth\x.aspx`), []string{"oab-write 4"}},
		{"page dropped through a share", downloaded(`\\localhost\c$\inetpub\wwwroot\x.aspx`), []string{"oab-write 4"}},
		{"page dropped under short names", downloaded(`C:\PROGRA~1\MICROS~1\EXCHAN~1\V15\FRONTE~1\HTTPPR~1\owa\auth\x.aspx`), []string{"oab-write 4"}},
		{"page in the generator's own folder", downloaded(`D:\Exchange\ClientAccess\OAB\x.aspx`), []string{"oab-write 4"}},
		{"file outside", downloaded(`C:\Windows\Temp\x.lzx`), []string{"oab-write 4"}},
		{"download that failed", downloaded(`C:\Program Files\Microsoft\Exchange Server\V15\ClientAccess\OAB\Temp\0f1e-data-1.lzx`), none},
		{"download that failed, on another drive", downloaded(`F:\Program Files\Microsoft\Exchange\ClientAccess\OAB\0f1e-data-1.lzx`), none},

		// The web server, front end and back end.
		{"carrier", requested("POST", "/ecp/y.js", tokens, "200"), []string{"carrier-post 2"}},
		{"carrier on a theme", requested("POST", "/owa/auth/Current/themes/resources/logon.css", tokens, "241"), []string{"carrier-post 2"}},
		{"carrier refused", requested("POST", "/owa/auth/x.js", tokens, "500"), []string{"carrier-post 1"}},
		{"carrier sent elsewhere", requested("POST", "/ecp/default.flt", tokens, "302"), []string{"carrier-post 1"}},
		{"published test", requested("GET", "/owa/auth/x.js", tokens, "500"), []string{"scan-page 1"}},
		{"session on the back end", requested("POST", "/ecp/proxyLogon.ecp", "", "241", `cs-username=DOM\SRV$`, "s-port=444"), []string{"backend-session 1"}},
		{"session refused", requested("POST", "/ecp/proxyLogon.ecp", "", "403", `cs-username=DOM\SRV$`, "s-port=444"), []string{"backend-session 0"}},
		{"directory reset by the machine", requested("POST", "/ecp/DDI/DDIService.svc/SetObject", canary[1:]+"ResetOABVirtualDirectory", "200", `cs-username=NT AUTHORITY\SYSTEM`), []string{"backend-reset 4"}},
		{"directory changed by the machine", requested("POST", "/ecp/DDI/DDIService.svc/SetObject", canary[1:]+"OABVirtualDirectory", "200", `cs-username=DOM\SRV$`), []string{"backend-set 3"}},
		{"directory read by the machine", requested("POST", "/ecp/DDI/DDIService.svc/GetObject", canary[1:]+"OABVirtualDirectory", "200", `cs-username=DOM\SRV$`), []string{"backend-get 3"}},
		{"directory reset by the machine, refused", requested("POST", "/ecp/DDI/DDIService.svc/SetObject", canary[1:]+"ResetOABVirtualDirectory", "500", `cs-username=DOM\SRV$`), []string{"backend-reset 1"}},
		{"directory reset by a person", requested("POST", "/ecp/DDI/DDIService.svc/SetObject", canary[1:]+"ResetOABVirtualDirectory", "200", `cs-username=DOM\admin`), []string{"backend-reset 1"}},
		{"directory changed by a person", requested("POST", "/ecp/DDI/DDIService.svc/SetObject", canary[1:]+"OABVirtualDirectory", "200", `cs-username=DOM\admin`), []string{"backend-set 0"}},
		{"session right behind a carrier", log("iis", []string{"c-ip=130.255.189.21"}, []string{"cs-method=POST", "cs-uri-stem=/ecp/y.js", "sc-status=200"}, []string{"cs-method=POST", "cs-uri-stem=/ecp/proxyLogon.ecp", "sc-status=241", `cs-username=DOM\SRV$`}),
			[]string{"backend-session 1", "carrier-post 2", "carrier-then-session 2"}},
		// What looks like it.
		{"script read", requested("GET", "/ecp/15.1.2176.2/scripts/y.js", tokens, "200"), none},
		{"theme read", requested("GET", "/owa/auth/15.1.2176/themes/resources/logon.css", "", "200"), none},
		{"mail read", requested("POST", "/owa/service.svc", "action=GetItem&EP=1"+tokens, "200", `cs-username=DOM\alice`), none},
		{"somebody signs in", requested("POST", "/owa/auth.owa", tokens, "302"), none},
		{"Outlook on a telephone", requested("GET", "/autodiscover/autodiscover.json", "Email=user%40dom&Protocol=ActiveSync&RedirectCount=1", "200"), none},

		// Pages where none should be. The answer says whether there was one.
		{"page answers", requested("GET", "/owa/auth/RedirSuiteServerProxy.aspx", tokens, "200"), []string{"shell-request 4"}},
		{"page is used", requested("POST", "/owa/auth/RedirSuiteServerProxy.aspx", tokens, "200"), []string{"shell-request 5"}},
		{"page is used by its address", requested("GET", "/aspnet_client/x.aspx", "cmd=whoami"+tokens, "200"), []string{"shell-request 5"}},
		{"page is used under Exchange's own words", requested("GET", "/aspnet_client/x.aspx", "clientid=whoami%20/all", "200"), []string{"shell-request 5"}},
		{"page is not there", requested("GET", "/owa/auth/OutlookEN.aspx", tokens, "302"), []string{"shell-request 1"}},
		{"page is not there any more", requested("POST", "/aspnet_client/supp0rt.aspx", "", "404"), []string{"shell-request 1"}},
		{"page fails", requested("POST", "/owa/auth/errorFF.aspx", "", "500"), []string{"shell-request 4"}},
		{"stock page's name in another folder", requested("POST", "/owa/auth/TimeoutLogout.aspx", "", "200"), []string{"shell-request 5"}},
		{"page below", requested("POST", "/aspnet_client/system_web/4_0_30319/x.aspx", "", "200"), []string{"shell-request 5"}},
		{"page with a path behind it", requested("POST", "/ecp/auth/x.aspx/y", "", "200"), []string{"shell-request 5"}},
		{"handler", requested("POST", "/owa/auth/win.ashx", "", "200"), []string{"shell-request 5"}},
		{"page, as the front end saw it", proxied("/owa/auth/RedirSuiteServerProxy.aspx", "", "200", "RoutingHint="), []string{"shell-request-proxy 5"}},
		{"page asked for, as the front end saw it", proxied("/owa/auth/OutlookEN.aspx", "", "302", "RoutingHint=", "Method=GET"), []string{"shell-request-proxy 1"}},
		// What looks like it.
		{"stock page", requested("GET", "/owa/auth/logon.aspx", "replaceCurrent=1&url=https%3a%2f%2fmail%2fowa%2f", "200"), none},
		{"stock page sent to", requested("POST", "/owa/auth/RedirSuiteServiceProxy.aspx", tokens, "200"), none},
		{"stock page of the control panel", requested("GET", "/ecp/auth/TimeoutLogout.aspx", "", "200"), none},
		{"page of the control panel", requested("GET", "/ecp/default.aspx", "", "200", `cs-username=DOM\admin`), none},
		{"somebody's own page", requested("POST", "/intranet/x.aspx", "", "200"), none},

		// Remote PowerShell and web services.
		{"code set by PowerShell", log("rps-cmdlet", nil, []string{"Cmdlet=Set-OabVirtualDirectory", "Parameters=-Identity x -ExternalUrl \"http://f/" + script + `"`, `AuthenticatedUser=DOM\admin`}), []string{"rps-set-url 3"}},
		{"one-letter host by PowerShell", log("rps-cmdlet", nil, []string{"Cmdlet=Set-OabVirtualDirectory", "Parameters=-ExternalUrl http://f/ -Identity x"}), []string{"rps-set-url 3"}},
		{"address set by PowerShell", log("rps-cmdlet", nil, []string{"Cmdlet=Set-OabVirtualDirectory", "Parameters=-Identity x -ExternalUrl https://mail.contoso.com/OAB"}), none},
		{"mail taken as the server", log("ews", nil, []string{`AuthenticatedUser=DOM\EX01$`, "SoapAction=FindItem", "UserAgent=python-requests/2.25.1", "HttpStatus=200", "ClientIpAddress=::1"}), []string{"ews-as-server 2"}},
		{"mail taken as the system", log("ews", nil, []string{`AuthenticatedUser=NT AUTHORITY\SYSTEM`, "SoapAction=GetAttachment", "UserAgent=ExchangeServicesClient/0.0.0.0", "HttpStatus=200"}), []string{"ews-as-server 2"}},
		{"mail not given to the server", log("ews", nil, []string{`AuthenticatedUser=DOM\EX01$`, "SoapAction=FindItem", "UserAgent=python-requests/2.25.1", "HttpStatus=401"}), []string{"ews-as-server 1"}},
		{"server talks to server", log("ews", nil, []string{`AuthenticatedUser=DOM\EX02$`, "SoapAction=GetUserAvailability", "UserAgent=ASProxy/CrossForest/15.1", "HttpStatus=200"}), none},
		{"person with a script", log("ews", nil, []string{`AuthenticatedUser=DOM\alice`, "SoapAction=FindItem", "UserAgent=python-requests/2.25.1", "HttpStatus=200"}), none},
	}
	for _, status := range []string{"200", "403", "500"} {
		all = append(all, sample{"session that was not made, " + status, proxied("/ecp/y.js", target+"/ecp/proxyLogon.ecp?#", status), []string{"ssrf-session 1"}})
	}
	all = append(all, siblings()...)
	for _, name := range []string{"errorFE", "expiredpassword", "frowny", "logoff", "logon", "OutlookCN", "RedirSuiteServiceProxy", "signout", "SvmFeedback"} {
		all = append(all, sample{"stock page " + name, requested("GET", "/owa/auth/"+name+".aspx", "", "200"), none})
	}
	return all
}

func TestLadder(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	seen := make(map[string]bool)
	for _, s := range samples() {
		f := formatOf(s.log.format)
		for _, quoted := range []bool{false, true} {
			got := short(sameBehindGate(t, f, s.log.write(quoted), rows.Host()))
			if diff := gocmp.Diff(s.want, got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", f.Name, s.name, diff)
			}
		}
		for _, w := range s.want {
			rule, _, _ := strings.Cut(w, " ")
			for _, owner := range []string{"", "proxylogon/", "exchange/"} {
				seen[owner+rule] = true
			}
		}
	}
	for rule, doc := range rows.rules {
		if len(rows.records.windows.Places(rule)) > 0 { // of event logs: see TestEventLadder
			continue
		}
		if !seen[doc.ID] {
			t.Errorf("no sample for the rule %s", doc.ID)
		}
	}
}

// decoded are the columns that are undone before rules see them.
var decoded = map[string]bool{"UrlStem": true, "UrlQuery": true, "AnchorMailbox": true, "cs-uri-stem": true, "cs-uri-query": true}

// respell writes a value as another client might have: in another case, with
// escapes, the other slash and detours where these are undone.
func respell(t *rapid.T, column, v string) string {
	if client, ok := strings.CutSuffix(v, tokens); ok {
		return respell(t, column, client) + tokens // these the server writes
	}
	style := rapid.IntRange(0, 5).Draw(t, "style")
	if style == 0 {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		c := v[i]
		one := string(c)
		if rapid.Bool().Draw(t, "case") && column != "EventData" {
			if one = strings.ToUpper(one); one == v[i:i+1] {
				one = strings.ToLower(one)
			}
		}
		if style > 1 && decoded[column] && c != '~' && c != '?' && c != '=' && c != '&' && c != '#' && c != '%' && c != ';' {
			switch rapid.IntRange(0, 6*style).Draw(t, "escape") {
			case 0:
				one = fmt.Sprintf("%%%02x", one[0])
			case 1:
				one = fmt.Sprintf("%%25%02X", one[0])
			case 2:
				one = fmt.Sprintf("%%u00%02x", one[0])
			case 3:
				if c == '/' && i > 0 && i < len(v)-1 {
					one = rapid.SampledFrom([]string{`\`, "//", "/./", "/x/../", "%5c"}).Draw(t, "slash")
				}
			}
		}
		b.WriteString(one)
	}
	return b.String()
}

// spelt gives the log of a sample as it could have been written as well.
func spelt(t *rapid.T, s sample) (*parse.Format, table) {
	f := formatOf(s.log.format)
	tb := table{format: s.log.format, columns: slices.Clone(s.log.columns)}
	for _, row := range s.log.rows {
		row = maps.Clone(row)
		for _, c := range s.log.columns { // in their order, so that the test can be repeated
			if !slices.Contains(f.Time, c) && c != "Line" && row[c] != "" {
				row[c] = respell(t, c, row[c])
			}
		}
		tb.rows = append(tb.rows, row)
	}
	if rapid.IntRange(0, 3).Draw(t, "late") == 0 && len(tb.rows) > 0 { // behind so many rows that the gate has begun to remember
		quiet := make(map[string]string)
		for _, c := range f.Time {
			quiet[c] = tb.rows[0][c]
		}
		tb.rows = append(slices.Repeat([]map[string]string{quiet}, 300), tb.rows...)
	}
	switch rapid.IntRange(0, 3).Draw(t, "columns") {
	case 0:
		tb.columns = rapid.Permutation(tb.columns).Draw(t, "order")
	case 1:
		more := []string{"Unknown", tb.columns[0], tb.columns[len(tb.columns)-1]}
		if f.Delim == ',' {
			more = append(more, "") // some builds have one without a name
		}
		if f.Delim != 0 {
			at := rapid.IntRange(0, len(tb.columns)).Draw(t, "at")
			tb.columns = slices.Insert(tb.columns, at, rapid.SampledFrom(more).Draw(t, "column"))
		}
	}
	return f, tb
}

// Whatever a client writes and in whichever columns it ends up, a gate takes no
// finding away; and rows that are only spelt differently are found all the same.
func TestGateIsSound(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	all := samples()
	learned := []postern.Finding{{Level: postern.Implanted, Rule: "test", Entities: map[string]string{postern.URL: "/owa/auth/redirsuiteserverproxy.aspx", postern.File: `C:\inetpub\wwwroot\intranet\x.aspx`}}}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "sample")
		f, tb := spelt(t, s)
		rules := rows.Host()
		if rapid.Bool().Draw(t, "pages are known") {
			rules.Learn(learned)
			sameBehindGate(t, f, tb.write(rapid.Bool().Draw(t, "quoted")), rules)
			return
		}
		got := short(sameBehindGate(t, f, tb.write(rapid.Bool().Draw(t, "quoted")), rules))
		if diff := gocmp.Diff(s.want, got); diff != "" {
			t.Fatalf("%s, spelt %q (-want +got):\n%s", s.name, tb.write(false), diff)
		}
	})
}

// A rule about any part of any value that an event of any log has is never
// spoilt by the gate that is made for it.
func TestGateOfAnyRule(t *testing.T) {
	t.Parallel()
	all := samples()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "sample")
		f, tb := spelt(t, s)
		log := tb.write(rapid.Bool().Draw(t, "quoted"))
		var events []postern.Event
		if _, err := parse.Scan(context.Background(), strings.NewReader(log), "x", f, parse.Options{Yield: func(ev *postern.Event) { events = append(events, parsetest.Kept(ev)) }}); err != nil || len(events) == 0 {
			t.Fatalf("%v, %d events", err, len(events))
		}
		ev := rapid.SampledFrom(events).Draw(t, "event")
		names := []string{}
		for _, list := range [][]postern.Field{ev.Fields, ev.Derived} {
			for _, field := range list {
				names = append(names, field.Name)
			}
		}
		for alias := range f.Aliases {
			names = append(names, alias)
		}
		slices.Sort(names)
		name := rapid.SampledFrom(names).Draw(t, "field")
		target := name
		if f.Aliases[name] != "" {
			target = f.Aliases[name]
		}
		values := ev.Values(target)
		if len(values) == 0 || values[0] == "" {
			return
		}
		v := rapid.SampledFrom(values).Draw(t, "value")
		runes := []rune(v)
		from := rapid.IntRange(0, len(runes)-1).Draw(t, "from")
		part := string(runes[from:rapid.IntRange(from+1, min(len(runes), from+40)).Draw(t, "to")])
		if strings.ContainsAny(part, "\r\n\t\x00") || strings.TrimSpace(part) == "" {
			return
		}
		part = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(part)
		item := fmt.Sprintf("    %s|contains: '%s'\n", quoteYAML(name), strings.ReplaceAll(part, "'", "''"))
		if rapid.IntRange(0, 5).Draw(t, "keyword") == 0 {
			item = fmt.Sprintf("    - '%s'\n", strings.ReplaceAll(part, "'", "''"))
		}
		condition := "one"
		if except := rapid.SampledFrom(names).Draw(t, "except for"); rapid.Bool().Draw(t, "filtered") {
			values := ev.Values(except)
			if rapid.IntRange(0, 3).Draw(t, "of another row") == 0 {
				other := rapid.SampledFrom(events).Draw(t, "other")
				values = other.Values(except)
			}
			if len(values) > 0 && values[0] != "" && !strings.ContainsAny(values[0], "\r\n\t\x00") {
				whole := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(values[0])
				item += fmt.Sprintf("  two:\n    %s: '%s'\n", quoteYAML(except), strings.ReplaceAll(whole, "'", "''"))
				condition = rapid.SampledFrom([]string{"one and not two", "one and two", "not (two or not one)"}).Draw(t, "condition")
			}
		}
		doc := "title: t\nlogsource: {category: x}\ndetection:\n  one:\n" + item + "  condition: " + condition + "\n"
		rows, err := NewRows([]detect.RowRule{{Rule: postern.Rule{ID: "t", Level: postern.Probed}, Sigma: []byte(doc)}}, nil, parseall.Formats(),
			func(string, string, string) []string { return []string{f.Name} })
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if found := sameBehindGate(t, f, log, rows.Host()); len(found) == 0 && condition == "one" && !strings.Contains(item, "- '") {
			t.Fatalf("the rule does not find its own value %q in %v\n%s", part, ev, doc)
		}
	})
}

func quoteYAML(name string) string { return strings.ReplaceAll(name, "'", "''") }
