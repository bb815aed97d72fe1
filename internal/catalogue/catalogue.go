// Package catalogue puts text into the reader's language. Input: the YAML files
// under en/ and es/, one file a room, each a flat map from key to message.
// Messages name their arguments in braces: "{count} rows of {source}". A message
// that changes with a number has the forms key.one and key.other, chosen by the
// argument "count". Output: plain text that has NOT been escaped for any medium.
package catalogue

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern"
)

//go:embed en/*.yaml es/*.yaml
var files embed.FS

// Languages are the ones that every message exists in; the first is the default.
var Languages = []string{"en", "es"}

// Catalogue is all messages of one language. It is safe for use by several
// goroutines once built.
type Catalogue struct {
	lang     string
	messages map[string]string
}

// Load reads the messages of one language.
func Load(lang string) (*Catalogue, error) {
	if !slices.Contains(Languages, lang) {
		return nil, fmt.Errorf("language %q: want one of %s", lang, strings.Join(Languages, ", "))
	}
	c := &Catalogue{lang: lang, messages: map[string]string{postern.VerbatimKey: "{text}"}}
	names, err := fs.Glob(files, lang+"/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var room map[string]string
		if err := yaml.Unmarshal(b, &room); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for k, v := range room {
			if _, twice := c.messages[k]; twice {
				return nil, fmt.Errorf("%s: %s stands in another file already", name, k)
			}
			c.messages[k] = strings.TrimRight(v, "\n")
		}
	}
	return c, nil
}

// Choose gives the first language of the list that the catalogues have, reading
// values such as "es_ES.UTF-8"; the default if there is none.
func Choose(wanted ...string) string {
	for _, w := range wanted {
		w = strings.ToLower(w)
		for _, lang := range Languages {
			if w == lang || strings.HasPrefix(w, lang+"_") || strings.HasPrefix(w, lang+"-") || strings.HasPrefix(w, lang+".") {
				return lang
			}
		}
		if w != "" {
			return Languages[0]
		}
	}
	return Languages[0]
}

// With gives a catalogue that also knows the messages of a campaign pack.
func (c *Catalogue) With(messages map[string]string) *Catalogue {
	all := maps.Clone(c.messages)
	maps.Copy(all, messages)
	return &Catalogue{lang: c.lang, messages: all}
}

// Lang gives the language, "en" or "es".
func (c *Catalogue) Lang() string { return c.lang }

// Keys gives all keys in order.
func (c *Catalogue) Keys() []string { return slices.Sorted(maps.Keys(c.messages)) }

// Has says whether there is a message under the key, in any form.
func (c *Catalogue) Has(key string) bool {
	_, plain := c.messages[key]
	_, other := c.messages[key+".other"]
	return plain || other
}

// Say puts a text into the language. A key that no catalogue knows is shown as
// it is, with its arguments: a reader must never lose a fact to a missing
// message.
func (c *Catalogue) Say(t postern.Text) string {
	if t.IsZero() {
		return ""
	}
	message, ok := c.messages[t.Key]
	if !ok {
		form := ".other"
		if t.Args["count"] == "1" {
			form = ".one"
		}
		if message, ok = c.messages[t.Key+form]; !ok {
			return unknown(t)
		}
	}
	return c.fill(message, t.Args)
}

// T is Say for a key with pairs of argument name and value.
func (c *Catalogue) T(key string, pairs ...any) string { return c.Say(postern.Say(key, pairs...)) }

// fill replaces {name} by its argument in one pass, so that an argument that
// contains braces is not read as a message. Where there is an argument "name@" it
// is the key of another message, which stands there with the same arguments.
func (c *Catalogue) fill(message string, args map[string]string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(message, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(message[open:], '}')
		if end < 0 {
			break
		}
		name := message[open+1 : open+end]
		value, ok := args[name]
		if key := args[name+"@"]; !ok && key != "" {
			value, ok = c.inner(key, args), true
		}
		if !ok {
			value = message[open : open+end+1]
		}
		b.WriteString(message[:open])
		b.WriteString(value)
		message = message[open+end+1:]
	}
	b.WriteString(message)
	return b.String()
}

// inner puts a message inside a message, one level deep: a saved report is
// hostile too and could name itself.
func (c *Catalogue) inner(key string, args map[string]string) string {
	plain := make(map[string]string, len(args))
	for k, v := range args {
		if !strings.HasSuffix(k, "@") {
			plain[k] = v
		}
	}
	return c.Say(postern.Text{Key: key, Args: plain})
}

func unknown(t postern.Text) string {
	var b strings.Builder
	b.WriteString(t.Key)
	for _, k := range slices.Sorted(maps.Keys(t.Args)) {
		fmt.Fprintf(&b, " %s=%s", k, t.Args[k])
	}
	return b.String()
}

// Files gives the names of the files of a language, for tests.
func Files(lang string) []string {
	names, _ := fs.Glob(files, path.Join(lang, "*.yaml"))
	return names
}
