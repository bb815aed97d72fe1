package exercise

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"postern"
)

const temporaryFiles = "C/Windows/Microsoft.NET/Framework64/v4.0.30319/Temporary ASP.NET Files/"

// plannedFile is a file that is put into the host's folder.
type plannedFile struct {
	path    string // below the host's folder
	content []byte
	at      int64
	kind    string // "" for one that was not planted
	level   postern.Level
	near    string // why it is harmless though it looks otherwise
}

// plant plans a file that the story leaves.
func (h *host) plant(name string, content []byte, at int64, kind string, level postern.Level) {
	h.files = append(h.files, plannedFile{path: name, content: content, at: at, kind: kind, level: level})
}

// remove takes a planned file out again: it was deleted before the evidence was taken.
func (h *host) remove(name string) {
	kept := h.files[:0]
	for _, f := range h.files {
		if f.path != name {
			kept = append(kept, f)
		}
	}
	h.files = kept
}

// harmless plans a file that looks otherwise than it is.
func (h *host) harmless(name string, content []byte, at int64, why string) {
	h.files = append(h.files, plannedFile{path: name, content: content, at: at, near: why})
}

// furnish writes the files of the host that are no logs, and puts those that
// matter into the truth.
func (h *host) furnish() {
	for _, f := range h.files {
		name := path.Join(h.folder, f.path)
		h.put(name, f.content, f.at)
		if f.kind != "" {
			sum := sha256.Sum256(f.content)
			h.truth.Files = append(h.truth.Files, PlantedFile{
				Path: name, Kind: f.kind, Level: f.level, SHA256: hex.EncodeToString(sum[:]), Time: instant(f.at),
			})
		}
		if f.near != "" {
			h.truth.NearMisses = append(h.truth.NearMisses, NearMiss{Place: Place{Path: name}, Why: f.near})
		}
	}
	h.files = nil
}

// vdirDump is what Exchange writes to disk when a virtual directory is reset: its
// properties, the address among them.
func vdirDump(h *host, external string, at int64) []byte {
	local := instant(at).Add(time.Duration(h.zone) * time.Hour)
	const us = "1/2/2006 3:04:05 PM"
	dn := "CN=OAB (Default Web Site),CN=HTTP,CN=Protocols,CN=" + h.name + ",CN=Servers,CN=Exchange Administrative Group (FYDIBOHF23SPDLT)," +
		"CN=Administrative Groups,CN=" + h.org.netbios + ",CN=Microsoft Exchange,CN=Services,CN=Configuration,DC=" + strings.ReplaceAll(h.org.domain, ".", ",DC=")
	build := h.before.parts
	lines := [][2]string{
		{"Name", "OAB (Default Web Site)"},
		{"PollInterval", "480"},
		{"OfflineAddressBooks", `\Default Offline Address Book`},
		{"RequireSSL", "True"},
		{"BasicAuthentication", "False"},
		{"WindowsAuthentication", "True"},
		{"OAuthAuthentication", "True"},
		{"MetabasePath", "IIS://" + h.fqdn + "/W3SVC/1/ROOT/OAB"},
		{"Path", h.install + `\FrontEnd\HttpProxy\OAB`},
		{"ExtendedProtectionTokenChecking", "None"},
		{"ExtendedProtectionFlags", ""},
		{"ExtendedProtectionSPNList", ""},
		{"AdminDisplayVersion", fmt.Sprintf("Version %d.%d (Build %d.%d)", build[0], build[1], build[2], build[3])},
		{"Server", h.name},
		{"InternalUrl", "https://" + h.fqdn + "/OAB"},
		{"InternalAuthenticationMethods", "WindowsIntegrated"},
		{"ExternalUrl", external},
		{"ExternalAuthenticationMethods", "WindowsIntegrated"},
		{"AdminDisplayName", ""},
		{"ExchangeVersion", "0.10 (14.0.100.0)"},
		{"DistinguishedName", dn},
		{"Identity", h.name + `\OAB (Default Web Site)`},
		{"Guid", h.vdir.String()},
		{"ObjectCategory", h.org.domain + "/Configuration/Schema/ms-Exch-OAB-Virtual-Directory"},
		{"ObjectClass", "top"},
		{"", "msExchVirtualDirectory"},
		{"", "msExchOABVirtualDirectory"},
		{"WhenChanged", local.Format(us)},
		{"WhenCreated", "4/11/2019 10:14:52 AM"},
		{"WhenChangedUTC", instant(at).Format(us)},
		{"WhenCreatedUTC", "4/11/2019 8:14:52 AM"},
		{"OrganizationId", ""},
		{"Id", h.name + `\OAB (Default Web Site)`},
		{"OriginatingServer", h.controller},
		{"IsValid", "True"},
	}
	var b bytes.Buffer
	b.WriteString("\r\n\r\n")
	for _, l := range lines {
		if l[0] == "" {
			fmt.Fprintf(&b, "%31s   %s\r\n", "", l[1])
		} else {
			fmt.Fprintf(&b, "%-31s : %s\r\n", l[0], l[1])
		}
	}
	b.WriteString("\r\n\r\n")
	return b.Bytes()
}

