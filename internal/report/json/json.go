// Package json writes reports for programs: one document (json) or a stream of
// one object a line (jsonl), both of schema postern.hunt/1. Input: a run, fed
// through report.Handler. Output: UTF-8 with '\n' at the ends of lines; the
// contract is docs/formats/hunt-json.md.
//
// Text from evidence is raw in the sense of JSON: a program that decodes it gets
// what the evidence said. What a terminal would obey is escaped in the file.
package json
