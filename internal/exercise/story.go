package exercise

import (
	"path"
	"strings"

	"postern"
)

// Story is one thing that can have happened to a server.
type Story struct {
	Name string
	Text postern.Text // one sentence for people
}

// Stories gives all that can be asked for, the simple ones first.
func Stories() []Story {
	list := make([]Story, len(stories))
	for i, s := range stories {
		list[i] = Story{s.name, s.text}
	}
	return list
}

type story struct {
	name string
	text postern.Text
	// setUp changes the server before its logs are made; nil for most.
	setUp func(*host)
	// tell plans everything that happens.
	tell func(*host)
	// era is when it happens; nil is March 2021.
	era *era
}

var stories = []story{
	{"clean", postern.Say("exercise.story.clean"), nil, tellClean, nil},
	{"probe-only", postern.Say("exercise.story.probe-only"), nil, tellProbes, nil},
	{"failed-chain", postern.Say("exercise.story.failed-chain"), nil, tellFailedChain, nil},
	{"mitigated", postern.Say("exercise.story.mitigated"), nil, tellMitigated, nil},
	{"patched-in-time", postern.Say("exercise.story.patched-in-time"), nil, tellPatchedInTime, nil},
	{"mail-theft", postern.Say("exercise.story.mail-theft"), nil, tellMailTheft, nil},
	{"full-chain-with-tidy-up", postern.Say("exercise.story.full-chain-with-tidy-up"), nil, tellFullChain, nil},
	{"oab-write", postern.Say("exercise.story.oab-write"), nil, tellOabWrite, nil},
	{"third-party-checks", postern.Say("exercise.story.third-party-checks"), nil, tellThirdPartyChecks, nil},
	{"behind-load-balancer", postern.Say("exercise.story.behind-load-balancer"), setUpBalancer, tellFullChain, nil},
	{"other-drive", postern.Say("exercise.story.other-drive"), setUpOtherDrive, tellFullChain, nil},
	{"patched-afterwards", postern.Say("exercise.story.patched-afterwards"), nil, tellPatchedAfterwards, nil},
	{"shell-used", postern.Say("exercise.story.shell-used"), nil, tellShellUsed, nil},
	{"post-exploitation", postern.Say("exercise.story.post-exploitation"), nil, tellPostExploitation, nil},
	{"logs-rotated-away", postern.Say("exercise.story.logs-rotated-away"), nil, tellRotatedAway, nil},
	{"proxyshell-probe", postern.Say("exercise.story.proxyshell-probe"), nil, tellConfusedProbes, eraShell},
	{"proxyshell", postern.Say("exercise.story.proxyshell"), nil, tellConfusedChain, eraShell},
	{"owassrf", postern.Say("exercise.story.owassrf"), nil, tellThroughOwa, eraNotShell},
	{"proxytoken", postern.Say("exercise.story.proxytoken"), nil, tellInboxRule, eraToken},
}

// mix is what hosts get when nobody asks for stories: the first few are the most different.
var mix = []string{
	"shell-used", "clean", "full-chain-with-tidy-up", "probe-only", "logs-rotated-away", "patched-afterwards", "third-party-checks", "failed-chain",
	"mail-theft", "behind-load-balancer", "post-exploitation", "mitigated", "oab-write", "other-drive", "patched-in-time",
	"proxyshell", "owassrf", "proxytoken", "proxyshell-probe",
}

// findStory gives the story of a name, nil if there is none.
func findStory(name string) *story {
	for i := range stories {
		if stories[i].name == name {
			return &stories[i]
		}
	}
	return nil
}

func setUpBalancer(h *host) {
	h.balancer = h.monitor
	if h.plan.share(0.5) {
		h.fields = iisLayout(fForwarded)
	}
}

func setUpOtherDrive(h *host) {
	h.drive, h.install = "F", `F:\Program Files\Microsoft\Exchange`
}

// attackTime is when the first intruders come: early in March, at the same share
// of a shorter range.
func (h *host) attackTime() int64 { return h.moment(0.38 + 0.07*h.plan.float()) }

// maybePatch patches half of the servers late, when nothing happens any more.
func (h *host) maybePatch() {
	if h.plan.share(0.5) {
		h.patch(h.moment(0.86 + 0.06*h.plan.float()))
	}
}

func tellClean(h *host) {
	if h.plan.share(0.5) {
		h.patch(h.moment(0.4 + 0.3*h.plan.float()))
	}
	if h.plan.share(0.5) {
		at := h.moment(0.9)
		h.harmless("C/Windows/debug/msert.log", h.scannerLog(at, "", ""), at, "a scanner's log that says that nothing was found")
	}
}

