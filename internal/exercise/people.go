package exercise

import (
	"fmt"
	"strconv"
	"strings"
)

// organisation is whose server it is.
type organisation struct {
	netbios string // NORDHAVN
	domain  string // ad.nordhavn.example
	mail    string // nordhavn.example
}

// agent is a user agent in the ways that logs write it: HttpProxy puts a space
// for each comma, IIS a plus for each space.
type agent struct{ raw, proxy, iis string }

func newAgent(raw string) agent {
	return agent{raw, strings.ReplaceAll(raw, ",", " "), strings.ReplaceAll(raw, " ", "+")}
}

// user is somebody with a mailbox.
type user struct {
	login, account, mail, sid string
	mailbox                   string // its GUID
	database                  string
	inside, outside           string // addresses in the office and elsewhere
	outlook, browser, phone   agent
	device, deviceType        string
	instance                  string // of Outlook
}

// Who there is. Any likeness to a real organisation is chance; all have names
// under the domain .example that RFC 2606 keeps for such use.
var (
	companies = []string{
		"Nordhavn", "Alderbrook", "Quintero", "Belmora", "Ferngate", "Kestrelwood", "Larkmead", "Tavira", "Osterby", "Pinhal",
		"Ravnsborg", "Sollidan", "Umbriel", "Vesterlund", "Wexcombe", "Arrowmere", "Castelar", "Dunmarsh", "Elmstead", "Grauhof",
	}
	givenNames = []string{
		"anna", "bruno", "carla", "david", "elena", "farid", "greta", "hugo", "ines", "jonas", "karin", "luis", "maria", "nils",
		"olga", "pablo", "rosa", "samir", "tomas", "uschi", "vera", "wim", "yara", "zoe",
	}
	familyNames = []string{
		"almeida", "berg", "castro", "dahl", "egger", "fuentes", "gruber", "hansen", "ibarra", "jensen", "keller", "lund", "moreno",
		"nyberg", "ortega", "pereira", "quist", "rossi", "silva", "torres", "ulrich", "vega", "weber", "zamora",
	}
	outlooks = []string{
		"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.13628; Pro)",
		"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.12527; Pro)",
		"Microsoft Office/15.0 (Windows NT 6.1; Microsoft Outlook 15.0.5319; Pro)",
		"Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.4266; Pro)",
	}
	browsers = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.190 Safari/537.36",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.182 Safari/537.36 Edg/88.0.705.81",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:86.0) Gecko/20100101 Firefox/86.0",
		"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/14.0.3 Safari/605.1.15",
	}
	phones = []struct{ agent, kind string }{
		{"Apple-iPhone12C1/1804.52", "iPhone"},
		{"Apple-iPhone9C3/1707.68", "iPhone"},
		{"Apple-iPad7C12/1804.52", "iPad"},
		{"Android-SAMSUNG-SM-G973F/101.10", "SamsungDevice"},
		{"Android-Mail/2021.02.07.359541535.Release", "Android"},
		{"Outlook-iOS-Android/1.0", "Outlook"},
	}
)

// forbidden is what the front end writes when the back end says 403: in the
// language of the server.
var forbidden = []string{
	netError(403, "The remote server returned an error: (403) Forbidden.", "at"),
	netError(403, "Le serveur distant a retourné une erreur : (403) Interdit.", "à"),
	netError(403, "Der Remoteserver hat einen Fehler zurückgegeben: (403) Unzulässig.", "bei"),
	netError(403, "Error en el servidor remoto: (403) Prohibido.", "en"),
}

// netError is what GenericErrors says of a status that the back end refused with.
func netError(status int, sentence, at string) string {
	return "WebExceptionStatus=ProtocolError;ResponseStatusCode=" + strconv.Itoa(status) + ";WebException=System.Net.WebException: " + sentence +
		"    " + at + " System.Net.HttpWebRequest.EndGetResponse(IAsyncResult asyncResult)    " + at +
		" Microsoft.Exchange.HttpProxy.ProxyRequestHandler.<>c__DisplayClass197_0.<OnResponseReady>b__0();"
}

// Agents of programs.
var (
	agentProbe    = newAgent("AMProbe/Local/ClientAccess")
	agentMapi     = newAgent("MapiHttpClient")
	agentWinRM    = newAgent("Microsoft WinRM Client")
	agentEwsProbe = newAgent("Ews_AM_Probe/Local (ExchangeServicesClient/15.01.2176.002)")
	agentMac      = newAgent("MacOutlook/16.46.21021202 (Intelx64 Mac OS X Version 10.15.7 (Build 19H524))")
	agentMacEws   = newAgent("AppleExchangeWebServices/808.120.3 accountsd/113")
	agentConnect  = newAgent("ERP-Connector/2.1 (ExchangeServicesClient/15.00.0913.015)")
	agentBits     = newAgent("Microsoft BITS/7.8")
	agentZgrab    = newAgent("Mozilla/5.0 zgrab/0.x")
	agentCensys   = newAgent("Mozilla/5.0 (compatible; survey/1.1; +https://about.survey.example/)")
	agentBalancer = newAgent("LB-HealthCheck/1.0")
	agentOldProbe = newAgent("Microsoft.Exchange.Monitoring.ActiveMonitoring")
	agentPush     = newAgent("Exchange PushNotifications")
	agentPython   = newAgent("python-requests/2.25.1")
	agentServices = newAgent("ExchangeServicesClient/0.0.0.0")
	agentSword    = newAgent("antSword/v2.1")
	agentScanner  = newAgent("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/69.0.3497.100 Safari/537.36")
	agentSweep    = newAgent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.182 Safari/537.36")
	agentOldSweep = newAgent("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/65.0.2345 Safari/537.36")
)

