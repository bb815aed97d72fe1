package plan

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// bookFormat is the form of plan.yaml that this reader knows.
const bookFormat = 1

// Book is the steps of one product. It is safe for use by several goroutines.
type Book struct {
	product string
	signs   map[string]sign
	steps   []stepData
	scripts map[string]string
	words   map[string]map[string]string // by language and key
}

// The file as it is written.
type bookData struct {
	Format  int             `yaml:"format"`
	Product string          `yaml:"product"`
	Signs   map[string]sign `yaml:"signs"`
	Steps   []stepData      `yaml:"steps"`
}

// sign names findings: any of the tags or rules, at the level or above.
type sign struct {
	Tags  []string `yaml:"tags"`
	Rules []string `yaml:"rules"`
	Level int      `yaml:"level"`
}

type stepData struct {
	ID      string            `yaml:"id"`
	Stage   string            `yaml:"stage"`
	When    []when            `yaml:"when"`    // any of them
	Minutes [2]int            `yaml:"minutes"` // from, to; 0, 0 goes on
	Title   map[string]string `yaml:"title"`
	Why     map[string]string `yaml:"why"`
	Effect  map[string]string `yaml:"effect"`
	How     []action          `yaml:"how"`
	Verify  []action          `yaml:"verify"`
	Undo    []action          `yaml:"undo"`
}

// when is a condition: all that is named must be so.
type when struct {
	Level      []int    `yaml:"level"` // from, to
	Conclusive *bool    `yaml:"conclusive"`
	Missing    *bool    `yaml:"missing"`
	Unsaved    *bool    `yaml:"unsaved"`
	Patched    []string `yaml:"patched"`
	Mitigated  []string `yaml:"mitigated"`
	Patch      []string `yaml:"patch"`
	Signs      []string `yaml:"signs"`   // any of them
	Without    []string `yaml:"without"` // none of them
}

type action struct {
	Say        map[string]string `yaml:"say"`
	Postern    string            `yaml:"postern"`
	PowerShell string            `yaml:"powershell"`
	Exchange   string            `yaml:"exchange"`
	Script     string            `yaml:"script"`
	Each       string            `yaml:"each"` // a sign, or one of the lists
	When       *when             `yaml:"when"`
}

// line gives what stands in an action of a kind that is a command.
func (a action) line() string { return a.Postern + a.PowerShell + a.Exchange }

func (b *Book) key(id string) string { return "plan." + b.product + "." + id }

func actionKey(key string, i int) string { return key + "." + strconv.Itoa(i+1) }

// known are the placeholders that any text may have; of are those of a repeated action.
var (
	known = []string{"host", "build", "root", "hunt", "bundle", "edition", "line", "target", "target-title", "kb",
		"first", "last", "accounts", "clients", "shells"}
	of = []string{"title", "time", "sha256", "account", "client", "rule", "at", "path", "campaign", "source", "collect"}
)

// beside finds a placeholder inside quotes or glued to a word: values come quoted, so
// that such a command would break or run what it should only name.
var beside = regexp.MustCompile(`["'\x60$]\{|\}["'\x60]|[A-Za-z0-9\\]\{|\}[A-Za-z0-9\\]`)

// Read reads the steps of a product from its folder: plan.yaml and plan/*.ps1. Every
// text must be there in every language.
func Read(fsys fs.FS, product string, languages []string) (*Book, error) {
	name := path.Join(product, "plan.yaml")
	raw, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var data bookData
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if data.Format != bookFormat || data.Product != product {
		return nil, fmt.Errorf("%s: format %d of product %q, want %d of %q", name, data.Format, data.Product, bookFormat, product)
	}
	b := &Book{product: product, signs: data.Signs, steps: data.Steps, scripts: make(map[string]string), words: make(map[string]map[string]string)}
	for _, lang := range languages {
		b.words[lang] = make(map[string]string)
	}
	scripts, err := fs.Glob(fsys, path.Join(product, "plan/*.ps1"))
	if err != nil {
		return nil, err
	}
	for _, s := range scripts {
		body, err := fs.ReadFile(fsys, s)
		if err != nil {
			return nil, err
		}
		if err := commands(string(body), known); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		b.scripts[path.Base(s)] = string(body)
	}
	seen := make(map[string]bool)
	for _, step := range data.Steps {
		if seen[step.ID] {
			return nil, fmt.Errorf("%s: step %s stands there twice", name, step.ID)
		}
		seen[step.ID] = true
		if err := b.check(step, languages); err != nil {
			return nil, fmt.Errorf("%s: step %s: %w", name, step.ID, err)
		}
	}
	return b, nil
}

