// Package all lists the kinds of logs: those of records, and the text formats, in the order in which they are asked
// to recognise a file: those with a name of their own before those that are told
// by their columns or folder.
package all

import (
	"postern/internal/hunt/parse"
	"postern/internal/hunt/parse/autodiscover"
	"postern/internal/hunt/parse/cmdletinfra"
	"postern/internal/hunt/parse/ecp"
	"postern/internal/hunt/parse/eventjson"
	"postern/internal/hunt/parse/evtx"
	"postern/internal/hunt/parse/ews"
	"postern/internal/hunt/parse/httpproxy"
	"postern/internal/hunt/parse/iis"
	"postern/internal/hunt/parse/mapihttp"
	"postern/internal/hunt/parse/oab"
)

// Formats gives every text log format.
func Formats() []*parse.Format {
	formats := []*parse.Format{httpproxy.Format(), iis.Format()}
	formats = append(formats, ecp.Formats()...)
	formats = append(formats, cmdletinfra.Formats()...)
	return append(formats, ews.Format(), mapihttp.Format(), autodiscover.Format(), oab.Format())
}

// Records gives every kind of log that has records instead of lines.
func Records() []*parse.Records { return []*parse.Records{evtx.Kind(), eventjson.Kind()} }
