// Package webfile reads the files that a web server turns into programs: pages
// and handlers of ASP.NET, classic ASP, JSP and PHP, the dump of a virtual
// directory that Exchange can be made to write, and the records that ASP.NET
// keeps of what it compiled.
//
// Input: bytes from anywhere, in any of the encodings that these engines accept,
// whole, cut or not text at all. Output: a [Text] whose positions can be walked
// back to bytes of the file, a [Page] that says which stretches of it run on the
// server and in which language, their [Token]s, a [Dump], a [Compiled]. Nothing
// here says what is bad: that is the room detect/webfile.
//
// Sources of the formats: the ASP.NET page syntax and the language references of
// C#, JScript .NET, Visual Basic, VBScript, Java (JSP 2.3, JLS §3) and PHP; for the
// dump, US-CERT AR21-084A and genuine specimens' descriptions; for .compiled
// files, System.Web.Compilation's preserved build results. docs/formats/web-files.md
// says what is kept.
package webfile

import "strings"

// Lang is the language of a stretch of server-side code.
type Lang uint8

// The languages whose words are told apart. VBScript and VBNet share a lexer,
// and so do the others.
const (
	Unknown Lang = iota
	CSharp
	JScript
	VBNet
	VBScript
	Java
	PHP
)

var langNames = [...]string{"", "C#", "JScript", "Visual Basic", "VBScript", "Java", "PHP"}

// String gives the language as people write it.
func (l Lang) String() string {
	if int(l) < len(langNames) {
		return langNames[l]
	}
	return ""
}

// Basic says whether the language has the grammar of Basic: statements end with
// the line, comments begin with an apostrophe, case does not count.
func (l Lang) Basic() bool { return l == VBNet || l == VBScript }

// ParseLang reads the value of a language attribute. classic is true where the
// engine is that of classic ASP, whose "VB" is VBScript.
func ParseLang(s string, classic bool) Lang {
	s = strings.ToLower(strings.Trim(s, " \t\r\n\"'\u201c\u201d"))
	s, _ = strings.CutSuffix(s, ".encode")
	switch s {
	case "c#", "cs", "csharp", "c#.net", "c#v3.5", "c#v4.0":
		return CSharp
	case "jscript", "js", "javascript", "jscript.net", "ecmascript":
		return JScript
	case "vb", "vbs", "visualbasic", "visual basic", "vb.net", "vbscript", "vbnet":
		if classic || s == "vbscript" || s == "vbs" {
			return VBScript
		}
		return VBNet
	case "java", "vj#", "vjs":
		return Java
	case "php":
		return PHP
	}
	return Unknown
}