// inertPage is a page of the small sort, in a language that does not exist.
func inertPage() []byte {
	return []byte("<" + `%@ Pa` + `ge Lang` + `uage="x-in` + `ert"%` + ">@@BODY@@\r\n" + inert() + "\r\n")
}

// compiledPage is the note that ASP.NET keeps of a page that it has compiled.
func compiledPage(url, assembly string) []byte {
	return []byte("\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<preserve resultType=\"3\" virtualPath=\"" + url +
		"\" hash=\"fffffff8c1d1a0b2\" filehash=\"ffff9a3b5c7d1e2f\" flags=\"110000\" assembly=\"" + assembly + "\" type=\"ASP.page_aspx\">\r\n" +
		"    <filedeps>\r\n        <filedep name=\"" + url + "\" />\r\n    </filedeps>\r\n</preserve>\r\n")
}

// inertLibrary has the size of a compiled page and the names in it, and no code:
// after the first two bytes there is no header of a program.
func inertLibrary(c *chance, virtualPath string) []byte {
	b := []byte("MZ@@INERT@@ not a program: laid out for an exercise\x00")
	for _, s := range []string{virtualPath, "@@BODY@@", "App_Web", "FastObjectFactory"} {
		for _, r := range s {
			b = append(b, byte(r), 0)
		}
		b = append(b, 0, 0)
	}
	for range c.between(5<<10, 12<<10) {
		b = append(b, byte(c.n(3))*0x20)
	}
	return b
}

// archive is a zip of texts that say what they are.
func archive(at int64, names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: instant(at)})
		if err == nil {
			_, err = f.Write([]byte("@@INERT@@ laid out for an exercise: this is not " + name + "\r\n"))
		}
		if err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// wide gives text as Windows tools save it: UTF-16 with byte order mark and CRLF.
func wide(text string) []byte {
	b := []byte{0xFF, 0xFE}
	for _, r := range strings.ReplaceAll(text, "\n", "\r\n") {
		b = appendUTF16(b, utf8.AppendRune(nil, r))
	}
	return b
}

// scannerLog is the log of Microsoft's Safety Scanner; threat is "" if it found nothing.
func (h *host) scannerLog(at int64, threat, file string) []byte {
	local := instant(at).Add(time.Duration(h.zone) * time.Hour)
	var b strings.Builder
	b.WriteString("---------------------------------------------------------------------------------------\n")
	b.WriteString("Microsoft Safety Scanner v1.333, (build 1.333.160.0)\nStarted On " + local.Format("Mon Jan 02 15:04:05 2006") + "\n\n")
	b.WriteString("Engine: 1.1.17800.5\nSignatures: 1.333.160.0\nMpGear: 1.1.16330.1\nRun Mode: Scan Run in Quiet Mode\n\n")
	code := 0
	if threat != "" {
		code = 6
		b.WriteString("Quick Scan Results:\n-------------------\nThreat Detected: " + threat + " and Removed!\n  Action: Remove, Result: 0x00000000\n    file://" + file +
			"\n        SigSeq: 0x00055555DC2DDDB0\n\n")
	}
	b.WriteString("Results Summary:\n----------------\n")
	if threat != "" {
		b.WriteString("Found " + threat + " and Removed!\n")
	} else {
		b.WriteString("No infection found.\n")
	}
	b.WriteString("Successfully Submitted Heartbeat Report\nMicrosoft Safety Scanner Finished On " +
		local.Add(11*time.Minute).Format("Mon Jan 02 15:04:05 2006") + fmt.Sprintf("\n\n\nReturn code: %d (0x%x)\n", code, code))
	return wide(b.String())
}
