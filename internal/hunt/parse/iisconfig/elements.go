package iisconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"slices"
	"strings"
)

// element is one start tag.
type element struct {
	name    string
	attr    []xml.Attr
	at, end int // in the text
}

// get gives the value of an attribute, cut at the bound, "" if it is not there.
func (e element) get(name string) string {
	for _, a := range e.attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return cut(a.Value, MaxValue)
		}
	}
	return ""
}

// is says whether an attribute has one of the two boolean values.
func (e element) is(name string, value bool) bool {
	v := strings.TrimSpace(e.get(name))
	if value {
		return strings.EqualFold(v, "true") || v == "1"
	}
	return strings.EqualFold(v, "false") || v == "0"
}

// start takes one start tag into the model. The stack holds its ancestors.
func (r *reader) start(e element) {
	f := r.file
	if from := e.get("configSource"); from != "" {
		f.External = append(f.External, External{r.keep(e), r.scope(), e.name, from})
	}
	switch e.name {
	case "location":
		outer := r.scope()
		r.scopes = append(r.scopes, Scope{
			Location:      e.get("path"),
			NotInChildren: outer.NotInChildren || e.is("inheritInChildApplications", false),
		})
		r.scopedAt = append(r.scopedAt, len(r.stack))
		return
	case "configurationRedirection":
		f.Elsewhere = Elsewhere{r.keep(e), e.is("enabled", true), e.get("path")}
		return
	case "applicationPoolDefaults":
		f.PoolDefaults = r.pool(e)
		return
	}
	switch {
	case e.name == "log" && r.in("system.applicationHost"):
		f.CentralLog.Mode = e.get("centralLogFileMode")
	case r.in("sites"), r.in("site"), r.in("siteDefaults"), r.in("application"), r.in("bindings"), r.in("log"):
		r.site(e)
	case r.in("applicationPools") && e.name == "add":
		f.Pools = append(f.Pools, r.pool(e))
	case r.in("system.webServer"):
		r.webServer(e)
	case r.in("system.web"):
		if e.name == "machineKey" {
			f.MachineKeys = append(f.MachineKeys, r.machineKey(e))
		}
	case r.in("rewrite", "rules"), r.in("rewrite", "globalRules"), r.in("rule"), r.in("rule", "conditions"):
		r.rule(e)
	default:
		r.collection(e)
	}
}

func (r *reader) site(e element) {
	f := r.file
	switch {
	case e.name == "site" && r.in("sites"):
		f.Sites = append(f.Sites, Site{Pos: r.keep(e), Name: e.get("name"), ID: e.get("id")})
		return
	case e.name == "logFile" && r.in("siteDefaults"):
		f.SiteDefaults = r.logFile(e)
		return
	case e.name == "centralW3CLogFile" && r.in("log"):
		f.CentralLog.Pos, f.CentralLog.W3C = r.keep(e), e.get("directory")
		return
	case e.name == "centralBinaryLogFile" && r.in("log"):
		f.CentralLog.BinaryDir = e.get("directory")
		return
	case len(f.Sites) == 0:
		return
	}
	site := &f.Sites[len(f.Sites)-1]
	switch {
	case e.name == "logFile" && r.in("site"):
		site.LogFile = r.logFile(e)
	case e.name == "binding" && r.in("bindings"):
		r.keep(e)
		site.Bindings = append(site.Bindings, e.get("protocol")+" "+e.get("bindingInformation"))
	case e.name == "application" && r.in("site"):
		site.Applications = append(site.Applications, Application{Pos: r.keep(e), Path: e.get("path"), Pool: e.get("applicationPool")})
	case e.name == "virtualDirectory" && r.in("application") && len(site.Applications) > 0:
		app := &site.Applications[len(site.Applications)-1]
		app.Directories = append(app.Directories, Directory{r.keep(e), e.get("path"), e.get("physicalPath")})
	}
}

func (r *reader) logFile(e element) LogFile {
	return LogFile{r.keep(e), e.get("directory"), e.get("logFormat"), e.is("enabled", false)}
}

func (r *reader) pool(e element) Pool {
	return Pool{r.keep(e), e.get("name"), e.get("autoStart"), e.get("startMode")}
}

func (r *reader) webServer(e element) {
	f := r.file
	switch e.name {
	case "httpRedirect":
		f.Redirects = append(f.Redirects, Redirect{r.keep(e), r.scope(), e.is("enabled", true), e.get("destination")})
	case "httpLogging":
		f.Logging = append(f.Logging, Logging{r.keep(e), r.scope(), e.is("dontLog", true), e.get("selectiveLogging")})
	case "handlers":
		if access := e.get("accessPolicy"); access != "" {
			f.Policies = append(f.Policies, Policy{r.keep(e), r.scope(), access})
		}
	}
}

