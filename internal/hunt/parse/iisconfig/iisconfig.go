// Package iisconfig reads the XML configuration of IIS and ASP.NET:
// applicationHost.config, the copies of it under inetpub/history/CFGHISTORY_*,
// web.config, machine.config and redirection.config.
//
// Input: bytes from anywhere, UTF-8, UTF-16 or Windows-1252, whole, cut or not even
// XML. Output: a [File], a plain model of the few sections that say what a server
// serves, which code it loads and which requests it refuses, each element with its
// line and its offset in the decoded text. Entities and DTDs are never expanded
// and nothing outside the file is opened. What could not be read is a
// [postern.Problem] with its line; the rest is read all the same.
//
// The format is that of the schema files which Microsoft ships with IIS
// (%windir%\System32\inetsrv\config\schema\IIS_schema.xml, rewrite_schema.xml) and
// of the .NET configuration schema. docs/formats/iis-config.md says what is kept.
//
// The detector of this format reads it through this package: parse is the stage
// before detect, so a leaf of detect may import the leaf of parse of the same
// format, never the other way round.
package iisconfig

import "postern"

// Bounds of the reader.
const (
	// MaxBytes is read of one file. The largest real ones, SharedWebConfig.config,
	// have 1.8 MB, an applicationHost.config under 200 KB; as UTF-16 that doubles.
	MaxBytes = 8 << 20
	// MaxDepth is how deep elements may be nested. Real files stay under 12.
	MaxDepth = 128
	// MaxElements bounds the time spent on one file. Real files stay under 40,000.
	MaxElements = 500_000
	// MaxKept bounds the elements in the model. Real files have under 1,000.
	MaxKept = 20_000
	// MaxTag is how long one tag may be. Real ones stay under 2 KB; each attribute
	// of a tag costs the reader up to thirty times its length.
	MaxTag = 128 << 10
	// MaxAttributes is looked at of one element. Real ones have under 20.
	MaxAttributes = 256
	// MaxValue is kept of one attribute. A Windows path has at most 32,767 characters,
	// those of IIS at most 260.
	MaxValue = 8 << 10
	// maxSource is kept of a start tag for reports.
	maxSource = 400
	// maxName is kept of an element's name; those that matter are shorter.
	maxName = 80
	// maxProblems is named of one file; the first ones tell where it began.
	maxProblems = 16
	// maxCode is how many places with code in them are kept.
	maxCode = 16
)

// Pos is where an element stands.
type Pos struct {
	Line   int64  // 1-based
	Offset int64  // byte of its '<' in the decoded text, without byte order mark
	Source string // the start tag as written, cut, keys and passwords hidden
}

// Scope is the part of the address space that an element speaks about.
type Scope struct {
	// Location is the path of the enclosing <location>, "" outside of one: a site's
	// name and a path in applicationHost.config, a path below itself in a web.config.
	Location string
	// NotInChildren says inheritInChildApplications="false": applications below
	// the place, such as /owa below a site, do not see the element.
	NotInChildren bool
}

// Op is what an element does to the collection that is inherited from above.
type Op string

// The three operations of a configuration collection.
const (
	Add    Op = "add"
	Remove Op = "remove"
	Clear  Op = "clear"
)

// File is one configuration file.
type File struct {
	Size   int64
	SHA256 string // of the bytes as read; "" if they were more than MaxBytes or reading failed
	// WellFormed is false if IIS would refuse the file: then nothing in it is in force.
	WellFormed bool
	// Whole is false if the file goes on after what was read.
	Whole bool

	Sites         []Site
	SiteDefaults  LogFile
	CentralLog    CentralLog
	Pools         []Pool
	PoolDefaults  Pool
	GlobalModules []Module
	Modules       []Module
	Handlers      []Handler
	Builders      []Builder
	Filters       []Filter
	Rules         []Rule
	MachineKeys   []MachineKey
	Redirects     []Redirect
	Logging       []Logging
	Policies      []Policy
	Filtering     []Filtering
	FilterRules   []FilterRule
	External      []External
	Elsewhere     Elsewhere
	// Code is where the file holds server-side code, which configuration never does.
	Code []Pos

	Problems []postern.Problem
}

// IsApplicationHost says by its content whether the file configures a whole server.
func (f *File) IsApplicationHost() bool { return len(f.Sites) > 0 || len(f.GlobalModules) > 0 }

