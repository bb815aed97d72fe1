// Package iisconfig looks at the configuration of IIS for what an intruder leaves
// there to come back, and for the mitigations that an administrator put in.
//
// Input: what parse/iisconfig read, and a [Knowledge] of plain values: the stock
// layout of the product and the mitigations of the campaigns. It imports that leaf
// of parse, the stage before it, as the reader of its own format.
// Output: findings for persistence (virtual directories, native modules, ISAPI filters,
// handlers, code in configuration), facts of level 0, the state of each mitigation,
// and the folders in which a server logs.
//
// A single file tells little: whether a rewrite rule helps depends on the site it
// stands in, on the modules that IIS loads and on the rules before it, and the same
// back door stands in every copy of the history. So a caller that has all files of a
// host reads each with [Detector.Read] and asks once for [Detector.Findings],
// [Detector.Mitigations] and [Detector.LogFolders]. [Detector.Look] is for one file
// alone and leaves out what needs others.
package iisconfig

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse/iisconfig"
)

// Detector knows what to look for. It keeps nothing of what it has seen and may
// be used by several goroutines at once.
type Detector struct {
	k       Knowledge
	known   []knownFolder
	install string              // canonical, "" if not given
	stock   map[string][]string // address in lower case → canonical folders, of all sites
	front   map[string][]string // the same of the site that clients talk to
	modules []string            // canonical files
	filters []string
	rules   map[string]postern.Rule
}

type knownFolder struct {
	folder string
	postern.Indicator
}

// The two folders of the product whose sites are told apart by them.
const (
	frontFolder = product + "/frontend"
	backFolder  = product + "/clientaccess"
)

// New makes a detector.
func New(k Knowledge) *Detector {
	d := &Detector{k: k, install: strings.TrimSuffix(canonical(k.InstallPath, ""), "/"), rules: make(map[string]postern.Rule)}
	for _, i := range slices.Concat(k.Indicators, k.KnownFolders) {
		if folder := canonical(i.Value, ""); i.Kind == postern.IndicatorPath && folder != "" && folder != "/" {
			d.known = append(d.known, knownFolder{folder, i})
		}
	}
	d.stock, d.front = make(map[string][]string), make(map[string][]string)
	for _, s := range k.Sites {
		all := append([]Application{{"/", s.Folder}}, s.Applications...)
		clients := slices.ContainsFunc(all, func(a Application) bool { return under(layout(a.Folder), frontFolder) })
		for _, a := range all {
			at, folder := strings.ToLower(address(a.Path, "")), layout(a.Folder)
			d.stock[at] = append(d.stock[at], folder)
			if clients {
				d.front[at] = append(d.front[at], folder)
			}
		}
	}
	for _, m := range k.Modules {
		d.modules = append(d.modules, layout(m))
	}
	for _, f := range k.Filters {
		d.filters = append(d.filters, layout(f))
	}
	for _, r := range Rules() {
		d.rules[r.ID] = r
	}
	return d
}

// Config is one configuration file of a host.
type Config struct {
	Path    string // in the evidence
	Server  string // see [detect.File]
	ModTime time.Time
	// Copy is the number of the history copy that it is; 0 is the file in force.
	Copy int
	// Lost says that this is no file but a place that was not looked at: see [Lost].
	Lost bool
	*iisconfig.File
}

// names are the files that IIS and ASP.NET read.
var names = map[string]bool{
	"applicationhost.config": true, "web.config": true, "machine.config": true, "redirection.config": true,
}

// Wants takes configuration files by their name.
func (d *Detector) Wants(f *detect.File) bool {
	return names[strings.ToLower(path.Base(strings.ReplaceAll(f.Path, `\`, "/")))]
}

var copyNumber = regexp.MustCompile(`(?i)(?:^|/)cfghistory_(\d{1,18})/`)

// Read reads one file of a host. The error is one of reading; the Config then
// holds what was read before it.
func (d *Detector) Read(f *detect.File) (*Config, []postern.Problem, error) {
	c := Unread(f)
	r, err := f.Open()
	if err != nil {
		return c, nil, fmt.Errorf("open %s: %w", f.Path, err)
	}
	defer r.Close()
	c.File, err = iisconfig.Read(r, f.Path)
	return c, c.Problems, err
}

// Unread is a file that is there and that nobody could read: what it says is not known.
func Unread(f *detect.File) *Config {
	c := &Config{Path: f.Path, Server: f.Server, ModTime: f.ModTime, File: &iisconfig.File{}}
	if m := copyNumber.FindStringSubmatch(strings.ReplaceAll(f.Path, `\`, "/")); m != nil {
		c.Copy, _ = strconv.Atoi(m[1])
		c.Copy = max(c.Copy, 1) // whatever its number, it is not the file in force
	}
	return c
}

// Lost is a place, a file or a folder, that could not be looked at: what lies there is not
// known. An empty Server stands for all of the server.
func Lost(f *detect.File) *Config {
	return &Config{Path: f.Path, Server: f.Server, Lost: true, File: &iisconfig.File{}}
}

// mayHold says whether the web.config of a folder (canonical) may lie in a lost place.
// Where the place is on the server can be unknown, so that what it ends in is enough.
func (c *Config) mayHold(folder, install string) bool {
	if c.Server == "" {
		return true
	}
	files := []string{strings.Trim(strings.TrimPrefix(folder, product), "/") + "/web.config"}
	if rel, ok := strings.CutPrefix(folder, product); ok && install != "" {
		files = append(files, strings.Trim(install, "/")+rel+"/web.config")
	}
	for _, place := range []string{c.Server, strings.ToLower(strings.ReplaceAll(c.Path, `\`, "/"))} {
		for below := true; below; _, place, below = strings.Cut(place, "/") {
			letter := strings.TrimSuffix(place, ":")
			isDrive := len(letter) == 1 && letter >= "a" && letter <= "z"
			if isDrive || slices.ContainsFunc(files, func(f string) bool { return under(f, place) }) {
				return true
			}
		}
	}
	return false
}

// Look reads one file and says what can be said of it alone.
func (d *Detector) Look(f *detect.File) ([]postern.Finding, []postern.Problem, error) {
	c, problems, err := d.Read(f)
	if c == nil {
		return nil, problems, err
	}
	return d.Findings(c), problems, err
}

// base is the name of the file in lower case.
func (c *Config) base() string {
	return strings.ToLower(path.Base(strings.ReplaceAll(c.Path, `\`, "/")))
}

// serves says whether the file is the web.config of a folder (canonical), and
// whether that is sure: a copy in some other folder has the same end of its path.
func (c *Config) serves(folder string) (may, sure bool) {
	rel := strings.TrimPrefix(strings.TrimPrefix(folder, product), "/")
	if c.base() != "web.config" || rel == "" {
		return false, false
	}
	want := rel + "/web.config"
	p := strings.ToLower(strings.ReplaceAll(c.Path, `\`, "/"))
	if strings.EqualFold(c.Server, want) || p == want {
		return true, true
	}
	return strings.HasSuffix(p, "/"+want), false
}

// evidence points at an element of the file.
func (c *Config) evidence(p iisconfig.Pos) postern.Evidence {
	return postern.Evidence{Path: c.Path, Line: p.Line, Offset: p.Offset, SHA256: c.SHA256, Excerpt: p.Source}
}
