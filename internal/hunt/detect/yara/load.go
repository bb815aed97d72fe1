package yara

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/VirusTotal/gyp"
	"github.com/VirusTotal/gyp/ast"
	gyperror "github.com/VirusTotal/gyp/error"

	"postern"
	"postern/internal/hunt/detect"
)

// Bounds of loading. The largest public collection has 740 files, the largest file
// of it 1 MB and 1,100 rules.
const (
	maxFiles       = 20_000
	maxFileBytes   = 16 << 20
	maxTotalBytes  = 256 << 20
	maxRulesOfFile = 20_000
	// maxIncludes is how deep files may include one another.
	maxIncludes = 16
	// maxFolders is how deep a folder of rules may be.
	maxFolders = 32
)

// Source is one file or folder of rules that a user named, or a file of a pack.
type Source struct {
	// FS holds the rules; includes never leave it.
	FS fs.FS
	// Path is the file or folder in FS, "." for all of it.
	Path string
	// Name stands before the paths of FS in messages, "" for nothing.
	Name string
	// Pack is what a pack says of the rules in the file, nil for rules of a user.
	Pack *detect.RuleFile
}

// Open gives the source for a file or folder of this machine. Links that lead out
// of the folder are not followed. The caller closes it when the rules are loaded.
func Open(name string) (Source, io.Closer, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Source{}, nil, err
	}
	dir, file := name, "."
	if !info.IsDir() {
		dir, file = filepath.Dir(name), filepath.Base(name)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Source{}, nil, err
	}
	return Source{FS: root.FS(), Path: file, Name: filepath.ToSlash(dir)}, root, nil
}

// Pack gives the source for a file of rules of a pack.
func Pack(f detect.RuleFile) Source {
	return Source{Path: ".", Pack: &f}
}

// endings are those that files of rules have in a folder. A file that is named
// itself may have any.
var endings = []string{".yar", ".yara"}

// shared are endings that rules of other tools have too: such a file is read if there
// is a rule at its beginning.
var shared = []string{".rule", ".rules"}

// beginning is how much of such a file is looked at: some begin with a long licence.
const beginning = 64 << 10

var holdsRule = regexp.MustCompile(`(?m)^[ \t]*(?:(?:private|global)\s+)*rule\s+[A-Za-z_][A-Za-z0-9_]*\s*[:{]`)

// file is one file of rules as it was read, before compiling.
type file struct {
	source *Source
	path   string // in the source
	shown  string // in messages
	items  []parsed
	refuse *refusal // the whole file cannot be read
	// included is true for files that another one includes: their rules come with it.
	included bool
}

// parsed is an item of a file with what the parser made of it.
type parsed struct {
	item
	rule   *ast.Rule // of itemRule, unless refuse says why not
	sum    textKey   // of the text of a rule, however its lines end
	refuse *refusal
}

// refusal says why a rule or a file is not loaded.
type refusal struct {
	line int
	why  postern.Text
}

// loader reads the files of all sources.
type loader struct {
	files  []*file
	byPath map[*Source]map[string]*file
	names  []string // files that were named, or are rules by their names
	passed []string // files in folders that are not
	total  int64
}

// read reads every file of the sources, and what they include, and parses them.
func read(sources []Source) *loader {
	l := &loader{byPath: make(map[*Source]map[string]*file)}
	for i := range sources {
		s := &sources[i]
		l.byPath[s] = make(map[string]*file)
		names, passed := s.list(func(name string, err error) { l.bad(s, name, detect.Unreadable(err)) })
		for _, name := range names {
			l.add(s, name, 0)
			l.names = append(l.names, s.shown(name))
		}
		for _, name := range passed {
			if l.byPath[s][name] == nil { // some are there to be included
				l.passed = append(l.passed, s.shown(name))
			}
		}
	}
	l.parse()
	return l
}

// list gives the files of a source in the order of their names, and those of a folder
// that are no rules. Bad is told what cannot be looked at.
func (s *Source) list(bad func(name string, err error)) (names, passed []string) {
	if s.Pack != nil {
		return []string{"."}, nil
	}
	info, err := fs.Stat(s.FS, s.Path)
	if err != nil {
		bad(s.Path, err)
		return nil, nil
	}
	if !info.IsDir() {
		return []string{s.Path}, nil
	}
	err = fs.WalkDir(s.FS, s.Path, func(name string, d fs.DirEntry, err error) error {
		switch hidden := strings.HasPrefix(d.Name(), "."); {
		case err != nil:
			bad(name, err)
		case d.IsDir():
			if name != s.Path && (hidden || strings.Count(name, "/") >= maxFolders) {
				return fs.SkipDir
			}
		case s.isRules(name):
			names = append(names, name)
		case !hidden && d.Type().IsRegular():
			passed = append(passed, name)
		}
		return nil
	})
	if err != nil {
		bad(s.Path, err)
	}
	return names, passed
}

