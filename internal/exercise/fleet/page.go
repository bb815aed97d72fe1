package fleet

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// pageBytes is how long a login page of 2013 and later is; captures have 48 to 70 KB.
const pageBytes = 58 << 10

// pages keeps the login pages that were made: one for each line, or for each
// build of 2007 and 2010, so the build table bounds their number.
type pages struct {
	mu   sync.Mutex
	made map[string][]byte
}

func (p *pages) get(key string, make func() []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.made[key]
	if !ok {
		b = make()
		if p.made == nil {
			p.made = map[string][]byte{}
		}
		p.made[key] = b
	}
	return b
}

func (p *population) logonPage(l *line, r *release) []byte {
	key := l.edition + l.path
	if l.legacy() {
		key = r.text
	}
	return p.pages.get(key, func() []byte { return makeLogon(l, r) })
}

// makeLogon writes a login page: the marks that captures show, and filler of our
// own in place of the rest.
func makeLogon(l *line, r *release) []byte {
	var b bytes.Buffer
	at := "/owa/auth/" + l.path + "/themes/resources"
	switch l.edition {
	case "exchange-2007":
		fmt.Fprintf(&b, "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0 Transitional//EN\">\r\n<html>\r\n<head>\r\n"+
			"<title>Microsoft Exchange - Outlook Web Access</title>\r\n"+
			"<link type=\"text/css\" rel=\"stylesheet\" href=\"/owa/%[1]s/themes/base/logon.css\">\r\n"+
			"<script type=\"text/javascript\" src=\"/owa/%[1]s/scripts/premium/flogon.js\"></script>\r\n</head>\r\n<body>\r\n", shown(r))
		filler(&b, 9<<10, "/owa/"+shown(r)+"/themes/base")
	case "exchange-2010":
		fmt.Fprintf(&b, "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0 Transitional//EN\">\r\n<!-- OwaPage = ASP.auth_logon_aspx -->\r\n"+
			"<!-- {57A118C6-2DA9-419d-BE9A-F92B0F9A418B} -->\r\n<html>\r\n<head>\r\n"+
			"<link rel=\"shortcut icon\" href=\"/owa/%[1]s/themes/resources/favicon.ico\" type=\"image/x-icon\">\r\n"+
			"<title>Outlook Web App</title>\r\n"+
			"<script type=\"text/javascript\" src=\"/owa/%[1]s/scripts/premium/flogon.js\"></script>\r\n</head>\r\n<body>\r\n", shown(r))
		filler(&b, 12<<10, "/owa/"+shown(r)+"/themes/resources")
	default:
		title, font := "Outlook", "wf_segoe-ui_normal"
		if l.edition == "exchange-2013" {
			title, font = "Outlook Web App", "Segoe UI WPC"
		}
		fmt.Fprintf(&b, "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\">\r\n"+
			"<!-- Copyright (c) 2011 Microsoft Corporation.  All rights reserved. -->\r\n<!-- OwaPage = ASP.auth_logon_aspx -->\r\n\r\n"+
			"<!-- {57A118C6-2DA9-419d-BE9A-F92B0F9A418B} -->\r\n<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0 Transitional//EN\">\r\n"+
			"<html>\r\n<head>\r\n<meta http-equiv=\"X-UA-Compatible\" content=\"IE=10\" />\r\n"+
			"<link rel=\"shortcut icon\" href=\"%[1]s/favicon.ico\" type=\"image/x-icon\">\r\n"+
			"<meta http-equiv=\"Content-Type\" content=\"text/html; CHARSET=utf-8\">\r\n<meta name=\"Robots\" content=\"NOINDEX, NOFOLLOW\">\r\n"+
			"<title>%[2]s</title>\r\n<style>\r\n@font-face {\r\n    font-family: \"%[3]s\";\r\n"+
			"    src: url(\"%[1]s/segoeui-regular.eot?#iefix\") format(\"embedded-opentype\"),\r\n"+
			"            url(\"%[1]s/segoeui-regular.ttf\") format(\"truetype\");\r\n}\r\n</style>\r\n</head>\r\n<body>\r\n", at, title, font)
		filler(&b, pageBytes, at)
	}
	b.WriteString("<form action=\"/owa/auth.owa\" method=\"POST\" name=\"logonForm\">\r\n" +
		"<input id=\"username\" name=\"username\"><input id=\"password\" name=\"password\" type=\"password\">\r\n</form>\r\n</body>\r\n</html>\r\n")
	return b.Bytes()
}

// filler writes style rules until the page is long enough; now and then one names a file.
func filler(b *bytes.Buffer, until int, at string) {
	b.WriteString("<style>\r\n")
	for i := 0; b.Len() < until-600; i++ {
		fmt.Fprintf(b, ".signin%d { margin: 0 %dpx; padding: %dpx; font-size: 12px; color: #%06x; }\r\n", i, i%7, i%5, i*7919%0xffffff)
		if i%40 == 0 {
			fmt.Fprintf(b, ".pic%d { background: url(\"%s/picture%d.png\"); }\r\n", i, at, i)
		}
	}
	b.WriteString("</style>\r\n")
}

// manifestBody is a ClickOnce manifest with the version where real ones have it.
func manifestBody(version string) []byte {
	var b strings.Builder
	b.WriteString("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n" +
		"<asmv1:assembly xsi:schemaLocation=\"urn:schemas-microsoft-com:asm.v1 assembly.adaptive.xsd\" manifestVersion=\"1.0\" " +
		"xmlns=\"urn:schemas-microsoft-com:asm.v2\" xmlns:asmv1=\"urn:schemas-microsoft-com:asm.v1\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\r\n")
	fmt.Fprintf(&b, "  <assemblyIdentity name=\"microsoft.exchange.ediscovery.exporttool.application\" version=\"%s\" "+
		"publicKeyToken=\"b1d1a6c45aa418ce\" language=\"neutral\" processorArchitecture=\"msil\" xmlns=\"urn:schemas-microsoft-com:asm.v1\" />\r\n", version)
	b.WriteString("  <description asmv2:publisher=\"exercise\" xmlns:asmv2=\"urn:schemas-microsoft-com:asm.v2\" />\r\n")
	for i := range 90 {
		fmt.Fprintf(&b, "  <!-- placeholder %03d: a real manifest lists certificates, files and hashes in this place, and is as long as this one -->\r\n", i)
	}
	fmt.Fprintf(&b, "  <dependency>\r\n    <dependentAssembly dependencyType=\"install\">\r\n"+
		"      <assemblyIdentity name=\"microsoft.exchange.ediscovery.exporttool\" version=\"%s\" "+
		"publicKeyToken=\"b1d1a6c45aa418ce\" language=\"neutral\" processorArchitecture=\"msil\" type=\"win32\" />\r\n"+
		"    </dependentAssembly>\r\n  </dependency>\r\n</asmv1:assembly>\r\n", version)
	return []byte(b.String())
}

// placeholderIcon is an icon of one black dot.
var placeholderIcon = []byte{0, 0, 1, 0, 1, 0, 1, 1, 2, 0, 1, 0, 1, 0, 0x38, 0, 0, 0, 0x16, 0, 0, 0,
	40, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0,
	0, 0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0}
