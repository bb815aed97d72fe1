package webfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"postern"
	"postern/internal/hunt/detect"
)

// Nothing in these files is a web shell, and nothing that they put together is
// one. The words that scanners know are written with marks, which are replaced
// when a test runs; and every page that comes of it has a word in it that no
// language can read, so that no server could compile it. The reader of pages, which
// is no compiler, passes over that word.

// marks and what they stand for.
var marks = strings.NewReplacer(
	"‹", "<"+"%", "›", "%"+">",
	"«EVAL»", "ev"+"al", "«EXEC»", "exec"+"ute",
	"«REQ»", "Req"+"uest", "«req»", "req"+"uest",
	"«START»", "Process"+".Start", "«PSI»", "Process"+"StartInfo",
	"«PAGE»", "Pa"+"ge", "«JS»", "JScr"+"ipt", "«UNSAFE»", "uns"+"afe",
	"«SCRIPT»", "scr"+"ipt", "«RUNAT»", "run"+"at=\"server\"",
	"«LOAD»", "Assembly"+".Load", "«SHELL»", "WScr"+"ipt.Shell",
	"«SAVE»", "Save"+"As", "«PHP»", "<?"+"php", "«POST»", "$_"+"POST", "«SYSTEM»", "sys"+"tem",
	"«RUNTIME»", "Run"+"time.getRuntime().ex"+"ec", "«PARAM»", "getPara"+"meter",
)

// fixture puts a fixture together.
func fixture(s string) string {
	s = marks.Replace(s)
	if strings.Contains(s, "@@INERT@@") {
		return s
	}
	s = inert.Replace(s)
	if strings.Contains(s, "<?"+"php") && !strings.Contains(s, "@@INERT@@") {
		s += " @@INERT@@" // without an end of its own
	}
	return s
}

// inert puts the word before the end of every stretch of code.
var inert = strings.NewReplacer("%"+">", " @@INERT@@ %"+">", "?"+">", " @@INERT@@ ?"+">", "</scr"+"ipt", " @@INERT@@ </scr"+"ipt", "</jsp:scr"+"iptlet", " @@INERT@@ </jsp:scr"+"iptlet")

func hashOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// stockPage is what the product's own page of a name is in these tests.
func stockPage(name string) string {
	return fixture("‹@ «PAGE» language=\"c#\" AutoEventWireup=\"false\" Inherits=\"Microsoft.Exchange.Clients.Owa.Core." + name + "\" ›\r\n<html><body>" + name + "</body></html>\r\n")
}

func stockHash(name string) string { return hashOf(stockPage(name)) }

var written = time.Date(2021, 3, 3, 6, 49, 43, 0, time.UTC)

func file(server, content string) *detect.File {
	path := "C/" + server
	return &detect.File{Path: path, Server: strings.ToLower(server), Size: int64(len(content)), ModTime: written,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(content))), nil }}
}

// look asks the detector as the hunt does.
func lookAt(t testing.TB, server, content string) []postern.Finding {
	t.Helper()
	return lookWith(t, New(knowledge()), file(server, content))
}

func lookWith(t testing.TB, d *Detector, f *detect.File) []postern.Finding {
	t.Helper()
	if !d.Wants(f) {
		return nil
	}
	findings, _, err := d.Look(f)
	if err != nil {
		t.Fatalf("%s: %v", f.Path, err)
	}
	return findings
}

// summary is what tests compare: rule, level and confidence of each finding.
func summary(findings []postern.Finding) string {
	var list []string
	for _, f := range findings {
		list = append(list, strings.TrimPrefix(f.Rule, "files/")+" "+string(rune('0'+int(f.Level)))+" "+f.Confidence.String())
	}
	return strings.Join(list, "; ")
}