// Networks: 198.18.0.0/15 for the people and machines of the internet, 203.0.113.0/24
// for intruders, 198.51.100.0/24 for those who scan and look after others.
func outsideAddress(c *chance) string {
	return fmt.Sprintf("198.%d.%d.%d", 18+c.n(2), c.n(256), c.between(1, 254))
}
func intruderAddress(c *chance) string { return fmt.Sprintf("203.0.113.%d", c.between(2, 253)) }
func scannerAddress(c *chance) string  { return fmt.Sprintf("198.51.100.%d", c.between(2, 253)) }

// identity chooses organisation, build, people and addresses.
func (h *host) identity(i int) {
	c := h.plan
	word := companies[(c.n(len(companies))+i)%len(companies)]
	h.org = organisation{netbios: strings.ToUpper(word), mail: strings.ToLower(word) + ".example"}
	h.org.domain = c.one("ad.", "corp.", "intern.") + h.org.mail

	builds := builds
	if h.story.era != nil {
		builds = h.story.era.builds
	}
	b := builds[(c.n(len(builds))+i)%len(builds)]
	h.before, h.after, h.fixed = newVersion(b.before), newVersion(b.before), b.after
	h.windows = 100
	if b.before[1] == 0 || b.before[1] == 1 && c.share(0.4) {
		h.windows = 85
	}
	h.drive, h.install = "C", `C:\Program Files\Microsoft\Exchange Server\V15`
	if c.share(0.15) {
		h.drive, h.install = "D", `D:\Exchange Server\V15`
	}
	h.zone = c.between(-6, 3)
	h.address = fmt.Sprintf("10.%d.%d.%d", c.n(250), c.n(250), c.between(10, 40))
	h.local = fmt.Sprintf("fe80::%x:%x:%x:%x%%%d", c.n(65536), c.n(65536), c.n(65536), c.n(65536), c.between(3, 14))
	h.oab, h.vdir = c.guid(), c.guid()
	for range 3 {
		h.database = append(h.database, c.guid().String())
	}

	h.fqdn = strings.ToLower(h.name) + "." + h.org.domain
	h.public = c.one("mail.", "webmail.", "owa.") + h.org.mail
	h.outer = fmt.Sprintf("192.0.2.%d", c.between(2, 253))
	h.path3 = fmt.Sprintf("%d.%d.%d", b.before[0], b.before[1], b.before[2])
	h.controller = c.one("DC01.", "DC02.", "ADS1.") + h.org.domain
	h.monitor = fmt.Sprintf("10.%d.%d.%d", c.n(250), c.n(250), c.between(2, 9))
	for range 12 {
		h.scanners = append(h.scanners, outsideAddress(c))
	}
	h.forbidden = c.one(forbidden...)
	h.fields = iisLayout()
	switch c.n(5) {
	case 0:
		h.fields = iisLayout(fSent, fReceived)
	case 1:
		h.fields = iisLayout(fHost, fVersion, fSite, fComputer)
	}

	sid := fmt.Sprintf("S-1-5-21-%d-%d-%d-", c.between(1e8, 2e9), c.between(1e8, 2e9), c.between(1e8, 2e9))
	subnet := fmt.Sprintf("10.%d.", c.n(250))
	for n := range c.between(60, 160) {
		h.users = append(h.users, h.newUser(c, sid, subnet, n))
	}
	h.admin = h.newUser(c, sid, subnet, len(h.users))
	h.admin.login = "adm." + h.admin.login
	h.admin.account = h.org.netbios + `\` + h.admin.login
	for n := range 4 {
		name := "HealthMailbox" + c.from(lowerHex, 7)
		h.health = append(h.health, &user{
			login: name, account: h.org.netbios + `\` + name, mail: name + "@" + h.org.domain,
			sid: sid + fmt.Sprint(1142+n), mailbox: c.guid().String(), database: h.database[n%len(h.database)],
			inside: h.address,
		})
	}
	h.computer = h.org.netbios + `\` + h.name + "$"
}

func (h *host) newUser(c *chance, sid, subnet string, n int) *user {
	given, family := givenNames[c.n(len(givenNames))], familyNames[c.n(len(familyNames))]
	login := fmt.Sprintf("%s%s", given[:1], family)
	if n >= 24 {
		login += fmt.Sprint(n)
	}
	phone := phones[c.n(len(phones))]
	u := &user{
		login: login, account: h.org.netbios + `\` + login,
		mail: given + "." + family + "@" + h.org.mail, sid: sid + fmt.Sprint(1200+n*3),
		mailbox: c.guid().String(), database: h.database[c.n(len(h.database))],
		inside:  subnet + fmt.Sprintf("%d.%d", c.n(16), c.between(20, 250)),
		outside: outsideAddress(c),
		outlook: newAgent(outlooks[c.n(len(outlooks))]), browser: newAgent(browsers[c.n(len(browsers))]),
		phone: newAgent(phone.agent), deviceType: phone.kind,
		device:   c.from(upperHex[:16], 26),
		instance: "{" + c.guid().upper() + "}",
	}
	return u
}
