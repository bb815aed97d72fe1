package sigma

import (
	"bytes"
	"regexp"
)

// Document is one document of a file, for [Compile] or [CompileCorrelation].
type Document struct {
	Src         []byte
	Line        int // lines of the file before the document: add it to [Error].Line
	Correlation bool
}

// Split takes a file apart at its document markers. Documents without content
// are left out.
func Split(src []byte) []Document {
	var docs []Document
	d := Document{}
	line := 0
	done := func() {
		if hasContent.Match(d.Src) {
			d.Correlation = isCorrelation.Match(d.Src)
			docs = append(docs, d)
		}
	}
	from := 0
	for at := 0; at < len(src); line++ {
		end := len(src)
		if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if at > from && marker.Match(src[at:end]) {
			d.Src = src[from:at]
			done()
			d, from = Document{Line: line}, at
		}
		at = end
	}
	d.Src = src[from:]
	done()
	return docs
}

var (
	marker = regexp.MustCompile(`^---(\s|$)`)
	// hasContent finds a line that is no comment, directive, marker or blank.
	hasContent    = regexp.MustCompile(`(?m)^[ \t]*[^\s#%.-]|^[ \t]*-[^-]`)
	isCorrelation = regexp.MustCompile(`(?m)^correlation[ \t]*:`)
)
