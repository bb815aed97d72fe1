package respond

import "strings"

// OddName gives the first part of a path, with '/', that the ordinary functions of
// Windows take for something else: a device (CON, aux.aspx), another name (a dot or blank
// at the end is dropped), a stream of another file (a colon), or that they refuse. "" if
// there is none. Intruders make such names because most programs then act on the wrong
// file or on none.
func OddName(path string) string {
	for part := range strings.SplitSeq(path, "/") {
		if oddPart(part) {
			return part
		}
	}
	return ""
}

func oddPart(part string) bool {
	if part == "." || part == ".." {
		return false // for whoever checks paths
	}
	if strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") || strings.ContainsAny(part, `<>:"\|?*`) {
		return true
	}
	if strings.ContainsFunc(part, func(r rune) bool { return r < 0x20 }) {
		return true
	}
	base, _, _ := strings.Cut(part, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	digit, ok := strings.CutPrefix(base, "COM")
	if !ok {
		digit, ok = strings.CutPrefix(base, "LPT")
	}
	return ok && len([]rune(digit)) == 1 && strings.Contains("0123456789¹²³", digit)
}
