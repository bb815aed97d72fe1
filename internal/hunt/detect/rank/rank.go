// Package rank says what a match of somebody else's rule is worth. Input: what a rule
// says about itself: its ATT&CK tags, and a Sigma level and status or a YARA name and
// score. Output: a level of the ladder and a confidence. The table is data,
// levels.yaml; a rule that maps to nothing is level 1, something for a person to look
// at.
package rank

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern"
)

//go:embed levels.yaml
var builtIn []byte

// Table is what tags and names are worth. It does not change once made.
type Table struct {
	attack, tactics, words []line
}

type line struct {
	key           string
	level, served postern.Level
}

// New reads the table that comes with the program.
func New() (*Table, error) { return read(builtIn) }

func read(data []byte) (*Table, error) {
	type row struct {
		Tag, Word     string
		Level, Served postern.Level
	}
	var doc struct{ Attack, Tactics, Words []row }
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("levels.yaml: %w", err)
	}
	lines := func(rows []row) ([]line, error) {
		var all []line
		for _, r := range rows {
			l := line{key: r.Tag + r.Word, level: r.Level, served: max(r.Level, r.Served)}
			if l.key == "" || !l.level.Valid() || !l.served.Valid() || slices.ContainsFunc(all, func(o line) bool { return o.key == l.key }) {
				return nil, fmt.Errorf("levels.yaml: %q has no key or level, or stands twice", l.key)
			}
			all = append(all, l)
		}
		return all, nil
	}
	t := &Table{}
	for _, part := range []struct {
		rows []row
		to   *[]line
	}{{doc.Attack, &t.attack}, {doc.Tactics, &t.tactics}, {doc.Words, &t.words}} {
		var err error
		if *part.to, err = lines(part.rows); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Sigma ranks a rule over events by its tags, as "attack.t1505.003", and says by its
// level and status how sure a match is. Served is true for rules about requests to
// the web server.
func (t *Table) Sigma(tags []string, level, status string, served bool) (postern.Level, postern.Confidence) {
	worth, found := t.tags(tags, served)
	if !found {
		worth = postern.Probed
	}
	return worth, sigmaConfidence(level, status)
}

// sigmaConfidence follows what the specification means by level, how serious, which in
// practice is how rare false alarms are; a rule that is still tried out counts less.
func sigmaConfidence(level, status string) postern.Confidence {
	c := postern.Low
	switch strings.ToLower(level) {
	case "critical", "high":
		c = postern.High
	case "medium":
		c = postern.Medium
	}
	switch strings.ToLower(status) {
	case "stable", "test":
		return c
	case "deprecated", "unsupported":
		return postern.Low
	}
	return min(c, postern.Medium) // experimental, or not said
}

// YARA ranks a rule over files by its tags, the words of its name and its score from 0
// to 100, if it has one. Served is true for files in a folder that the web server
// serves.
func (t *Table) YARA(name string, tags []string, score int, scored, served bool) (postern.Level, postern.Confidence) {
	worth, found := t.tags(tags, served)
	words := strings.FieldsFunc(strings.ToLower(strings.Join(append([]string{name}, tags...), "_")), func(r rune) bool { return r == '_' || r == '.' || r == '-' })
	for _, l := range t.words {
		if slices.Contains(words, l.key) {
			worth, found = max(worth, l.at(served)), true
		}
	}
	if !found {
		worth = postern.Probed
	}
	c := postern.Medium
	if scored {
		switch {
		case score >= 75:
			c = postern.High
		case score < 50:
			c = postern.Low
		}
	}
	return worth, c
}

// tags gives the most that a rule's tags say.
func (t *Table) tags(tags []string, served bool) (worth postern.Level, found bool) {
	var tactic postern.Level
	for _, tag := range tags {
		tag, _ = strings.CutPrefix(strings.ReplaceAll(strings.ToLower(tag), "-", "_"), "attack.")
		if l, ok := technique(t.attack, tag); ok {
			worth, found = max(worth, l.at(served)), true
		}
		for _, l := range t.tactics {
			if l.key == tag {
				tactic = max(tactic, l.at(served))
			}
		}
	}
	if !found && tactic > 0 {
		return tactic, true
	}
	return worth, found
}

// technique finds the line of a technique, or else that of the one it is a part of.
func technique(lines []line, tag string) (line, bool) {
	tag = strings.ReplaceAll(tag, "_", ".") // as YARA's tags have it
	for {
		for _, l := range lines {
			if l.key == tag {
				return l, true
			}
		}
		i := strings.LastIndexByte(tag, '.')
		if i < 0 {
			return line{}, false
		}
		tag = tag[:i]
	}
}

func (l line) at(served bool) postern.Level {
	if served {
		return l.served
	}
	return l.level
}