func (b *Book) check(s stepData, languages []string) error {
	if s.ID == "" || !slices.Contains(Stages, s.Stage) || len(s.When) == 0 || s.Minutes[0] > s.Minutes[1] {
		return fmt.Errorf("id %q, stage %q, %d conditions, minutes %v", s.ID, s.Stage, len(s.When), s.Minutes)
	}
	key := b.key(s.ID)
	for part, text := range map[string]map[string]string{"title": s.Title, "why": s.Why, "effect": s.Effect} {
		if err := b.learn(key+"."+part, text, languages, known); err != nil {
			return err
		}
	}
	for _, w := range s.When {
		if err := b.conditions(w); err != nil {
			return err
		}
	}
	for part, list := range map[string][]action{"how": s.How, "verify": s.Verify, "undo": s.Undo} {
		if len(list) == 0 {
			return fmt.Errorf("nothing under %s", part)
		}
		for i, a := range list {
			if err := b.checkAction(a, actionKey(key+"."+part, i), languages); err != nil {
				return fmt.Errorf("%s %d: %w", part, i+1, err)
			}
		}
	}
	return nil
}

func (b *Book) conditions(w when) error {
	for _, name := range slices.Concat(w.Signs, w.Without) {
		if _, ok := b.signs[name]; !ok {
			return fmt.Errorf("unknown sign %q", name)
		}
	}
	states := []string{"yes", "no", "unknown", "ineffective"}
	patches := []string{string(PatchUnknown), string(PatchNone), string(PatchLine), string(PatchUpdate), string(PatchNewer), string(PatchNewest)}
	for _, s := range slices.Concat(w.Patched, w.Mitigated) {
		if !slices.Contains(states, s) {
			return fmt.Errorf("unknown state %q", s)
		}
	}
	for _, p := range w.Patch {
		if !slices.Contains(patches, p) {
			return fmt.Errorf("unknown patch %q", p)
		}
	}
	if w.Level != nil && (len(w.Level) != 2 || w.Level[0] > w.Level[1] || w.Level[0] < 0 || w.Level[1] > 6) {
		return fmt.Errorf("level %v", w.Level)
	}
	return nil
}

func (b *Book) checkAction(a action, key string, languages []string) error {
	kinds := 0
	for _, s := range []string{a.Postern, a.PowerShell, a.Exchange, a.Script} {
		if s != "" {
			kinds++
		}
	}
	names := known
	if a.Each != "" {
		if _, ok := b.signs[a.Each]; !ok && a.Each != eachMissing && a.Each != eachInstall {
			return fmt.Errorf("unknown list %q", a.Each)
		}
		names = slices.Concat(known, of)
	}
	if a.When != nil {
		if err := b.conditions(*a.When); err != nil {
			return err
		}
	}
	switch {
	case a.Each == eachInstall && kinds == 0 && a.Say == nil:
		return nil // the sentences are the product's own
	case a.Say != nil && kinds == 0:
		return b.learn(key, a.Say, languages, names)
	case a.Say != nil || kinds != 1:
		return fmt.Errorf("want one of say, postern, powershell, exchange, script")
	case a.Script != "" && b.scripts[a.Script] == "":
		return fmt.Errorf("no script %q", a.Script)
	case a.Postern != "" && !strings.HasPrefix(a.Postern, "postern "):
		return fmt.Errorf("%q is no command of postern", a.Postern)
	}
	return commands(a.line(), names)
}

// commands checks the placeholders of a command or script.
func commands(s string, names []string) error {
	for _, p := range placeholders(s) {
		if !slices.Contains(names, p) {
			return fmt.Errorf("unknown placeholder {%s}", p)
		}
		for _, m := range regexp.MustCompile(`.?\{`+regexp.QuoteMeta(p)+`\}.?`).FindAllString(s, -1) {
			if beside.MatchString(m) {
				return fmt.Errorf("%s: a value comes with its own quotes and stands alone", m)
			}
		}
	}
	return nil
}

// learn keeps a text in every language.
func (b *Book) learn(key string, text map[string]string, languages, names []string) error {
	var args []string
	for i, lang := range languages {
		s := strings.TrimSpace(text[lang])
		if s == "" {
			return fmt.Errorf("%s: nothing in %s", key, lang)
		}
		here := placeholders(s)
		slices.Sort(here)
		here = slices.Compact(here)
		for _, p := range here {
			if !slices.Contains(names, p) {
				return fmt.Errorf("%s: unknown placeholder {%s}", key, p)
			}
		}
		if i > 0 && !slices.Equal(here, args) {
			return fmt.Errorf("%s: %s has the placeholders %v, %s %v", key, languages[0], args, lang, here)
		}
		args = here
		b.words[lang][key] = s
	}
	if len(text) != len(languages) {
		return fmt.Errorf("%s: %d languages, want %v", key, len(text), languages)
	}
	return nil
}

// Messages gives the texts of a language, for the catalogues.
//
// catalogue: plan.* (in the product's plan.yaml)
func (b *Book) Messages(lang string) map[string]string { return b.words[lang] }