func tellProbes(h *host) {
	h.maybePatch()
	h.probes(0.4, 0.8)
	in := h.newIntruder()
	at := h.moment(0.5 + 0.2*h.plan.float())
	for i := range h.plan.between(1, 3) {
		in.ask(at+int64(i)*2*second, 200)
	}
}

// probes plans the requests of those who only ask whether a server has the hole.
func (h *host) probes(from, to float64) {
	for range h.plan.between(2, 4) {
		h.probe(h.moment(from + (to-from)*h.plan.float()))
	}
}

func (h *host) probe(at int64) {
	c := h.plan
	address := scannerAddress(c)
	h.actor("scanner", address, agentScanner.raw)
	path := "/ecp/default.flt"
	if c.n(4) == 0 {
		path = "/owa/auth/logon.aspx"
	}
	t := target{prefix: "ServerInfo~", host: "localhost", path: path, tail: "?"}
	r := request{
		at: at, took: c.between(30, 200), id: c.guid(), proto: pOwa, method: "GET", host: h.outer, stem: "/owa/auth/x.js", auth: "FBA",
		agent: &agentScanner, client: address, status: 500, backStatus: 500, out: 85,
		proxied: true, target: "localhost", targetVersion: "0.00.0003.000", region: "CrossRegion", hint: "X-AnonResource-Backend-Cookie",
		info: "ProxyToDownLevel=True;", connected: true, backStem: path, backUser: h.computer,
	}
	var how []string
	if h.varies() {
		t, how = t.varied(c)
		how = append(how, h.variedRow(&r)...)
	}
	r.anchor = t.String()
	m := marks{
		proxy: &mark{kind: "ssrf-probe", level: postern.Probed, rule: ruleScan, vary: how},
		front: &mark{kind: "iis-front-ssrf-probe", level: postern.Probed, rule: rulePage},
		back:  &mark{kind: "iis-back-ssrf-probe"},
	}
	h.later(at, func() { h.serve(&r, m) })
}

// tellFailedChain is an intruder who comes as far as the name of a mailbox or not
// even that, and is refused a session.
func tellFailedChain(h *host) {
	h.maybePatch()
	in := h.newIntruder()
	at := h.attackTime()
	for i := range h.plan.between(2, 5) {
		in.ask(at+int64(i)*1100, 200)
	}
	at += 8 * second
	if h.plan.share(0.5) {
		in.learn(at, 200)
	} else {
		in.learn(at, 500)
	}
	in.logOn(at+3*second, 403)
	in.logOn(at+5*second, h.plan.between(0, 1)*97+403)
	h.resaveProxy(in.proto, at)
}

// resaveProxy has the log of one hour saved again as UTF-16, as PowerShell does.
func (h *host) resaveProxy(proto int, at int64) {
	s := h.proxy[proto]
	h.resaved[path.Join(h.folder, s.dir, string(s.name(nil, at, 1)))] = true
}

func tellMitigated(h *host) {
	h.mitigated = h.moment(0.62 + 0.1*h.plan.float())
	h.probes(0.4, 0.6)
	h.newIntruder().ask(h.attackTime(), 200)
	h.files = append(h.files, plannedFile{path: "C/EOMTSummary.txt", at: h.mitigated, content: []byte(
		"Exchange on-premises mitigation: summary\r\nIIS URL rewrite rules: added to Default Web Site\r\nSafety Scanner: quick scan, nothing found\r\n")})
	h.harmless("C/Windows/debug/msert.log", h.scannerLog(h.mitigated, "", ""), h.mitigated, "a scanner's log that says that nothing was found")
}

// tellPatchedInTime is an intruder who comes after the update: the same requests,
// refused.
func tellPatchedInTime(h *host) {
	h.patch(h.moment(0.3))
	h.refused(h.moment(0.45 + 0.1*h.plan.float()))
	h.probes(0.5, 0.9)
}

// refusedRules are what the three requests of refused would have been.
var refusedRules = [...]string{ruleAsk, ruleMapi, ruleSession}

// refused plans the requests of a chain against a server that has the update.
func (h *host) refused(at int64) {
	in := h.newIntruder()
	const reason = "HttpException=The request could not be routed.;"
	for i, p := range []string{"/autodiscover/autodiscover.xml", "/mapi/emsmdb/", "/ecp/proxyLogon.ecp"} {
		in.send(at+int64(i)*1700, step{
			kind: "ssrf-refused", rule: refusedRules[i], level: postern.Probed, path: p, status: []int{500, 400, 404}[h.plan.n(3)], took: 3, in: 120,
			unasked: true, trouble: reason,
		})
	}
}

