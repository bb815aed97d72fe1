// Package registry looks at hives of the Windows registry: where the product is
// installed, and what starts by itself that an administrator would not have set up. Input:
// the hives SOFTWARE, SYSTEM and NTUSER.DAT of a collection. Output: a fact of level 0 about
// the product, and findings about services, run keys and settings that intruders leave.
//
// A program in an odd folder is worth a look and no more: vendors put services there too.
// Level 6 takes a command line that no product has, such as a service that pipes a command
// into a named pipe, or a program that fetches code and runs it without showing a window.
// The build that the registry knows is that of the cumulative update and says nothing
// about security updates, so that it never decides whether a server is patched.
package registry

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/parse/regf"
)

// Bounds.
const (
	// maxHive is read into memory of a hive that does not lie as it is on disk: SOFTWARE
	// of a busy server has 150 MB.
	maxHive = 256 << 20
	// maxFindings of one hive: a server has some 300 services, and nothing here is about
	// more than a few.
	maxFindings = 500
	// maxCommand is kept of a command line.
	maxCommand = 1024
)

// Rule IDs of the findings.
const (
	ruleProduct  = "registry/product"
	ruleService  = "registry/service"
	ruleRun      = "registry/run"
	ruleDebugger = "registry/accessibility"
	ruleClear    = "registry/clear-text"
	rulePending  = "registry/pending"
)

// Rules lists what is looked for.
func Rules() []postern.Rule {
	return []postern.Rule{
		{ID: ruleProduct, Level: postern.NotSeen, Confidence: postern.High,
			Title: postern.Say("registry.product.title"), Means: postern.Say("registry.product.means")},
		{ID: ruleService, Level: postern.Probed, Confidence: postern.Low, Tags: []string{"attack.t1543.003"},
			Title: postern.Say("registry.service.title"), Means: postern.Say("registry.service.means")},
		{ID: ruleRun, Level: postern.Probed, Confidence: postern.Low, Tags: []string{"attack.t1547.001"},
			Title: postern.Say("registry.run.title"), Means: postern.Say("registry.run.means")},
		{ID: ruleDebugger, Level: postern.PostExploitation, Confidence: postern.Medium, Tags: []string{"attack.t1546.008"},
			Title: postern.Say("registry.accessibility.title"), Means: postern.Say("registry.accessibility.means")},
		{ID: ruleClear, Level: postern.Probed, Confidence: postern.Medium, Tags: []string{"attack.t1112"},
			Title: postern.Say("registry.clear-text.title"), Means: postern.Say("registry.clear-text.means")},
		{ID: rulePending, Level: postern.NotSeen, Confidence: postern.Medium,
			Title: postern.Say("registry.pending.title"), Means: postern.Say("registry.pending.means")},
	}
}

// Entities beside those that every room knows.
const (
	entityKey     = "registry_key"
	entityCommand = "command"
	entityService = "service"
	entityBuild   = "build"
)

// Detector reads hives. It does not change once made.
type Detector struct{ rules map[string]postern.Rule }

// New makes a detector.
func New() *Detector {
	d := &Detector{rules: make(map[string]postern.Rule)}
	for _, r := range Rules() {
		d.rules[r.ID] = r
	}
	return d
}

// Name says which kind of evidence the files are.
func (d *Detector) Name() string { return "registry" }

// part is what one hive, or one of its logs, says.
type part struct {
	path     string
	hive     string // lower case: "software"
	sequence uint32
	log      bool
	computer string // as SYSTEM says it
	findings []postern.Finding
}

// Computer gives the name that the server had, for evidence in which nothing else names it.
func (p *part) Computer() string { return p.computer }

