package all

import (
	"encoding/base64"
	"slices"
	"testing"
)

// asked is a row of the front end about an address, without routing values.
func asked(method, stem, query, status string, more ...string) table {
	return log("httpproxy", []string{"Method=" + method, "IsAuthenticated=false", "UserAgent=python-requests/2.25.1", "ClientIpAddress=192.0.2.7", "ServerHostName=EX01",
		"UrlStem=" + stem, "UrlQuery=" + query, "HttpStatus=" + status}, more)
}

// ordered is a cmdlet of remote PowerShell.
func ordered(cmdlet, parameters string, more ...string) table {
	return log("rps-cmdlet", []string{"Cmdlet=" + cmdlet, "Parameters=" + parameters, `AuthenticatedUser=DOM\admin`}, more)
}

// called is a request to the back end of remote PowerShell.
func called(client, address, query, status string) table {
	return log("rps-http", []string{"UrlStem=/powershell", "ShellId=1", "ServerHostName=EX01", `AuthenticatedUser=DOM\alice`,
		"ClientInfo=" + client, "ClientIpAddress=" + address, "UrlQuery=" + query, "HttpStatus=" + status}, nil)
}

const (
	confusing = "/autodiscover/autodiscover.json"
	marked    = "&Email=autodiscover/autodiscover.json%3F@evil.example"
	token     = "X-Rps-CAT=VgEAVAdXaW5kb3dzQwBBCEtlcmJlcm9z"
	person    = `AuthenticatedUser=DOM\alice`
	signedIn  = "IsAuthenticated=true"
	inPanel   = "/ecp/victim@contoso.com"
)

