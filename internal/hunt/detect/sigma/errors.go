package sigma

import (
	"fmt"

	"postern"
)

// Error says why a document was refused: a rule is loaded whole or not at all.
type Error struct {
	Line int // 1-based, in the document; 0 if the reason has no one place
	// Kind is Unsupported for a sound rule that this evaluator cannot run, Limit
	// for one beyond a bound, and else Malformed.
	Kind   postern.ProblemKind
	Reason postern.Text // for people
	text   string       // the same for developers
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.text)
	}
	return e.text
}

func malformed(line int, reason postern.Text, format string, args ...any) *Error {
	return &Error{Line: line, Kind: postern.Malformed, Reason: reason, text: fmt.Sprintf(format, args...)}
}

func unsupported(line int, reason postern.Text, format string, args ...any) *Error {
	return &Error{Line: line, Kind: postern.Unsupported, Reason: reason, text: fmt.Sprintf(format, args...)}
}

func beyond(line int, reason postern.Text, format string, args ...any) *Error {
	return &Error{Line: line, Kind: postern.Limit, Reason: reason, text: fmt.Sprintf(format, args...)}
}

// excerpt cuts text of a rule for a message.
func excerpt(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
