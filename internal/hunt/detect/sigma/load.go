package sigma

import (
	"errors"
	"io/fs"
	gopath "path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"postern"
	"postern/internal/hunt/detect"
)

// Bounds of loading a collection. SigmaHQ has 3,900 files of 5 KB.
const (
	maxFiles      = 20_000
	maxFileBytes  = 4 << 20
	maxTotalBytes = 256 << 20
	// maxFolders is how deep a folder of rules may be.
	maxFolders = 32
)

// Source is one file or folder of rules that a user named.
type Source struct {
	FS   fs.FS
	Path string // the file or folder in FS, "." for all of it
	Name string // stands before the paths of FS in messages, "" for nothing
}

// Loaded is a rule of a file: one over events, or a correlation.
type Loaded struct {
	Src         []byte
	File        string
	Line        int // lines of the file before it
	Rule        *Rule
	Correlation *Correlation // instead of Rule

	Copies int // how often the very same rule is there once more

	id   string   // by which it is known in this run
	also []string // files that hold copies of it
}

// Report says what was loaded, and what not and why.
type Report struct {
	Files       int
	Rules       int
	Loaded      int // with copies
	Unsupported []Unsupported
	Remarks     []Unsupported // what is not understood of rules that are loaded
	Again       []Again
	Read        []string // the files that were named or are rules by their names
	Passed      []string // files in the folders that are not
}

// Unsupported is a rule that was not loaded, or a whole file.
type Unsupported struct {
	File string
	Rule string // title, "" for a file
	Line int    // 0 where the whole is meant
	Why  postern.Text
}

// Load reads and compiles rules. Correlations whose rules are not there are not
// loaded; what is left of the others takes no harm. Documents are compiled by several
// goroutines; rules and report are in the order of the files all the same.
func Load(sources []Source) ([]Loaded, *Report) {
	l := &loader{}
	for _, s := range sources {
		l.source(s)
	}
	var workers sync.WaitGroup
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), len(l.found)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(l.found)); i = next.Add(1) - 1 {
				if f := &l.found[i]; f.refused == nil {
					f.compile()
				}
			}
		})
	}
	workers.Wait()
	for i := range l.found {
		if f := &l.found[i]; f.refused != nil {
			l.report.Unsupported = append(l.report.Unsupported, *f.refused)
		} else {
			l.rules = append(l.rules, f.loaded)
		}
	}
	l.resolve()
	return l.rules, &l.report
}

type loader struct {
	found  []found // in the order of the files
	rules  []Loaded
	report Report
	total  int
}

// found is a document, or why there is none.
type found struct {
	doc     Document
	loaded  Loaded
	refused *Unsupported
}

func (l *loader) refuse(file, rule string, line int, why postern.Text) {
	l.found = append(l.found, found{refused: &Unsupported{File: file, Rule: rule, Line: line, Why: why}})
}

func (l *loader) source(s Source) {
	names, passed := s.list(func(name string, err error) {
		l.refuse(gopath.Join(s.Name, name), "", 0, detect.Unreadable(err))
	})
	for _, name := range names {
		l.file(s, name)
		l.report.Read = append(l.report.Read, gopath.Join(s.Name, name))
	}
	for _, name := range passed {
		l.report.Passed = append(l.report.Passed, gopath.Join(s.Name, name))
	}
}

// endings are those that files of rules have in a folder. A file that is named itself may
// have any.
var endings = []string{".yml", ".yaml"}