// collection takes the entries of the lists of modules, handlers and the like.
func (r *reader) collection(e element) {
	f := r.file
	op := Op(e.name)
	if e.name == "filter" || e.name == "filteringRule" {
		op = Add
	}
	if op != Add && op != Remove && op != Clear {
		return
	}
	switch {
	case r.in("globalModules"):
		f.GlobalModules = append(f.GlobalModules, r.module(e, op))
	case r.in("system.webServer", "modules"), r.in("system.web", "httpModules"):
		f.Modules = append(f.Modules, r.module(e, op))
	case r.in("system.webServer", "handlers"), r.in("system.web", "httpHandlers"):
		f.Handlers = append(f.Handlers, Handler{
			Pos: r.keep(e), Scope: r.scope(), Op: op,
			Name: e.get("name"), Path: e.get("path"), Verb: e.get("verb"),
			Type: e.get("type"), Modules: e.get("modules"), ScriptProcessor: e.get("scriptProcessor"),
		})
	case r.in("buildProviders"):
		f.Builders = append(f.Builders, Builder{r.keep(e), r.scope(), op, e.get("extension"), e.get("type")})
	case r.in("isapiFilters"):
		f.Filters = append(f.Filters, Filter{r.keep(e), r.scope(), op, e.get("name"), e.get("path"), e.is("enabled", false)})
	case r.in("hiddenSegments"):
		r.filtering(e, op, e.get("segment"))
	case r.in("denyUrlSequences"), r.in("denyQueryStringSequences"):
		r.filtering(e, op, e.get("sequence"))
	case r.in("filteringRules"):
		f.FilterRules = append(f.FilterRules, FilterRule{Pos: r.keep(e), Scope: r.scope(), Op: op, Name: e.get("name"),
			URL: e.is("scanUrl", true), Query: e.is("scanQueryString", true)})
	case r.in("filteringRule", "denyStrings") && op == Add && len(f.FilterRules) > 0:
		r.keep(e)
		last := &f.FilterRules[len(f.FilterRules)-1]
		last.Deny = append(last.Deny, e.get("string"))
	case r.in("filteringRule", "appliesTo") && op == Add && len(f.FilterRules) > 0:
		r.keep(e)
		last := &f.FilterRules[len(f.FilterRules)-1]
		last.Extensions = append(last.Extensions, e.get("fileExtension"))
	case r.in("fileExtensions"):
		r.filtering(e, op, e.get("fileExtension"))
	}
}

func (r *reader) filtering(e element, op Op, value string) {
	r.file.Filtering = append(r.file.Filtering, Filtering{
		Pos: r.keep(e), Scope: r.scope(), Op: op,
		List: r.stack[len(r.stack)-1], Value: value, Allowed: !e.is("allowed", false),
	})
}

func (r *reader) module(e element, op Op) Module {
	return Module{r.keep(e), r.scope(), op, e.get("name"), e.get("image"), e.get("type")}
}

// rule takes the elements of an inbound rule of the URL Rewrite module. Outbound
// rules have the same elements under another name.
func (r *reader) rule(e element) {
	f := r.file
	global := slices.Contains(r.stack, "globalRules")
	if r.in("rewrite", "rules") || r.in("rewrite", "globalRules") {
		op := Op(e.name)
		if e.name == "rule" {
			op = Add
		}
		if op == Add || op == Remove || op == Clear {
			f.Rules = append(f.Rules, Rule{
				Pos: r.keep(e), Scope: r.scope(), Op: op, Global: global, Name: e.get("name"),
				Disabled: e.is("enabled", false), StopProcessing: e.is("stopProcessing", true),
				PatternSyntax: e.get("patternSyntax"),
			})
		}
		return
	}
	inbound := r.in("rules", "rule") || r.in("globalRules", "rule") ||
		r.in("rules", "rule", "conditions") || r.in("globalRules", "rule", "conditions")
	if !inbound || len(f.Rules) == 0 {
		return
	}
	rule := &f.Rules[len(f.Rules)-1]
	switch {
	case e.name == "match" && r.in("rule"):
		rule.Match = Match{e.get("url"), e.is("negate", true), e.is("ignoreCase", false)}
	case e.name == "conditions" && r.in("rule"):
		rule.MatchAny = strings.EqualFold(e.get("logicalGrouping"), "MatchAny")
		rule.TrackAllCaptures = e.is("trackAllCaptures", true)
	case e.name == "action" && r.in("rule"):
		rule.Action = Action{r.keep(e), e.get("type"), e.get("url"), e.get("statusCode")}
	case e.name == "add" && r.in("conditions"):
		rule.Conditions = append(rule.Conditions, Condition{
			Pos: r.keep(e), Input: e.get("input"), Pattern: e.get("pattern"), MatchType: e.get("matchType"),
			Negate: e.is("negate", true), CaseMatters: e.is("ignoreCase", false),
		})
	}
}

// machineKey keeps what can be said of the keys without the keys.
func (r *reader) machineKey(e element) MachineKey {
	k := MachineKey{Pos: r.keep(e), Scope: r.scope()}
	for _, name := range [...]string{"validationKey", "decryptionKey"} {
		key := strings.TrimSpace(e.get(name))
		if key == "" || strings.HasPrefix(strings.ToLower(key), "autogenerate") {
			continue
		}
		k.Fixed = true
		if name == "validationKey" {
			sum := sha256.Sum256([]byte(strings.ToUpper(key)))
			k.Fingerprint = hex.EncodeToString(sum[:])
		}
	}
	return k
}
