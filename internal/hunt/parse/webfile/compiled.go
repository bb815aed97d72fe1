package webfile

import (
	"bytes"
	"encoding/xml"
	"io"
)

// maxCompiled is how far a .compiled file is read; real ones have under 4 KB, more
// only with hundreds of dependencies.
const maxCompiled = 64 << 10

// Compiled is the record that ASP.NET keeps of a page that it compiled, which it
// does when the page is first asked for. It survives the page.
type Compiled struct {
	VirtualPath string // "/owa/auth/x.aspx"
	Assembly    string // "App_Web_ab12cd34"
	Type        string // "ASP.x_aspx"
	FileHash    string
	Depends     []string // virtual paths of the files it was made of
}

// ParseCompiled reads a .compiled file. ok is false if it is none.
func ParseCompiled(t Text) (c Compiled, ok bool) {
	// The decoder is told UTF-8 by the text itself; what the file declares no longer holds.
	d := xml.NewDecoder(bytes.NewReader(t.Bytes[:min(len(t.Bytes), maxCompiled)]))
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		tok, err := d.RawToken()
		if err != nil {
			return c, c.VirtualPath != ""
		}
		e, start := tok.(xml.StartElement)
		if !start {
			continue
		}
		switch e.Name.Local {
		case "preserve":
			c.VirtualPath = attr(e, "virtualPath")
			c.Assembly, c.Type, c.FileHash = attr(e, "assembly"), attr(e, "type"), attr(e, "filehash")
		case "filedep":
			if len(c.Depends) < 64 {
				c.Depends = append(c.Depends, attr(e, "name"))
			}
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