// hiveOf gives the hive whose name, or whose log's name, a path ends with. It is asked of
// every file, so it is no expression.
func hiveOf(p string) (hive string, log, ok bool) {
	name := strings.ToLower(p[strings.LastIndexAny(p, `/\`)+1:])
	for _, ending := range []string{".log1", ".log2"} {
		if hive, log = strings.CutSuffix(name, ending); log {
			break
		}
	}
	return hive, log, hive == "software" || hive == "system" || hive == "ntuser.dat"
}

// Wants takes hives and their logs by their names.
func (d *Detector) Wants(f *detect.File) bool {
	_, _, ok := hiveOf(f.Server)
	return ok && f.Size != 0 && !strings.Contains(f.Server, "/regback/")
}

// Read takes from a hive what is worth saying.
func (d *Detector) Read(f *detect.File) (any, []postern.Problem, error) {
	hive, isLog, ok := hiveOf(f.Server)
	if !ok {
		return nil, nil, nil
	}
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	at, size, err := randomly(r, f.Size)
	if errors.Is(err, errLarge) {
		return nil, []postern.Problem{{Path: f.Path, What: postern.Limit, Detail: postern.Say("registry.large", "bound", maxHive>>20)}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	h, err := regf.Open(at, size)
	if errors.Is(err, regf.ErrNoHive) {
		if isLog { // one that was never written
			return nil, nil, nil
		}
		return nil, []postern.Problem{{Path: f.Path, What: postern.Malformed, Detail: postern.Say("registry.no-hive")}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	p := &part{path: f.Path, hive: hive, sequence: h.Sequence, log: isLog}
	if p.log {
		return p, nil, nil
	}
	l := &look{d: d, f: f, p: p}
	if h.Dirty {
		l.problem(postern.Truncated, postern.Say("registry.dirty"))
	}
	root, err := h.Root()
	if err != nil {
		l.failed(err)
		return p, l.problems, nil
	}
	switch p.hive {
	case "software":
		l.software(root)
	case "system":
		l.system(root)
	default:
		l.run(root, `Software\Microsoft\Windows\CurrentVersion`)
	}
	return p, l.problems, nil
}

var errLarge = errors.New("too large to be kept")

// randomly gives a reader at any place: the file itself where it lies as it is, else
// what it holds.
func randomly(r io.Reader, size int64) (io.ReaderAt, int64, error) {
	if at, ok := r.(interface {
		io.ReaderAt
		Size() int64
	}); ok {
		return at, at.Size(), nil
	}
	if size > maxHive {
		return nil, 0, errLarge
	}
	b, err := io.ReadAll(io.LimitReader(r, maxHive+1))
	if err != nil {
		return nil, 0, err
	}
	if len(b) > maxHive {
		return nil, 0, errLarge
	}
	return strings.NewReader(string(b)), int64(len(b)), nil
}

// Judge puts the hives of a host together: a log that is ahead of its hive holds changes
// that nobody has looked at.
func (d *Detector) Judge(parts []any) detect.Judgement {
	var j detect.Judgement
	sequence := make(map[string]uint32)
	for _, p := range parts {
		if p := p.(*part); !p.log {
			sequence[strings.ToLower(p.path)] = p.sequence
			j.Findings = append(j.Findings, p.findings...)
		}
	}
	for _, p := range parts {
		p := p.(*part)
		own, known := sequence[strings.ToLower(p.path[:max(len(p.path)-len(".LOG1"), 0)])]
		if !p.log || !known || p.sequence <= own {
			continue
		}
		at := postern.Evidence{Path: p.path}
		r := d.rules[rulePending]
		j.Findings = append(j.Findings, postern.Finding{ID: postern.FindingID(r.ID, at), Rule: r.ID, Level: r.Level, Confidence: r.Confidence,
			Title: r.Title, Explain: []postern.Text{r.Means}, Evidence: []postern.Evidence{at}})
	}
	return j
}

// look is one hive being looked at.
type look struct {
	d        *Detector
	f        *detect.File
	p        *part
	problems []postern.Problem
	told     bool
}

func (l *look) problem(what postern.ProblemKind, detail postern.Text) {
	l.problems = append(l.problems, postern.Problem{Path: l.f.Path, What: what, Detail: detail})
}

// failed says once that a part of the hive could not be read.
func (l *look) failed(err error) {
	if err == nil || l.told {
		return
	}
	l.told = true
	if errors.Is(err, regf.ErrLimit) {
		l.problem(postern.Limit, postern.Say("registry.bounds"))
		return
	}
	l.problem(postern.Malformed, postern.Say("registry.damaged", "reason", err.Error()))
}

// add keeps a finding about a key.
func (l *look) add(rule string, k regf.Key, name, command string, more ...postern.Text) *postern.Finding {
	if len(l.p.findings) == maxFindings {
		l.problem(postern.Limit, postern.Say("registry.many", "bound", maxFindings))
	}
	if len(l.p.findings) >= maxFindings {
		return &postern.Finding{}
	}
	r := l.d.rules[rule]
	command = command[:min(len(command), maxCommand)]
	at := postern.Evidence{Path: l.f.Path, Offset: k.Offset, Excerpt: strings.TrimSpace(name + " " + command)}
	f := postern.Finding{ID: postern.FindingID(rule+"/"+name, at), Rule: rule, Level: r.Level, Confidence: r.Confidence, Tags: append([]string(nil), r.Tags...),
		Title: r.Title, Explain: append([]postern.Text{r.Means}, more...), Time: k.Written, Evidence: []postern.Evidence{at}}
	f.Set(entityKey, name)
	f.Set(entityCommand, command)
	l.p.findings = append(l.p.findings, f)
	return &l.p.findings[len(l.p.findings)-1]
}

// sub gives a key, and books what went wrong on the way.
func (l *look) sub(k regf.Key, path string) (regf.Key, bool) {
	sub, ok, err := k.Sub(path)
	l.failed(err)
	return sub, ok
}

// software looks at the hive of installed programs.
func (l *look) software(root regf.Key) {
	for _, version := range []string{"v15", "v14"} {
		if k, ok := l.sub(root, `Microsoft\ExchangeServer\`+version+`\Setup`); ok {
			l.product(k, version)
		}
	}
	l.run(root, `Microsoft\Windows\CurrentVersion`)
	l.run(root, `WOW6432Node\Microsoft\Windows\CurrentVersion`)
	options, ok := l.sub(root, `Microsoft\Windows NT\CurrentVersion\Image File Execution Options`)
	if !ok {
		return
	}
	l.failed(options.Each(func(k regf.Key) bool {
		if helpers[strings.ToLower(k.Name)] {
			if command := k.Value("Debugger").Text(); command != "" {
				l.add(ruleDebugger, k, k.Name, command)
			}
		}
		return true
	}))
}

// computer is a name that Windows gives a computer.
var computer = regexp.MustCompile(`^[\pL\pN_-]{1,63}$`)

// helpers are the programs of the logon screen that start before anybody has signed in.
var helpers = map[string]bool{"sethc.exe": true, "utilman.exe": true, "osk.exe": true, "magnify.exe": true, "narrator.exe": true, "displayswitch.exe": true, "atbroker.exe": true}

// product says where the product is installed, and which cumulative update.
func (l *look) product(k regf.Key, version string) {
	var numbers []string
	for _, name := range []string{"MsiProductMajor", "MsiProductMinor", "MsiBuildMajor", "MsiBuildMinor"} {
		if n, ok := k.Value(name).Uint(); ok {
			numbers = append(numbers, fmt.Sprint(n))
		}
	}
	install, build := k.Value("MsiInstallPath").Text(), ""
	if len(numbers) == 4 {
		build = strings.Join(numbers, ".")
	}
	if install == "" && build == "" {
		return
	}
	f := l.add(ruleProduct, k, `Microsoft\ExchangeServer\`+version+`\Setup`, "", postern.Say("registry.product.is", "build", build, "path", install))
	f.Set(postern.File, install)
	f.Set(entityBuild, build)
}

// run looks at what starts when somebody signs in.
func (l *look) run(root regf.Key, at string) {
	for _, name := range []string{"Run", "RunOnce", "RunServices", `Policies\Explorer\Run`} {
		k, ok := l.sub(root, at+`\`+name)
		if !ok {
			continue
		}
		values, err := k.Values()
		l.failed(err)
		for _, v := range values {
			l.command(ruleRun, k, at+`\`+name+`\`+v.Name, v.Text())
		}
	}
}

// system looks at the hive of services.
func (l *look) system(root regf.Key) {
	current := uint64(1)
	if k, ok := l.sub(root, "Select"); ok {
		if n, ok := k.Value("Current").Uint(); ok && n > 0 && n < 1000 {
			current = n
		}
	}
	set := fmt.Sprintf("ControlSet%03d", current)
	if k, ok := l.sub(root, set+`\Control\ComputerName\ComputerName`); ok {
		if name := k.Value("ComputerName").Text(); computer.MatchString(name) {
			l.p.computer = name
		}
	}
	if k, ok := l.sub(root, set+`\Control\SecurityProviders\WDigest`); ok {
		if n, ok := k.Value("UseLogonCredential").Uint(); ok && n == 1 {
			l.add(ruleClear, k, set+`\Control\SecurityProviders\WDigest\UseLogonCredential`, "")
		}
	}
	services, ok := l.sub(root, set+`\Services`)
	if !ok {
		return
	}
	l.failed(services.Each(func(k regf.Key) bool {
		values, err := k.Values()
		l.failed(err)
		for _, v := range values {
			if strings.EqualFold(v.Name, "ImagePath") {
				l.service(k, k, v.Text())
			}
		}
		if p, ok, _ := k.Sub("Parameters"); ok {
			if dll := p.Value("ServiceDll").Text(); dll != "" {
				l.service(k, p, dll)
			}
		}
		return true
	}))
}

func (l *look) service(k, at regf.Key, command string) {
	if f := l.command(ruleService, at, `Services\`+k.Name, command); f != nil {
		f.Set(entityService, k.Name)
	}
}

// Command lines that no product has. Each is written so that no scanner takes this file
// for what it looks for.
var commands = []struct {
	shape *regexp.Regexp
	why   string
}{
	{regexp.MustCompile(`(?i)\becho\b.*>\s*\\\\\.\\pipe\\`), "registry.why.pipe"},
	{regexp.MustCompile(`(?i)(%comspec%|\bcmd(\.exe)?"?)\s.*>\s*\\\\(127\.0\.0\.1|localhost)\\[a-z]+\$`), "registry.why.remote"},
	{regexp.MustCompile(`(?i)\bpower[s]hell(\.exe)?"?\s.*-e[a-z]*\s+"?[a-z0-9+/=]{60,}`), "registry.why.encoded"},
	{regexp.MustCompile(`(?i)\bpower[s]hell(\.exe)?"?\s.*(download[s]tring|download[d]ata|frombase64[s]tring)`), "registry.why.fetches"},
	{regexp.MustCompile(`(?i)\bm[s]hta(\.exe)?"?\s+"?(https?:|javascript:|vbscript:)`), "registry.why.fetches"},
	{regexp.MustCompile(`(?i)\bregsvr32(\.exe)?"?\s.*/i:"?https?:`), "registry.why.fetches"},
	{regexp.MustCompile(`(?i)\brundll32(\.exe)?"?\s+"?javascript:`), "registry.why.fetches"},
}

// odd are folders that programs are started from by nobody who installs them.
var odd = regexp.MustCompile(`(?i)^"?(\\\?\?\\)?([a-z]:|%[a-z]+%)?\\?(users\\public\\|windows\\temp\\|perflogs\\|\$recycle\.bin\\|inetpub\\wwwroot\\|programdata\\[^\\]+$|temp\\)|\\appdata\\local\\temp\\|frontend\\httpproxy\\.*\\auth\\`)

// command judges what a key starts. Nil is nothing worth a word.
func (l *look) command(rule string, k regf.Key, name, command string) *postern.Finding {
	for _, c := range commands {
		if c.shape.MatchString(command) {
			// catalogue: registry.why.*
			f := l.add(rule, k, name, command, postern.Say(c.why))
			f.Level, f.Confidence = postern.PostExploitation, postern.Medium
			return f
		}
	}
	if odd.MatchString(command) {
		return l.add(rule, k, name, command, postern.Say("registry.why.folder"))
	}
	return nil
}