// list gives the files of a source in the order of their names, and those of a folder
// that are no rules. Bad is told what cannot be looked at.
func (s Source) list(bad func(name string, err error)) (names, passed []string) {
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
		case slices.Contains(endings, strings.ToLower(gopath.Ext(name))):
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

// Empty says whether there is no file of rules in the folder. What cannot be read is not
// nothing.
func (s Source) Empty() bool {
	empty := true
	names, _ := s.list(func(string, error) { empty = false })
	return empty && len(names) == 0
}

func (l *loader) file(s Source, name string) {
	shown := gopath.Join(s.Name, name)
	l.report.Files++
	if l.report.Files > maxFiles {
		if l.report.Files == maxFiles+1 {
			l.refuse(shown, "", 0, postern.Say("sigma.many-files", "bound", maxFiles))
		}
		return
	}
	info, err := fs.Stat(s.FS, name)
	if err == nil && !info.Mode().IsRegular() {
		l.refuse(shown, "", 0, postern.Say("sigma.no-file"))
		return
	}
	if err == nil && (info.Size() > maxFileBytes || int64(l.total)+info.Size() > maxTotalBytes) {
		l.refuse(shown, "", 0, postern.Say("sigma.large-file", "bound", maxFileBytes>>20, "total", maxTotalBytes>>20))
		return
	}
	var src []byte
	if err == nil {
		src, err = fs.ReadFile(s.FS, name)
	}
	if err != nil {
		l.refuse(shown, "", 0, detect.Unreadable(err))
		return
	}
	l.total += len(src)
	docs := Split(detect.RuleText(src))
	if !slices.ContainsFunc(docs, func(d Document) bool { return isRule.Match(d.Src) }) && !l.recognise(shown, docs) {
		return
	}
	for _, d := range docs {
		l.report.Rules++
		l.found = append(l.found, found{doc: d, loaded: Loaded{Src: d.Src, File: shown, Line: d.Line}})
	}
}

// recognise looks more closely at a file in which no line begins like one of a rule: it may
// be written as JSON is, or broken before such a line.
func (l *loader) recognise(shown string, docs []Document) bool {
	for i := range docs {
		d := &docs[i]
		doc, err := readDocument(d.Src)
		var said *Error
		if errors.As(err, &said) && strings.HasPrefix(said.Reason.Key, "sigma.yaml") {
			l.refuse(shown, titleOf(d.Src), d.Line+said.Line, said.Reason)
			return false
		}
		if err != nil {
			continue
		}
		if d.Correlation = valueOf(doc, "correlation") != nil; d.Correlation || valueOf(doc, "detection") != nil || valueOf(doc, "logsource") != nil {
			return true
		}
	}
	l.refuse(shown, "", 0, postern.Say("sigma.no-rule"))
	return false
}

var (
	isRule = regexp.MustCompile(`(?m)^(detection|correlation|logsource)[ \t]*:`)
	title  = regexp.MustCompile(`(?m)^title[ \t]*:[ \t]*["']?([^\r\n"']*)`)
)

// compile compiles the document, or says why that cannot be.
func (f *found) compile() {
	var err error
	if f.doc.Correlation {
		f.loaded.Correlation, err = CompileCorrelation(f.doc.Src)
	} else {
		f.loaded.Rule, err = Compile(f.doc.Src, nil)
	}
	if err == nil {
		return
	}
	f.refused = &Unsupported{File: f.loaded.File, Rule: titleOf(f.doc.Src), Why: postern.Say("sigma.yaml")}
	var said *Error
	if errors.As(err, &said) {
		f.refused.Why = said.Reason
		if said.Line > 0 {
			f.refused.Line = said.Line + f.doc.Line
		}
	}
}

// titleOf gives what a document that cannot be read calls itself.
func titleOf(src []byte) string {
	if m := title.FindSubmatch(src); m != nil {
		return strings.TrimSpace(string(m[1]))
	}
	return ""
}

// resolve finds the rules that correlations name, and drops those that have lost one.
func (l *loader) resolve() {
	l.tell()
	// What a correlation says is looked up once: from then on it has IDs, which can be
	// the names that the rules of its own file give themselves.
	n, left := namesOf(l.rules), (map[string]string)(nil)
	for {
		before := len(l.rules)
		l.rules = slices.DeleteFunc(l.rules, func(r Loaded) bool {
			if r.Correlation == nil {
				return false
			}
			ids := left
			if ids == nil {
				ids = n.seenBy(&r)
			}
			dangling := r.Correlation.Resolve(ids)
			if len(dangling) == 0 {
				return false
			}
			l.report.Unsupported = append(l.report.Unsupported, Unsupported{File: r.File, Rule: r.Correlation.Title, Line: r.Line + 1,
				Why: postern.Say("sigma.dangling", "rule", dangling[0])})
			return true
		})
		if len(l.rules) == before {
			break
		}
		left = make(map[string]string, len(l.rules))
		for i := range l.rules {
			left[l.rules[i].id] = l.rules[i].id
		}
	}
	l.renamed()
	for i := range l.rules {
		l.report.Loaded += 1 + l.rules[i].Copies
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
