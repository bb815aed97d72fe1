package mitigate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// withoutModules gives the bytes of an applicationHost.config that no longer has the
// native modules in its list, and nothing else changed. A line that an entry had for
// itself goes with it.
func withoutModules(raw []byte, names []string) ([]byte, error) {
	d, err := open(raw)
	if err != nil {
		return nil, err
	}
	server := below([]*node{d.root}, "system.webServer")
	found := below(server, "globalModules")
	for _, n := range slices.Concat([]*node{d.root}, server, found) {
		if from, ok := d.get(n, "configSource"); ok {
			return nil, refuse("external", "source", from)
		}
	}
	var out []byte
	last := 0 // in the text
	w := d.code.width()
	keep := func(to int) { out = append(out, raw[d.bom+last*w:d.bom+to*w]...) }
	out = append(out, raw[:d.bom]...)
	for _, n := range below(found, "add") {
		name, _ := d.get(n, "name")
		if !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) }) {
			continue
		}
		from, to := d.wholeLine(n)
		keep(from)
		last = to
	}
	if last == 0 {
		return nil, refuse("module-place", "modules", strings.Join(names, ", "))
	}
	keep(len(d.text))
	if _, err := open(out); err != nil {
		return nil, fmt.Errorf("the file does not parse without the modules: %w", err)
	}
	return out, nil
}

// wholeLine gives the part of the text that an element takes: with its lines if it has
// them for itself, else the element alone.
func (d *document) wholeLine(n *node) (from, to int) {
	from = n.at
	for from > 0 && (d.text[from-1] == ' ' || d.text[from-1] == '\t') {
		from--
	}
	end := bytes.IndexByte(d.text[n.behind:], '\n')
	if from == 0 || d.text[from-1] != '\n' || end < 0 || len(bytes.TrimSpace(d.text[n.behind:n.behind+end])) > 0 {
		return n.at, n.behind
	}
	return from, n.behind + end + 1
}