// Site is one web site.
type Site struct {
	Pos
	Name         string
	ID           string
	Bindings     []string // "https *:444:"
	LogFile      LogFile
	Applications []Application
}

// LogFile is where the requests of a site are logged.
type LogFile struct {
	Pos
	Directory string // "" where nothing is said
	Format    string
	Disabled  bool // enabled="false"
}

// CentralLog is one log for all sites.
type CentralLog struct {
	Pos
	Mode      string // Site, CentralBinary, CentralW3C; "" is Site
	W3C       string // directory
	BinaryDir string
}

// Application is one application of a site.
type Application struct {
	Pos
	Path        string
	Pool        string
	Directories []Directory
}

// Directory is one virtual directory of an application.
type Directory struct {
	Pos
	Path         string
	PhysicalPath string
}

// Pool is one application pool. Whether it runs is not in the configuration, only
// whether IIS starts it by itself.
type Pool struct {
	Pos
	Name      string
	AutoStart string // as written; "" means the default, true
	StartMode string // as written; "" means the default, OnDemand
}

// Module is one native (Image) or managed (Type) module.
type Module struct {
	Pos
	Scope
	Op          Op
	Name, Image string
	Type        string
}

// Handler says what answers requests for a path.
type Handler struct {
	Pos
	Scope
	Op                             Op
	Name, Path, Verb               string
	Type, Modules, ScriptProcessor string
}

// Builder says what compiles files of an extension.
type Builder struct {
	Pos
	Scope
	Op              Op
	Extension, Type string
}

// Filter is one ISAPI filter.
type Filter struct {
	Pos
	Scope
	Op         Op
	Name, Path string
	Disabled   bool
}

// Rule is one inbound rule of the URL Rewrite module, or what takes rules away.
type Rule struct {
	Pos
	Scope
	Op             Op
	Global         bool // of globalRules, which run for every site before its own
	Name           string
	Disabled       bool
	StopProcessing bool
	PatternSyntax  string // ECMAScript (the default), Wildcard or ExactMatch
	Match          Match
	// MatchAny is logicalGrouping="MatchAny"; otherwise all conditions must hold.
	MatchAny         bool
	TrackAllCaptures bool
	Conditions       []Condition
	Action           Action
}

// Match is the pattern for the path of a request, without its first slash.
type Match struct {
	URL         string
	Negate      bool
	CaseMatters bool // ignoreCase="false"
}

// Condition is one further test of a rule.
type Condition struct {
	Pos
	Input, Pattern string
	MatchType      string // "" or Pattern, IsFile, IsDirectory
	Negate         bool
	CaseMatters    bool // ignoreCase="false"
}

// Action is what a rule does.
type Action struct {
	Pos
	Type       string // None (the default), Rewrite, Redirect, CustomResponse, AbortRequest
	URL        string
	StatusCode string
}

// MachineKey says which keys sign and encrypt view state and tickets. The keys
// themselves are not kept.
type MachineKey struct {
	Pos
	Scope
	// Fixed says that a key is written down instead of made by the server.
	Fixed bool
	// Fingerprint is the SHA-256 of the upper-case validation key: enough to see
	// that two servers share one or that it is a published one.
	Fingerprint string
}

// Redirect is an httpRedirect element.
type Redirect struct {
	Pos
	Scope
	Enabled     bool
	Destination string
}

// Logging is an httpLogging element.
type Logging struct {
	Pos
	Scope
	DontLog   bool
	Selective string // LogAll, LogSuccessful, LogError; "" is LogAll
}

// Policy is what the handlers of a place may do.
type Policy struct {
	Pos
	Scope
	Access string // accessPolicy as written: "Read, Script", "None"
}

// Filtering is one entry of the request filter.
type Filtering struct {
	Pos
	Scope
	Op      Op
	List    string // hiddenSegments, denyUrlSequences, denyQueryStringSequences or fileExtensions
	Value   string
	Allowed bool
}

// FilterRule is one rule of the request filter, or what takes rules away.
type FilterRule struct {
	Pos
	Scope
	Op         Op
	Name       string
	URL, Query bool     // which parts of a request are searched
	Extensions []string // it applies to; all if there is none
	Deny       []string // texts that are refused
}

// External is a section that stands in another file.
type External struct {
	Pos
	Scope
	Section, Source string
}

// Elsewhere is what redirection.config says: the configuration in force is in
// another folder, often on another machine.
type Elsewhere struct {
	Pos
	Enabled bool
	Path    string
}