// isRules says of a file in a folder whether it is one of rules.
func (s *Source) isRules(name string) bool {
	ending := strings.ToLower(path.Ext(name))
	if !slices.Contains(shared, ending) {
		return slices.Contains(endings, ending)
	}
	if info, err := fs.Stat(s.FS, name); err != nil || !info.Mode().IsRegular() {
		return true // what is wrong with it is said when it is read
	}
	f, err := s.FS.Open(name)
	if err != nil {
		return true
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, beginning))
	return holdsRule.Match(detect.RuleText(b))
}

// Empty says whether there is nothing to load: no file of rules in the folder, or
// nothing in the files. What cannot be read is not nothing.
func (s *Source) Empty() bool {
	empty := true
	names, _ := s.list(func(string, error) { empty = false })
	for _, name := range names {
		src, why := new(loader).bytes(s, name)
		if !empty || !why.IsZero() || len(split(detect.RuleText(src))) > 0 {
			return false
		}
	}
	return empty
}

func (s *Source) shown(name string) string {
	switch {
	case s.Pack != nil:
		return s.Pack.Where
	case s.Name == "" || s.Name == ".":
		return name
	}
	return strings.TrimSuffix(s.Name, "/") + "/" + name
}

func (l *loader) bad(s *Source, name string, why postern.Text) {
	l.files = append(l.files, &file{source: s, path: name, shown: s.shown(name), refuse: &refusal{why: why}})
}

// add reads a file and those that it includes. A file that is there already is
// read once, however many include it.
func (l *loader) add(s *Source, name string, depth int) *file {
	if f := l.byPath[s][name]; f != nil {
		return f
	}
	f := &file{source: s, path: name, shown: s.shown(name), included: depth > 0}
	l.byPath[s][name] = f
	l.files = append(l.files, f)
	src, why := l.bytes(s, name)
	if !why.IsZero() {
		f.refuse = &refusal{why: why}
		return f
	}
	if s.Pack == nil {
		src = detect.RuleText(src)
	}
	items := split(src)
	rules := 0
	for _, it := range items {
		p := parsed{item: it}
		switch it.kind {
		case itemRule:
			p.sum = it.sum(src)
			if rules++; rules > maxRulesOfFile {
				p.refuse = &refusal{it.line, postern.Say("yara.too-many-rules", "max", maxRulesOfFile)}
			}
		case itemBroken:
			p.refuse = &refusal{it.line, postern.Say("yara.no-rule")}
		case itemInclude:
			p.refuse = l.include(s, f, it, depth)
		}
		f.items = append(f.items, p)
	}
	return f
}

// include reads an included file. Its name is relative to the including file, as in
// YARA; one that leads out of the folder that the user named is refused.
func (l *loader) include(s *Source, f *file, it item, depth int) *refusal {
	target, ok := includePath(f.path, it.name)
	switch {
	case s.Pack != nil:
		return &refusal{it.line, postern.Say("yara.include-pack")}
	case !ok:
		return &refusal{it.line, postern.Say("yara.include-outside", "file", it.name)}
	case depth+1 > maxIncludes:
		return &refusal{it.line, postern.Say("yara.include-depth", "max", maxIncludes)}
	}
	if _, err := fs.Stat(s.FS, target); errors.Is(err, fs.ErrNotExist) {
		return &refusal{it.line, postern.Say("yara.include-missing", "file", it.name)}
	}
	in := l.add(s, target, depth+1)
	in.included = true
	return nil
}

