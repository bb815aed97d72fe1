package preserve

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Class is a kind of evidence.
type Class string

// The classes, in the order in which they are taken: what may be gone soonest first.
const (
	// Troubles is what the walk could not look at; it has no files.
	Troubles Class = "walk"
	// Named is what a hunt found: antivirus software or the intruder may remove it
	// in the next minute.
	Named Class = "named"
	// EventLogs are overwritten by size: that of security within hours.
	EventLogs Class = "event-logs"
	// Compiled is what ASP.NET keeps of pages; an update or a recycled pool clears it.
	Compiled Class = "compiled"
	// Logs of Exchange and IIS go by age: 30 days and less.
	Logs Class = "logs"
	// Web is what the web server serves.
	Web Class = "web"
	// IIS is its configuration and the history of it.
	IIS Class = "iis"
	// Tasks are scheduled.
	Tasks Class = "tasks"
	// Hives of the registry.
	Hives Class = "hives"
	// Traces are what programs and intruders leave: prefetch, archives put together to
	// be taken away, dumps, notes of scanners.
	Traces Class = "traces"
	// Rest is everything else, taken only if all is asked for.
	Rest Class = "rest"
)

// Classes gives all of them in their order.
func Classes() []Class {
	return []Class{Troubles, Named, EventLogs, Compiled, Logs, Web, IIS, Tasks, Hives, Traces, Rest}
}

// Where things are. Every folder is compared anywhere in the path, as drives,
// install folders and collections differ.
var (
	compiledFolders = []string{"/temporary asp.net files/"}
	logFolders      = []string{"/logging/", "/inetpub/logs/", "/logfiles/", "/transportroles/logs/", "/mitigationservice/"}
	webFolders      = []string{"/inetpub/wwwroot/", "/frontend/httpproxy/", "/clientaccess/", "/wwwroot/", "/aspnet_client/"}
	webPages        = []string{".aspx", ".ashx", ".asmx", ".asax", ".ascx", ".asp", ".cshtml", ".svc", ".php", ".jsp"}
	iisFolders      = []string{"/inetsrv/config/", "/inetpub/history/"}
	iisNames        = []string{"applicationhost.config", "administration.config", "redirection.config", "web.config"}
	taskFolders     = []string{"/windows/system32/tasks/", "/windows/syswow64/tasks/", "/windows/tasks/"}
	hiveNames       = regexp.MustCompile(`^(sam|security|system|software|default|components|bcd-template)(\.log[12]?|\.sav)?$`)
	userHives       = regexp.MustCompile(`^(ntuser\.dat|usrclass\.dat|amcache\.hve)(\.log[12]?)?$`)
	traceFolders    = []string{"/windows/prefetch/", "/windows/debug/", "/windows defender/support/", "/windows defender/quarantine/"}
	stagingFolders  = []string{"/programdata/", "/perflogs/", "/users/public/", "/windows/temp/", "/root/"}
	stagedFiles     = []string{".zip", ".7z", ".rar", ".cab", ".dmp", ".pst", ".txt", ".bat", ".ps1", ".exe", ".dll"}
	// Transaction logs of mail databases and of queues: they are mail, and terabytes.
	transactions = regexp.MustCompile(`^(e[0-9a-f]{2}([0-9a-f]{5,8}|tmp)?|trn[0-9a-f]*|edb[0-9a-f]*)\.(log|jrs|jtx)$`)
)

// classOf says what a file is by its path below the root, in lower case with '/'. ok
// is false for what is not evidence of a kind that is known.
func classOf(lower string) (c Class, ok bool) {
	p := "/" + lower
	name, ext := path.Base(p), path.Ext(p)
	in := func(folders []string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return strings.Contains(p, f) })
	}
	switch {
	case transactions.MatchString(name):
		return "", false
	case ext == ".evtx", ext == ".evt":
		return EventLogs, true
	case in(compiledFolders):
		return Compiled, true
	case in(iisFolders), slices.Contains(iisNames, name):
		return IIS, true
	case in(taskFolders):
		return Tasks, true
	case hiveNames.MatchString(name) && strings.Contains(p, "/config/"), userHives.MatchString(name):
		return Hives, true
	case in(traceFolders):
		return Traces, true
	case in(logFolders), ext == ".log":
		return Logs, true
	case in(webFolders), slices.Contains(webPages, ext):
		return Web, true
	case in(stagingFolders) && slices.Contains(stagedFiles, ext):
		return Traces, true
	}
	return "", false
}

// named finds the files that a hunt names: by the whole path below the root, or by
// its end, where a finding has the place on the server without the drive.
type named struct {
	ends map[string][]string // last part of a name → names that end with it
	seen map[string]bool
}

func newNamed(list []string) *named {
	n := &named{ends: make(map[string][]string), seen: make(map[string]bool)}
	for _, raw := range list {
		name := strings.Trim(strings.ToLower(strings.ReplaceAll(raw, `\`, "/")), "/")
		if len(name) > 2 && name[1] == ':' { // a drive: it is mounted somewhere
			name = strings.Trim(name[2:], "/")
		}
		if name == "" {
			continue
		}
		if _, twice := n.seen[name]; twice {
			continue
		}
		n.seen[name] = false
		n.ends[path.Base(name)] = append(n.ends[path.Base(name)], name)
	}
	return n
}

// has says whether a file is named, and remembers that it was there.
func (n *named) has(lower string) bool {
	found := false
	for _, name := range n.ends[path.Base(lower)] {
		if lower == name || strings.HasSuffix(lower, "/"+name) {
			n.seen[name], found = true, true
		}
	}
	return found
}