// siblings are the rows of the later campaigns, with what looks like them.
func siblings() []sample {
	none := []string{}
	return []sample{
		// ProxyShell: the path that confuses the front end.
		{"confused to the mailbox protocol", asked("POST", confusing, "?@evil.example/mapi/nspi/?"+marked, "200"), []string{"proxyshell/mapi 2"}},
		{"confused to the other mailbox protocol", asked("POST", "/Autodiscover/autodiscover.json", "?a=a@evil.example/mapi/emsmdb?"+marked, "200"), []string{"proxyshell/mapi 2"}},
		{"the parameter in a cookie", asked("POST", confusing, "?@evil.example/mapi/nspi/", "200"), []string{"proxyshell/mapi 2"}},
		{"the stem decoded as a whole", asked("POST", confusing+"?@evil.example/mapi/nspi/", "", "200"), []string{"proxyshell/mapi 2"}},
		{"confused, refused", asked("POST", confusing, "?@evil.example/mapi/nspi/?"+marked, "401"), []string{"proxyshell/mapi 1"}},
		{"test of a scanner that succeeds", asked("GET", confusing, "?@evil.example/mapi/nspi/?"+marked, "200"), []string{"proxyshell/mapi 2"}},
		{"test of a scanner that fails", asked("GET", confusing, "?@evil.example/mapi/nspi/?"+marked, "400"), []string{"proxyshell/mapi 1"}},
		{"identity asked for", asked("POST", confusing, "?@evil.example/autodiscover/autodiscover.xml?"+marked, "200"), []string{"proxyshell/identity 2"}},
		{"identity refused", asked("POST", confusing, "?@evil.example/autodiscover/autodiscover.xml?"+marked, "404"), []string{"proxyshell/identity 1"}},
		{"mail read", asked("POST", confusing, "?@evil.example/EWS/exchange.asmx?"+marked, "200"), []string{"proxyshell/mail 2"}},
		{"mail refused", asked("POST", confusing, "?@evil.example/EWS/exchange.asmx?"+marked, "401"), []string{"proxyshell/mail 1"}},
		{"test through web services", asked("GET", confusing, "?@evil.example/EWS/exchange.asmx?"+marked, "200"), []string{"proxyshell/mail 2"}},
		{"PowerShell with a token", asked("POST", confusing, "?@evil.example/powershell/?"+token+marked, "200"), []string{"proxyshell/powershell 3"}},
		{"PowerShell as the system", asked("POST", confusing, "?@evil.example/powershell/?"+token+marked, "200", `AuthenticatedUser=NT AUTHORITY\SYSTEM`, signedIn), []string{"proxyshell/powershell 3"}},
		{"PowerShell refused", asked("POST", confusing, "?@evil.example/powershell/?"+token+marked, "401"), []string{"proxyshell/powershell 1"}},
		{"PowerShell, looked at", asked("GET", confusing, "?@evil.example/powershell/?"+marked, "200"), []string{"proxyshell/powershell 2"}},
		{"another page", asked("GET", confusing, "?@evil.example/owa/?"+marked, "302"), []string{"proxyshell/other-page 1"}},
		{"another page answered", asked("POST", confusing, "?@evil.example/oab/?"+marked, "200"), []string{"proxyshell/other-page 2"}},
		{"token at the front door", asked("POST", "/powershell/", "?"+token, "200"), []string{"proxyshell/token 3"}},
		{"token refused", asked("POST", "/powershell/", "?"+token, "401"), []string{"proxyshell/token 1"}},
		{"token at the back end's PowerShell", called("Microsoft WinRM Client", "192.0.2.7 10.0.0.5", "?"+token, "200"), []string{"proxyshell/token-rps 3"}},
		{"token at the back end's PowerShell, refused", called("python-requests", "192.0.2.7", "?"+token, "401"), []string{"proxyshell/token-rps 1"}},

		{"confused to the mailbox protocol, web server", requested("POST", confusing, "@evil.example/mapi/nspi/?"+marked+tokens, "200"), []string{"proxyshell/mapi-iis 2"}},
		{"confused, refused, web server", requested("POST", confusing, "@evil.example/mapi/nspi/?"+marked+tokens, "302"), []string{"proxyshell/mapi-iis 1"}},
		{"test of a scanner, web server", requested("GET", confusing, "@evil.example/mapi/nspi/?"+marked+tokens, "200"), []string{"proxyshell/mapi-iis 2"}},
		{"identity, web server", requested("POST", confusing, "@evil.example/autodiscover/autodiscover.xml?"+marked+tokens, "200"), []string{"proxyshell/identity-iis 2"}},
		{"mail, web server", requested("POST", confusing, "@evil.example/EWS/exchange.asmx?"+marked+tokens, "200"), []string{"proxyshell/mail-iis 2"}},
		{"PowerShell, web server", requested("POST", confusing, "@evil.example/powershell/?"+token+marked+tokens, "200"), []string{"proxyshell/powershell-iis 3"}},
		{"another page, web server", requested("GET", confusing, "@evil.example/owa/?"+marked+tokens, "302"), []string{"proxyshell/other-page-iis 1"}},
		{"token on the back end's web server", requested("POST", "/powershell/", token, "200", `cs-username=DOM\admin`, "s-port=444"), []string{"proxyshell/token-iis 3"}},

		{"mailbox exported to a page", ordered("New-MailboxExportRequest", `-Mailbox "alice" -FilePath "\\127.0.0.1\C$\inetpub\wwwroot\aspnet_client\x.aspx"`), []string{"proxyshell/export-page 4"}},
		{"mailbox exported to a page, failed", ordered("New-MailboxExportRequest", `-FilePath "\\localhost\C$\x.ashx" -Mailbox "alice"`, "ErrorType=Microsoft.Exchange.X"), []string{"proxyshell/export-page 3"}},
		{"request for a certificate saved as a page", ordered("New-ExchangeCertificate", `-GenerateRequest "True" -RequestFile "\\localhost\C$\inetpub\x.aspx"`), []string{"proxyshell/certificate-page 4"}},
		{"request for a certificate saved as a page, failed", ordered("New-ExchangeCertificate", `-RequestFile "\\localhost\C$\inetpub\x.aspx"`, "ErrorType=x"), []string{"proxyshell/certificate-page 3"}},
		{"right to export", ordered("New-ManagementRoleAssignment", `-Role "Mailbox Import Export" -User "alice"`), []string{"proxyshell/export-role 0"}},
		{"trace removed", ordered("Remove-MailboxExportRequest", `-Identity "x" -Confirm "False"`), []string{"proxyshell/export-removed 0"}},
		// What looks like it.
		{"mailbox exported", ordered("New-MailboxExportRequest", `-Mailbox "alice" -FilePath "\\files\pst\alice.pst"`), []string{"proxyshell/export 0"}},
		{"request for a certificate", ordered("New-ExchangeCertificate", `-GenerateRequest "True" -RequestFile "\\files\x.req"`), none},
		{"another right", ordered("New-ManagementRoleAssignment", `-Role "View-Only Recipients" -User "alice"`), none},
		{"telephone", asked("GET", confusing, "?Email=alice%40contoso.com&Protocol=ActiveSync&RedirectCount=1", "200"), none},
		{"telephone that asks for web services", asked("GET", confusing+"/v1.0/alice@contoso.com", "?Protocol=EWS&RedirectCount=1", "200"), none},
		{"somebody called PowerShell", asked("GET", confusing, "?Email=powershell%40contoso.com&Protocol=AutodiscoverV1", "200"), none},
		{"somebody called PowerShell, web server", requested("GET", confusing, "Email=powershell@contoso.com&Protocol=EWS"+tokens, "200"), none},
		{"telephone that was sent on", asked("GET", confusing, "?Email=alice@contoso.com&Protocol=AutodiscoverV1&RedirectCount=2", "302"), none},
		{"Outlook", asked("POST", "/autodiscover/autodiscover.xml", "", "200", person, signedIn), none},
		{"mailbox protocol of Outlook", asked("POST", "/mapi/emsmdb/", "?MailboxId=1f2e@contoso.com", "200", person, signedIn), none},
		{"mailbox protocol of Outlook, web server", requested("POST", "/mapi/nspi/", "MailboxId=1f2e@contoso.com"+tokens, "200", `cs-username=DOM\alice`), none},
		{"somebody searches for it", requested("GET", "/owa/", "path=/mail/search&q=autodiscover.json+powershell+x-rps-cat", "200", `cs-username=DOM\alice`), none},

		// ProxyNotShell and OWASSRF.
		{"PowerShell with an account", asked("POST", confusing, "?a@evil.example/powershell/?"+marked, "200", person, signedIn), []string{"proxynotshell/autodiscover-powershell 2"}},
		{"PowerShell without the ending", asked("POST", "/autodiscover/admin@localhost/powershell/autodiscover.json", "?x=a", "200", person, signedIn), []string{"proxynotshell/autodiscover-powershell 2"}},
		{"PowerShell by another order", asked("POST", "/Autodiscover/x/", "?y=/PowerShell/", "200", person, signedIn), []string{"proxynotshell/autodiscover-powershell 2"}},
		{"PowerShell with an account, refused", asked("POST", confusing, "?a@evil.example/powershell/?"+marked, "403", person, signedIn), []string{"proxynotshell/autodiscover-powershell 1"}},
		{"PowerShell without an account, when both flaws were known", asked("POST", confusing, "?a@evil.example/powershell/?"+marked, "401", "DateTime=2022-10-05T01:02:03.000Z"),
			[]string{"proxynotshell/autodiscover-powershell 1", "proxyshell/powershell 1"}},
		{"through Outlook on the web", asked("POST", "/owa/mastermailbox@outlook.example/powershell", "", "200", person, signedIn), []string{"proxynotshell/owa-powershell 2"}},
		{"through Outlook on the web, refused", asked("POST", "/owa/x@y.example/powershell", "?z=1", "401"), []string{"proxynotshell/owa-powershell 1"}},
		{"PowerShell with an account, web server", requested("POST", confusing, "a@evil.example/powershell/?"+marked+tokens, "200", `cs-username=DOM\alice`), []string{"proxynotshell/autodiscover-powershell-iis 2"}},
		{"PowerShell with an account, refused, web server", requested("POST", confusing, "a@evil.example/powershell/?"+marked+tokens, "401", `cs-username=DOM\alice`), []string{"proxynotshell/autodiscover-powershell-iis 1"}},
		{"PowerShell without an account, web server", requested("GET", "/autodiscover/x", "/powershell", "401", "date=2022-11-01"), []string{"proxynotshell/autodiscover-powershell-iis 1"}},
		{"through Outlook on the web, web server", requested("POST", "/owa/mastermailbox%40outlook.example/powershell", tokens, "200", "cs-username=alice@contoso.com"), []string{"proxynotshell/owa-powershell-iis 2"}},
		{"through Outlook on the web, refused, web server", requested("POST", "/owa/x@y/powershell", "", "302"), []string{"proxynotshell/owa-powershell-iis 1"}},
		{"browser at PowerShell", called("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "192.0.2.7 10.0.0.5", "", "200"), []string{"proxynotshell/shell-client 3"}},
		{"browser at PowerShell, refused", called("Mozilla/5.0", "192.0.2.7", "", "401"), []string{"proxynotshell/shell-client 1"}},
		{"tool of administrators", called("Python PSRP Client", "10.1.2.3", "", "200"), []string{"proxynotshell/shell-client 1"}},
		// What looks like it.
		{"PowerShell at the front door", asked("POST", "/powershell", "?PSVersion=5.1", "200", person, signedIn), none},
		{"monitoring of PowerShell", asked("POST", "/powershell", "?PSVersion=5.1", "200", `AuthenticatedUser=DOM\HealthMailbox1`, signedIn, "UserAgent=AMProbe/Local/ClientAccess"), none},
		{"monitoring of the back end's PowerShell", called("Exchange BackEnd Probes", "::1", "", "200"), none},
		{"PowerShell itself", called("Microsoft WinRM Client", "192.0.2.7 10.0.0.5", "", "200"), none},
		{"PowerShell that does not say its name", called("", "192.0.2.7", "", "200"), none},
		{"PowerShell on the back end's web server", requested("POST", "/powershell/", "clientApplication=ManagementShell", "200", `cs-username=DOM\admin`, "s-port=444"), none},
		{"mailbox of somebody else on the web", asked("GET", "/owa/bob@contoso.com/", "", "200", person, signedIn), none},
		{"somebody searches for it on the web", asked("GET", "/owa/", "?q=autodiscover/powershell", "200", person, signedIn), none},

		// ProxyToken.
		{"rule made by nobody", asked("POST", inPanel+"/RulesEditor/InboxRules.svc/NewObject", "?msExchEcpCanary=Ab", "200"), []string{"proxytoken/rule-made 3"}},
		{"rule made by nobody, error", asked("POST", inPanel+"/RulesEditor/InboxRules.svc/NewObject", "?msExchEcpCanary=Ab", "500"), []string{"proxytoken/rule-error 2"}},
		{"rule refused", asked("POST", inPanel+"/RulesEditor/InboxRules.svc/NewObject", "", "401"), []string{"proxytoken/rule-made 1"}},
		{"settings opened by nobody", asked("GET", inPanel+"/PersonalSettings/HomePage.aspx", "?showhelp=false", "200"), []string{"proxytoken/settings 2"}},
		{"settings opened by nobody, error", asked("POST", inPanel+"/PersonalSettings/HomePage.aspx", "?showhelp=false", "500"), []string{"proxytoken/settings 1"}},
		{"token in the query", asked("GET", "/ecp/", "?SecurityToken=x", "200"), []string{"proxytoken/token 2"}},
		{"token in the query, refused", asked("GET", "/ecp/", "?SecurityToken=x", "302"), []string{"proxytoken/token 1"}},
		{"rule made by nobody, web server", requested("POST", inPanel+"/RulesEditor/InboxRules.svc/NewObject", "msExchEcpCanary=Ab"+tokens, "200"), []string{"proxytoken/rule-made-iis 3"}},
		{"rule made by nobody, error, web server", requested("POST", inPanel+"/RulesEditor/InboxRules.svc/SetObject", tokens, "500"), []string{"proxytoken/rule-error-iis 2"}},
		{"settings opened by nobody, web server", requested("GET", inPanel+"/default.aspx", tokens, "200"), []string{"proxytoken/settings-iis 2"}},
		{"token in the query, web server", requested("GET", "/ecp/default.aspx", "SecurityToken=x"+tokens, "200"), []string{"proxytoken/token-iis 2"}},
		{"token in a cookie that the log has", cookied("GET", "/ecp/default.aspx", "SecurityToken=x;+a=b", "200"), []string{"proxytoken/token-cookie-iis 2"}},
		{"token in a cookie, refused", cookied("GET", "/ecp/", "a=b;+SecurityToken=x", "302"), []string{"proxytoken/token-cookie-iis 1"}},
		{"rule of a named mailbox in the panel's log", forwarded("/ecp/victim@contoso.com/RulesEditor/InboxRules.svc/NewObject"), []string{"proxytoken/rule-logged 0"}},
		// What looks like it.
		{"rule of one's own", asked("POST", "/ecp/RulesEditor/InboxRules.svc/NewObject", "?msExchEcpCanary=Ab", "200", person, signedIn), none},
		{"rule of another, by an administrator", asked("POST", inPanel+"/RulesEditor/InboxRules.svc/NewObject", "?msExchEcpCanary=Ab", "200", person, signedIn), none},
		{"rule of one's own, web server", requested("POST", "/ecp/RulesEditor/InboxRules.svc/NewObject", tokens, "200", `cs-username=DOM\alice`), none},
		{"session that had ended", asked("POST", "/ecp/RulesEditor/InboxRules.svc/SetObject", "", "440"), []string{"proxytoken/rule-made 0"}},
		{"rules listed by nobody", asked("POST", inPanel+"/RulesEditor/InboxRules.svc/GetList", "", "302"), none},
		{"bookmark of somebody's settings", asked("GET", inPanel+"/", "", "302"), []string{"proxytoken/settings 0"}},
		{"settings of another, by an administrator", asked("GET", inPanel+"/?rfr=owa", "", "200", person, signedIn), none},
		{"rule of one's own in the panel's log", forwarded("/ecp/RulesEditor/InboxRules.svc/NewObject"), none},
	}
}

// cookied is a row of a web server that logs cookies too.
func cookied(method, stem, cookie, status string) table {
	tb := requested(method, stem, tokens, status, "cs(Cookie)="+cookie)
	tb.columns = append(slices.Clone(tb.columns), "cs(Cookie)")
	return tb
}

// forwarded is a row of the control panel about a rule that sends messages on.
func forwarded(address string) table {
	return log("ecp-server", nil, []string{"ServerName=EX01", "EventId=ECP.Request",
		"EventData=S:TIME=4;'S:CMD=New-InboxRule.Name=''x''.ForwardTo=''SMTP:a@other.example''';S:REQID=;S:URL=" + address + "?msExchEcpCanary=Ab;S:EX="})
}

// A finding about a token in an address says whose it was, whatever log it is in.
func TestImpersonated(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	// V, T, C and A, then the account and its SID, as the product writes them.
	const account, sid = `CONTOSO\alice`, "S-1-5-21-1-2-3-500"
	b := []byte("V\x01\x00T\x07WindowsC\x00A\x08Kerberos")
	b = append(append(b, 'L', byte(len(account))), account...)
	b = append(append(b, 'U', byte(len(sid))), sid...)
	query := "X-Rps-CAT=" + base64.StdEncoding.EncodeToString(b)
	for _, tb := range []table{
		asked("POST", confusing, "?@evil.example/powershell/?"+query+marked, "200"),
		requested("POST", "/powershell/", query, "200", "s-port=444"),
		called("python-requests", "192.0.2.7", "?"+query, "200"),
	} {
		findings := judge(t, formatOf(tb.format), tb.write(false), rows.Host(), true)
		if len(findings) != 1 || findings[0].Entities["impersonated"] != account || findings[0].Entities["impersonated_sid"] != sid {
			t.Errorf("%s: findings %+v, want one that names %s", tb.format, findings, account)
		}
	}
}
