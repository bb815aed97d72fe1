// Package oab describes the logs of the offline address book generator:
// Logging/OABGeneratorLog and OABGeneratorSimpleLog. The columns are not
// published, so that lines stay opaque: input is any text with a time somewhere in
// the beginning of the line; output are events of the source "oabgenerator" with
// the field Line and, where a line names a temporary file, where that lies.
//
// Source: the sentence that the product writes before it removes such a file;
// see docs/formats/logs.md.
package oab

import (
	"regexp"
	"strings"

	"postern"
	"postern/internal/hunt/parse"
)

// Name is the source of the events.
const Name = "oabgenerator"

// Format describes the log.
func Format() *parse.Format {
	return &parse.Format{
		Name:      Name,
		Columns:   []string{"Line"},
		Recognise: recognise,
		Derive:    derive,
		Deciding: map[string][]string{
			"TempFile": {"Line"}, "TempFileRaw": {"Line"}, "Extension": {"Line"}, "Text": {"Line"},
			"Placement": nil, // a judgement, not a text of the line
		},
	}
}

func recognise(h parse.Head) bool {
	if strings.HasPrefix(strings.ToLower(h.LogType), "oab") {
		return true
	}
	if h.LogType != "" || h.Software != "" && !strings.Contains(h.Software, "Exchange") {
		return false
	}
	if h.PathHas("oabgenerator") && h.PathHas("log") {
		return true
	}
	return h.Sentence
}

// tempFile finds the path in the sentence about a file that a failed download left.
// Who chose the path may have put quotes and the words of the sentence into it: it
// ends at the last of them.
var tempFile = regexp.MustCompile(`(?i)temporary file\s+(\S.*\S)\s+needs\b`)

// quotes stand around the path.
const quotes = `'"‘’“”`

func derive(ev *postern.Event) {
	line := ev.Get("Line")
	parse.Add(ev, "Text", parse.Lower(line))
	m := tempFile.FindStringSubmatch(line)
	if m == nil {
		return
	}
	raw := strings.Trim(m[1], quotes)
	if raw == "" {
		return
	}
	path := parse.ServerPath(raw)
	ext := ""
	if i := strings.LastIndexByte(path, '.'); i > strings.LastIndexByte(path, '/') {
		ext = path[i+1:]
	}
	parse.Add(ev, "TempFileRaw", raw, "TempFile", path, "Extension", ext, "Placement", Placement(path))
}

// Placement says whether a canonical path lies where the generator itself puts
// its files, "inside", or "outside". The install path may be on any drive and
// under any name; what it ends in is the product's own.
func Placement(path string) string {
	i := strings.Index(path, "/clientaccess/oab/")
	if i < 0 || strings.HasPrefix(path[:i], "//") || strings.Contains(path[:i], "/inetpub") || strings.Contains(path[:i], "/frontend/") {
		return "outside"
	}
	return "inside"
}