// tellMailTheft is an intruder who reads mail as the server itself and leaves no file.
func tellMailTheft(h *host) {
	h.maybePatch()
	h.probes(0.6, 0.9)
	c := h.plan
	in := h.newIntruder()
	at := h.attackTime()
	in.ask(at, 200)
	in.learn(at+1600, 200)
	session := c.guid()
	for i := range c.between(40, 120) {
		at += int64(c.between(20_000, 110_000))
		victim := h.users[(i/25)%len(h.users)]
		action := c.one("FindItem", "GetItem", "GetItem", "GetAttachment", "SyncFolderItems", "ExportItems")
		size := c.between(60000, 4_000_000)
		in.send(at, step{
			kind: "ssrf-ews", rule: ruleMail, level: postern.Exploited, back: postern.NotSeen, path: "/EWS/Exchange.asmx",
			status: 200, in: c.between(800, 2400), out: size, agent: &agentServices,
		})
		r := request{at: at, took: c.between(60, 2000), id: c.guid(), agent: &agentServices, client: "::1", status: 200, in: 1204}
		e := ewsCall{action: action, user: `NT AUTHORITY\SYSTEM`, actAs: victim.mail, session: session, size: size}
		h.later(at, func() {
			h.ewsRow(&r, &e, &mark{kind: "ews-as-other", level: postern.Exploited, rule: ruleEws})
		})
	}
}

func tellFullChain(h *host) {
	h.maybePatch()
	h.probes(0.5, 0.9)
	h.newIntruder().chain(h.attackTime(), h.newShell())
	h.cutLast = true
}

