package exercise

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"postern/internal/exercise/eventlog"
)

// windowsLogs are where Windows keeps its event logs.
const windowsLogs = "C/Windows/System32/winevt/Logs/"

// Channels of Windows that stories leave events in.
const (
	channelSysmon     = "Microsoft-Windows-Sysmon/Operational"
	channelSystem     = "System"
	channelDefender   = "Microsoft-Windows-Windows Defender/Operational"
	channelManagement = "MSExchange Management"
)

// plannedEvent is an event that the story leaves, or one that only looks like it.
type plannedEvent struct {
	at    int64
	event eventlog.Event
	mark  mark
}

// event plans an event; values are names and values in turn.
func (h *host) event(at int64, channel, provider string, id uint16, m mark, values ...any) {
	e := eventlog.Event{Time: instant(at), Channel: channel, Provider: provider, ID: id, Level: 4, Computer: h.fqdn}
	for i := 0; i+1 < len(values); i += 2 {
		e.Data = append(e.Data, eventlog.Value{Name: values[i].(string), Value: values[i+1]})
	}
	h.records = append(h.records, plannedEvent{at, e, m})
}

// record writes the event logs, each in the order of time, and puts what was planted
// into the truth.
func (h *host) record() {
	logs := make(map[string][]plannedEvent)
	var channels []string
	slices.SortStableFunc(h.records, func(a, b plannedEvent) int { return cmp.Compare(a.at, b.at) })
	for _, e := range h.records {
		if !slices.Contains(channels, e.event.Channel) {
			channels = append(channels, e.event.Channel)
		}
		logs[e.event.Channel] = append(logs[e.event.Channel], e)
	}
	slices.Sort(channels)
	for _, channel := range channels {
		name := path.Join(h.folder, windowsLogs+strings.ReplaceAll(channel, "/", "%4")+".evtx")
		var events []eventlog.Event
		for i, e := range logs[channel] {
			e.event.Record = uint64(i + 1)
			events = append(events, e.event)
			where := Place{Path: name, Record: int64(i + 1)}
			switch m := e.mark; {
			case m.near != "":
				h.truth.NearMisses = append(h.truth.NearMisses, NearMiss{Place: where, Why: m.near})
			case m.kind != "":
				h.truth.Planted = append(h.truth.Planted, Row{Place: where, Time: instant(e.at), Kind: m.kind, Level: m.level, Rule: m.rule})
			}
		}
		var b bytes.Buffer
		if err := eventlog.Write(&b, events); err != nil {
			h.failed(err)
		}
		h.put(name, b.Bytes(), logs[channel][len(events)-1].at)
	}
	h.records = nil
}

// start plans the start of a process, as Sysmon tells it.
func (h *host) start(at int64, pid, parent uint32, image, command, above, aboveCommand, user string, m mark) {
	const folder = `C:\Windows\System32\`
	h.event(at, channelSysmon, "Microsoft-Windows-Sysmon", 1, m,
		"UtcTime", instant(at).Format("2006-01-02 15:04:05.000"), "ProcessId", pid, "Image", folder+image, "CommandLine", command,
		"User", user, "ParentProcessId", parent, "ParentImage", folder+above, "ParentCommandLine", aboveCommand)
}

// pool is the application pool whose worker runs a page.
func (s *shell) pool() string {
	switch s.proto {
	case pOwa:
		return "MSExchangeOWAAppPool"
	case pEcp:
		return "MSExchangeECPAppPool"
	}
	return "DefaultAppPool"
}

// maxWatched is how many uses of a web shell Sysmon sees: no report lists more of one tree.
const maxWatched = 7

// watched plans what Sysmon saw of the use of a web shell: the first call compiles the
// page, and each command is an interpreter below the web server's worker.
func (s *shell) watched(h *host) {
	const worker, user = uint32(4312), `NT AUTHORITY\SYSTEM`
	above := `c:\windows\system32\inetsrv\w3wp.exe -ap "` + s.pool() + `" -v "v4.0" -a \\.\pipe\iisipm -h "config"`
	for i, at := range s.uses[:min(len(s.uses), maxWatched)] {
		if i == 0 {
			h.start(at-minute, 7000, worker, "csc.exe", "csc.exe /noconfig", `inetsrv\w3wp.exe`, above, user, mark{near: "the compiler, which the first call of any page starts"})
		}
		pid := uint32(7100 + 10*i)
		m := mark{kind: "process-below-worker", level: 5, rule: "process/below-web-server"}
		h.start(at+150, pid, worker, "cmd.exe", `cmd.exe /c whoami`, `inetsrv\w3wp.exe`, above, user, m)
		h.start(at+190, pid+1, pid, "whoami.exe", "whoami", "cmd.exe", `cmd.exe /c whoami`, user, m)
	}
	last := s.uses[len(s.uses)-1]
	h.start(last+minute, 8000, 7999, "cmd.exe", `cmd.exe /c dir`, "svchost.exe", "svchost.exe -k netsvcs", user, mark{near: "a scheduled task of an administrator"})
}

// swept plans that the log of the system was cleared, beside what it says on other days.
func (h *host) swept(at int64) {
	h.event(at-6*hour, channelSystem, "Service Control Manager", 7045, mark{near: "a service of an agent for backups"},
		"ServiceName", "Backup agent", "ImagePath", `C:\Program Files\Backup\agent.exe`, "ServiceType", "user mode service", "StartType", "auto start", "AccountName", "LocalSystem")
	h.event(at, channelSystem, "Microsoft-Windows-Eventlog", 104, mark{kind: "log-cleared", level: 1, rule: "exchange/log-cleared-other"},
		"SubjectUserName", "SYSTEM", "SubjectDomainName", "NT AUTHORITY", "Channel", "System")
}

// managed plans what the management's own log says of a command.
func (h *host) managed(at int64, cmdlet, parameters string, m mark) {
	h.event(at, channelManagement, "MSExchange CmdletLogs", 1, m, "", cmdlet, "", parameters, "", h.admin.account, "", h.admin.sid,
		"", "", "", "Remote-ManagementShell-Unknown", "", "4312 w3wp#MSExchangePowerShellAppPool")
}

// defended plans what the antivirus says when it finds a web shell.
func (h *host) defended(at int64, s *shell) {
	found := func(at int64, threat, file string, m mark) {
		h.event(at, channelDefender, "Microsoft-Windows-Windows Defender", 1116, m,
			"Threat ID", "2147", "Threat Name", threat, "Severity Name", "Severe", "Path", "file:_"+file, "Process Name", "Unknown", "Detection User", `NT AUTHORITY\SYSTEM`)
	}
	found(at-2*day, "PUA:Win32/Toolbar", `C:\Users\admin\Downloads\setup.exe`, mark{near: "a program that nobody wants, found by the antivirus"})
	found(at, "Backdoor:JS/Webshell.A", s.disk, mark{kind: "antivirus", level: 4, rule: "exchange/defender-web-shell"})
}