// includePath resolves the name of an included file; Windows and Unix separators
// are the same.
func includePath(from, name string) (string, bool) {
	name = strings.ReplaceAll(name, `\`, "/")
	name = strings.ReplaceAll(name, "//", "/")
	if path.IsAbs(name) || len(name) > 1 && name[1] == ':' {
		return "", false
	}
	target := path.Join(path.Dir(from), name)
	return target, fs.ValidPath(target) && target != "."
}

// bytes reads a file within the bounds.
func (l *loader) bytes(s *Source, name string) ([]byte, postern.Text) {
	if s.Pack != nil {
		return s.Pack.Text, postern.Text{}
	}
	if len(l.files) > maxFiles {
		return nil, postern.Say("yara.too-many-files", "max", maxFiles)
	}
	info, err := fs.Stat(s.FS, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, postern.Say("yara.no-file") // to open a pipe would wait for ever
	}
	in, err := s.FS.Open(name)
	if err != nil {
		return nil, detect.Unreadable(err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, detect.Unreadable(err)
	case len(b) > maxFileBytes:
		return nil, postern.Say("yara.file-too-large", "max", maxFileBytes)
	}
	if l.total += int64(len(b)); l.total > maxTotalBytes {
		return nil, postern.Say("yara.too-large", "max", maxTotalBytes)
	}
	return b, postern.Text{}
}

// parse parses all rules, several files at a time.
func (l *loader) parse() {
	work := make(chan *file)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for f := range work {
				f.parse()
			}
		})
	}
	for _, f := range l.files {
		work <- f
	}
	close(work)
	workers.Wait()
}

// parse parses the rules of a file: all at once, and if one of them is malformed,
// each alone.
func (f *file) parse() {
	var all strings.Builder
	line := 1
	var sound []*parsed
	for i := range f.items {
		p := &f.items[i]
		if p.kind != itemRule || p.refuse != nil {
			continue
		}
		for ; line < p.line; line++ {
			all.WriteByte('\n')
		}
		all.WriteString(p.text)
		line += strings.Count(p.text, "\n")
		sound = append(sound, p)
	}
	set, err := parseText(all.String())
	if err == nil && len(set.Rules) == len(sound) {
		for i, rule := range set.Rules {
			sound[i].rule = rule
		}
	} else {
		f.parseEach(sound)
	}
	for _, p := range sound {
		if p.rule != nil && p.refuse == nil {
			p.refuse = restore(p.rule, p.kept)
		}
		p.text, p.kept = "", nil // the tree has it all
	}
}

// parseEach parses one rule after the other. The parser wants the rules of a rule
// set to be there, so those before that a rule may speak of stand before it as
// stubs.
func (f *file) parseEach(rules []*parsed) {
	seen := make(map[string]int)
	for _, p := range rules {
		stubs := mentioned(p, seen)
		var text strings.Builder
		for _, name := range stubs {
			text.WriteString("rule " + name + "{condition:true} ")
		}
		text.WriteString(p.text)
		set, err := parseText(text.String())
		switch {
		case err != nil:
			p.refuse = refusalOf(err, p.line)
		case len(set.Rules) != len(stubs)+1:
			p.refuse = &refusal{p.line, postern.Say("yara.no-rule")}
		default:
			p.rule = set.Rules[len(stubs)]
			moveLines(p.rule, p.line-1)
		}
		seen[p.name] = len(seen)
	}
}

// mentioned gives the rules before a rule that its text may speak of, by name or by
// the beginning of a name with a star behind it.
func mentioned(p *parsed, seen map[string]int) []string {
	found := make(map[string]bool)
	for word := range names(p.text) {
		if _, ok := seen[word]; ok {
			found[word] = true
		}
	}
	for _, m := range starred.FindAllStringSubmatch(p.text, maxStars) {
		for name := range seen {
			if strings.HasPrefix(name, m[1]) {
				found[name] = true
			}
		}
	}
	delete(found, p.name)
	return slices.SortedFunc(maps.Keys(found), func(a, b string) int { return cmp.Compare(seen[a], seen[b]) })
}

// maxStars bounds what one rule may cost here; rule sets in use have three.
const maxStars = 16

var starred = regexp.MustCompile(`[(,]\s*([A-Za-z_][A-Za-z0-9_]*)\*`)

// moveLines makes the lines of a rule that was parsed alone those of its file.
func moveLines(r *ast.Rule, by int) {
	r.LineNo += by
	for _, s := range r.Strings {
		switch s := s.(type) {
		case *ast.TextString:
			s.LineNo += by
		case *ast.HexString:
			s.LineNo += by
		case *ast.RegexpString:
			s.LineNo += by
		}
	}
}

func refusalOf(err error, line int) *refusal {
	var at gyperror.Error
	if errors.As(err, &at) {
		if at.Line > 0 {
			line += at.Line - 1
		}
		if at.Code == gyperror.UnterminatedStringError || at.Code == gyperror.UnterminatedRegexError {
			line-- // the parser has read the end of the line by then
		}
		return &refusal{line, syntaxError(at)}
	}
	return &refusal{line, postern.Say("yara.syntax")}
}

// parseText is the parser, which is told to panic by nobody and yet might.
func parseText(text string) (set *ast.RuleSet, err error) {
	defer func() {
		if p := recover(); p != nil {
			set, err = nil, fmt.Errorf("the parser stopped: %v", p)
		}
	}()
	return gyp.ParseString(text)
}
