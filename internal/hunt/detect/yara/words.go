package yara

import (
	"errors"
	"strings"

	gyperror "github.com/VirusTotal/gyp/error"

	"postern"
	"postern/internal/hunt/detect/yara/pattern"
)

// refusedBecause gives the key of why a string or an expression is refused.
//
// catalogue: yara.refused.*
func refusedBecause(err error) string {
	var refusal *pattern.Refusal
	switch {
	case errors.As(err, &refusal):
		return "yara.refused." + refusal.Reason
	case errors.Is(err, errEscape):
		return "yara.refused.text-escape"
	}
	return "yara.refused.kind"
}

// syntaxError puts the parser's error into words for people. Its own words are those of
// its grammar.
//
// catalogue: yara.syntax.*
func syntaxError(e gyperror.Error) postern.Text {
	_, name, _ := strings.Cut(e.Message, ": ")
	switch e.Code {
	case gyperror.LexicalError:
		return unexpected(e.Message)
	case gyperror.UndefinedStringIdentifierError:
		return postern.Say("yara.unknown-string", "string", name)
	case gyperror.UndefinedRuleIdentifierError:
		if name != "" {
			return postern.Say("yara.unknown-name", "name", name)
		}
	}
	keys := map[gyperror.Code]string{
		gyperror.DuplicateTagError:          "tag",
		gyperror.DuplicateStringError:       "string",
		gyperror.DuplicateModifierError:     "modifier",
		gyperror.InvalidStringModifierError: "modifier",
		gyperror.UnterminatedStringError:    "quote",
		gyperror.IllegalEscapeSequenceError: "escape",
		gyperror.InvalidRegexModifierError:  "regexp",
		gyperror.UnterminatedRegexError:     "regexp",
		gyperror.InvalidJumpLengthError:     "jump", gyperror.JumpTooLargeInsideAlternationError: "jump",
		gyperror.NegativeJumpError: "jump", gyperror.InvalidJumpRangeError: "jump", gyperror.UnboundedJumpInsideAlternationError: "jump",
		gyperror.InvalidCharInHexStringError: "hex", gyperror.UnevenNumberOfDigitsError: "hex",
		gyperror.NumberConversionError: "number", gyperror.IntegerOverflowError: "number",
		gyperror.InvalidAsciiError: "character", gyperror.InvalidUTF8Error: "character",
		gyperror.InvalidValueError: "value",
	}
	if key := keys[e.Code]; key != "" {
		return postern.Say("yara.syntax." + key)
	}
	return postern.Say("yara.syntax")
}

// unexpected says what the parser did not expect, as far as that is a sign or a word of
// the language.
func unexpected(message string) postern.Text {
	_, rest, _ := strings.Cut(message, "unexpected ")
	token, _, _ := strings.Cut(rest, ", expecting")
	if token == "$end" {
		return postern.Say("yara.syntax.end")
	}
	if sign, ok := signs[token]; ok {
		return postern.Say("yara.syntax.unexpected", "token", sign)
	}
	word := strings.ToLower(strings.Trim(token, "_"))
	switch {
	case strings.HasPrefix(token, "'"):
		return postern.Say("yara.syntax.unexpected", "token", strings.ReplaceAll(strings.Trim(token, "'"), `\\`, `\`))
	case words[word]:
		return postern.Say("yara.syntax.unexpected", "token", word)
	}
	return postern.Say("yara.syntax")
}

// signs are tokens that the parser has names for.
var signs = map[string]string{
	"_DOT_DOT_": "..", "_EQ_": "==", "_NEQ_": "!=", "_LT_": "<", "_LE_": "<=", "_GT_": ">", "_GE_": ">=", "_SHIFT_LEFT_": "<<", "_SHIFT_RIGHT_": ">>",
	"_LBRACKET_": "[", "_RBRACKET_": "]", "_LPARENS_": "(", "_RPARENS_": ")", "_PIPE_": "|", "_HYPHEN_": "-", "_TILDE_": "~",
	"_LBRACE_": "{", "_RBRACE_": "}", "_STRING_COUNT_": "#", "_STRING_OFFSET_": "@", "_STRING_LENGTH_": "!", "_STRING_IDENTIFIER_": "$",
}

// words are those of the language, other than names.
var words = map[string]bool{
	"rule": true, "private": true, "global": true, "meta": true, "strings": true, "condition": true, "ascii": true, "wide": true, "xor": true,
	"nocase": true, "fullword": true, "base64": true, "base64wide": true, "at": true, "filesize": true, "entrypoint": true, "all": true,
	"any": true, "none": true, "in": true, "of": true, "for": true, "them": true, "matches": true, "contains": true, "icontains": true,
	"startswith": true, "istartswith": true, "endswith": true, "iendswith": true, "iequals": true, "import": true, "true": true,
	"false": true, "include": true, "defined": true, "or": true, "and": true, "not": true,
}