// tellOabWrite is an intruder who has the generator of the address book write the file.
func tellOabWrite(h *host) {
	h.maybePatch()
	c := h.plan
	in := h.newIntruder()
	at := h.attackTime()
	in.ask(at, 200)
	in.learn(at+1400, 200)
	in.logOn(at+3900, 241)

	s := h.newShell()
	s.url, s.proto = "/aspnet_client/"+s.name, -1
	s.file = "C/inetpub/wwwroot/aspnet_client/" + s.name
	s.disk = `C:\inetpub\wwwroot\aspnet_client\` + s.name
	written := at + int64(c.between(20, 90))*minute
	if up, down := h.downAt(written); down {
		written = up + minute
	}
	name, how := s.disk, []string(nil)
	if h.varies() {
		name, how = variedPath(c, s.disk)
	}
	h.later(written, func() {
		h.oabRow(written, "Download failed and temporary file '"+name+"' needs to be removed", &mark{
			kind: "oab-temporary-file", level: postern.Implanted, rule: ruleOab, vary: how,
		})
	})
	// The page has nothing in it that a look at it could call a web shell; the log says where it came from.
	h.plant(s.file, inertPage(), written, "shell-page", postern.Probed)
	log := h.oabLog
	h.resaved[path.Join(h.folder, log.dir, string(log.name(nil, written, 1)))] = true
}

// tellThirdPartyChecks is a web shell that others look for until it is removed.
func tellThirdPartyChecks(h *host) {
	c := h.plan
	s := h.newShell()
	written := h.newIntruder().chain(h.attackTime(), s)
	removed := h.moment(0.66 + 0.08*c.float())
	h.patch(h.moment(0.8))

	checker, sweeper := scannerAddress(c), scannerAddress(c)
	h.actor("third-party", checker, agentOldSweep.raw)
	h.actor("third-party", sweeper, agentSweep.raw)
	between := func(from, to int64) int64 {
		at := from + int64(c.float()*float64(to-from))
		if up, down := h.downAt(at); down {
			return up + minute
		}
		return at
	}
	gone := 302
	if s.proto < 0 {
		gone = 404
	}
	for range c.between(2, 4) {
		s.look(h, between(written+10*minute, removed-minute), checker, &agentOldSweep, "", 200)
	}
	h.sweep(between(written+20*minute, removed-minute), sweeper, s, 200)
	h.sweep(between(removed+minute, h.to-2*hour), sweeper, s, gone)
	s.look(h, between(removed+minute, h.to-hour), checker, &agentOldSweep, "", gone)

	h.remove(s.file)
	h.defended(removed-minute, s)
	h.plant("C/Windows/debug/msert.log", h.scannerLog(removed, "Backdoor:JS/Webshell.A", s.disk), removed, "scanner-log", postern.Implanted)
}

// sweep plans a walk through the names of web shells, this server's among them,
// by each of the names that the server has.
func (h *host) sweep(at int64, address string, s *shell, status int) {
	c := h.plan
	hosts := []string{h.outer, h.public, "autodiscover." + h.org.mail}
	names := append([]string{}, shellNames...)
	names = append(names, "ErrorAA", "zntwv", "getpp", "errorFS", "928ccfacbe", "Current/themes/errorFS", "Current/scripts/premium/fexppw")
	for _, name := range names {
		if strings.EqualFold(name+".aspx", s.name) {
			continue
		}
		for _, host := range hosts {
			at += int64(c.between(70, 600))
			h.page(hit{at: at, address: address, agent: &agentSweep, method: "GET", status: 302, kind: "shell-sweep", host: host, proto: pOwa, url: "/owa/auth/" + name + ".aspx"})
		}
	}
	for _, host := range hosts {
		at += int64(c.between(70, 600))
		s.look(h, at, address, &agentSweep, host, status)
	}
}

// tellPatchedAfterwards is a server that was patched with the web shell on it: the
// update shuts the door and the shell still answers.
func tellPatchedAfterwards(h *host) {
	s := h.newShell()
	in := h.newIntruder()
	in.chain(h.attackTime(), s)
	h.patch(h.moment(0.6))
	h.refused(h.patched + 4*hour)
	s.look(h, h.moment(0.75), in.address, &agentOldSweep, "", 200)
	h.probes(0.7, 0.95)
}

func tellShellUsed(h *host) {
	h.maybePatch()
	h.probes(0.5, 0.9)
	h.useShell()
	crash := h.moment(0.57)
	h.restart(crash, 9*minute, true)
}

// useShell plans a whole intrusion whose web shell is then used.
func (h *host) useShell() (s *shell, last int64) {
	c := h.plan
	s = h.newShell()
	in := h.newIntruder()
	written := in.chain(h.attackTime(), s)
	visitor := intruderAddress(c)
	tool := []*agent{&agentSword, &agentPython, &agentSweep}[c.n(3)]
	h.actor("intruder", visitor, tool.raw)
	checked := written + int64(c.between(14_000, 60_000))
	s.look(h, checked, in.address, in.tool, "", 200)
	first := written + int64(c.between(1_800_000, 12_000_000))
	s.compiled(h, checked)
	for range c.between(4, 14) {
		first += int64(c.between(900, 75_000))
		s.use(h, first, visitor, tool)
	}
	return s, first
}

// tellPostExploitation goes on where the use of the shell ends: hashes and mail
// packed for taking away, and a second way back in.
func tellPostExploitation(h *host) {
	h.maybePatch()
	s, last := h.useShell()
	c := h.plan
	at := last + 5*minute
	s.watched(h)
	h.swept(at + 20*minute)
	h.plant("C/ProgramData/it.zip", archive(at, "ip.txt", "arp.txt", "system", "security", "sam"), at, "staging-archive", postern.PostExploitation)
	h.plant("C/inetpub/wwwroot/aspnet_client/"+c.one("iis", "logo", "bg")+".gif", archive(at, "mail.pst"), at+minute, "disguised-archive", postern.PostExploitation)
	h.plant("C/Windows/Temp/lsass_"+c.from("0123456789", 4)+".dmp", []byte("MDMP@@INERT@@ not a memory dump: laid out for an exercise\r\n"), at-minute, "credential-dump", postern.PostExploitation)

	folder := c.one("COM", "WHO", "ZING", "ZOO", "XYZ")
	h.hiddenFolder, h.hiddenAt = `C:\ProgramData\`+folder, at+10*minute
	h.plant("C/ProgramData/"+folder+"/"+c.from(alnum, 8)+".aspx", inertPage(), h.hiddenAt, "hidden-page", postern.NotSeen)
}

// tellRotatedAway is an intrusion of which nothing is left: its web shell was
// found by chance and deleted, and the logs of those days are gone.
func tellRotatedAway(h *host) {
	s := h.newShell()
	in := h.newIntruder()
	written := in.chain(h.attackTime(), s)
	s.use(h, written+40*minute, in.address, in.tool)
	h.remove(s.file)
	h.truth.Actors = h.truth.Actors[:0]                        // they left no trace that could be compared
	h.gone = (h.from + (h.to-h.from)*6/10 + day/2) / day * day // a midnight, some days after
	h.patch(h.moment(0.8))
}
