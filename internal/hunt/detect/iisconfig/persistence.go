package iisconfig

import (
	"path"
	"slices"
	"strings"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// entitySite is the name of the site that a finding is about.
const (
	entitySite        = "site"
	entityModule      = "module"
	entityFingerprint = "machine_key_sha256"
)

// look goes through one file.
func (h *host) look(c *Config) []hit {
	var hits []hit
	for i := range c.Sites {
		hits = append(hits, h.folders(c, &c.Sites[i])...)
		hits = append(hits, h.siteLog(c, &c.Sites[i])...)
	}
	for _, m := range c.GlobalModules {
		if m.Op == iisconfig.Add {
			hits = h.binary(hits, c, m.Pos, m.Name, m.Image, h.d.modules, ruleOddModule, ruleExtraModule)
		}
	}
	for _, f := range c.Filters {
		if f.Op == iisconfig.Add {
			hits = h.binary(hits, c, f.Pos, f.Name, f.Path, h.d.filters, ruleOddFilter, ruleExtraFilter)
		}
	}
	for _, m := range c.Modules {
		if m.Op == iisconfig.Add && m.Type != "" && !hasPrefix(m.Type, h.d.k.ManagedModules) {
			x := h.found(c, ruleManagedModule, m.Pos, postern.Say("config.extra-managed-module.found", "name", m.Name, "type", m.Type), m.Name, m.Type, m.Location)
			x.Set(entityModule, m.Type)
			hits = append(hits, x)
		}
	}
	for _, a := range c.Handlers {
		if a.Op == iisconfig.Add {
			hits = h.handler(hits, c, a.Pos, a.Scope, a.Name, a.Path, a.Type+"\n"+a.Modules, a.ScriptProcessor)
		}
	}
	for _, b := range c.Builders {
		if b.Op == iisconfig.Add {
			hits = h.handler(hits, c, b.Pos, b.Scope, b.Extension, "*"+b.Extension, b.Type, "")
		}
	}
	if len(c.Code) > 0 {
		x := h.found(c, ruleCode, c.Code[0], postern.Say("config.code.found"), c.Path)
		x.Set(postern.File, c.serverPath())
		hits = append(hits, x)
	}
	for _, k := range c.MachineKeys {
		if k.Fixed {
			x := h.found(c, ruleMachineKey, k.Pos, postern.Say("config.machine-key.found"), k.Fingerprint, k.Location)
			x.Set(postern.File, c.serverPath())
			x.Set(entityFingerprint, k.Fingerprint)
			hits = append(hits, x)
		}
	}
	for _, r := range c.Redirects {
		if r.Enabled && strings.Contains(r.Destination, "//") {
			hits = append(hits, h.found(c, ruleRedirect, r.Pos, postern.Say("config.redirect.found", "place", place(r.Scope), "target", r.Destination), r.Location, r.Destination))
		}
	}
	for _, l := range c.Logging {
		if l.DontLog {
			hits = append(hits, h.found(c, ruleLoggingOff, l.Pos, postern.Say("config.logging-off.found", "place", place(l.Scope)), l.Location))
		}
	}
	if c.Elsewhere.Enabled {
		hits = append(hits, h.found(c, ruleElsewhere, c.Elsewhere.Pos, postern.Say("config.elsewhere.found", "folder", c.Elsewhere.Path), c.Elsewhere.Path))
	}
	return hits
}

// serverPath is the file's place on the server as well as it is known.
func (c *Config) serverPath() string {
	if c.Server != "" {
		return c.Server
	}
	return c.Path
}

func place(s iisconfig.Scope) string {
	if s.Location == "" {
		return "/"
	}
	return s.Location
}

// folders judges the folders that a site serves.
func (h *host) folders(c *Config, s *iisconfig.Site) []hit {
	var hits []hit
	which := h.sideOf(s)
	for _, app := range s.Applications {
		for _, dir := range app.Directories {
			at := address(app.Path, dir.Path)
			folder := canonical(dir.PhysicalPath, h.install)
			if folder == "" || which != foreign && slices.Contains(h.d.stock[strings.ToLower(at)], folder) {
				continue
			}
			if x, ok := h.folder(c, s, which, dir, at, folder); ok {
				x.Set(postern.File, dir.PhysicalPath)
				x.Set(postern.VDir, s.Name+at)
				x.Set(entitySite, s.Name)
				hits = append(hits, x)
			}
		}
	}
	return hits
}

// folder judges one folder that is not a stock one.
func (h *host) folder(c *Config, s *iisconfig.Site, which side, dir iisconfig.Directory, at, folder string) (hit, bool) {
	args := []any{"address", at, "site", s.Name, "folder", dir.PhysicalPath}
	key := []string{s.Name, at, folder}
	for _, k := range h.d.known {
		if under(folder, k.folder) {
			x := h.found(c, ruleKnownFolder, dir.Pos, postern.Say("config.known-folder.found", args...), key...)
			x.Campaign = k.Campaign
			x.Explain = append(x.Explain, postern.Say("config.known-folder.source", "folder", k.Value, "source", k.Source))
			return x, true
		}
	}
	if name := h.d.k.device(folder); name != "" {
		x := h.found(c, ruleDeviceFolder, dir.Pos, postern.Say("config.device-folder.found", args...), key...)
		x.Explain = append(x.Explain, postern.Say("config.device-folder.name", "name", name))
		return x, true
	}
	if odd := underAny(folder, h.d.k.OddFolders); odd != "" {
		x := h.found(c, ruleOddFolder, dir.Pos, postern.Say("config.odd-folder.found", args...), key...)
		x.Explain = append(x.Explain, postern.Say("config.odd-folder.why", "odd", odd))
		if which == foreign {
			// Other products keep web content in such places, and their sites are theirs.
			x.Lower(postern.Probed, postern.Say("config.odd-folder.foreign", "site", s.Name))
			x.Confidence = postern.Low
		}
		return x, true
	}
	if which == foreign {
		return hit{}, false
	}
	x := h.found(c, ruleExtraFolder, dir.Pos, postern.Say("config.extra-folder.found", args...), key...)
	if stock := h.d.stock[strings.ToLower(at)]; len(stock) > 0 {
		x.Explain = append(x.Explain, postern.Say("config.extra-folder.moved", "stock", strings.TrimPrefix(stock[0], product+"/")))
	} else {
		x.Explain = append(x.Explain, postern.Say("config.extra-folder.address"))
	}
	return x, true
}

// binary judges a file of code that IIS loads into its processes.
func (h *host) binary(hits []hit, c *Config, at iisconfig.Pos, name, file string, stock []string, oddRule, extraRule string) []hit {
	p := canonical(file, h.install)
	if p == "" || slices.Contains(stock, p) || h.install == "" && stockTail(stock, p) {
		return hits
	}
	var x hit
	odd, device := underAny(p, h.d.k.OddFolders), h.d.k.device(p)
	switch {
	case odd != "" || device != "":
		x = h.found(c, oddRule, at, loads(oddRule, name, file), name, p)
		if device != "" {
			x.Confidence = postern.High
			x.Explain = append(x.Explain, postern.Say("config.device-folder.name", "name", device))
		} else {
			x.Explain = append(x.Explain, postern.Say("config.odd-folder.why", "odd", odd))
		}
	default:
		x = h.found(c, extraRule, at, loads(extraRule, name, file), name, p)
		if under(p, "/windows/system32/inetsrv") {
			x.Explain = append(x.Explain, postern.Say("config.extra-native-module.inetsrv"))
		} else {
			x.Explain = append(x.Explain, postern.Say("config.extra-native-module.signer"))
		}
	}
	x.Set(postern.File, file)
	x.Set(entityModule, name)
	return append(hits, x)
}

func loads(rule, name, file string) postern.Text {
	switch rule {
	case ruleOddModule:
		return postern.Say("config.odd-native-module.found", "name", name, "file", file)
	case ruleExtraModule:
		return postern.Say("config.extra-native-module.found", "name", name, "file", file)
	case ruleOddFilter:
		return postern.Say("config.odd-isapi-filter.found", "name", name, "file", file)
	}
	return postern.Say("config.extra-isapi-filter.found", "name", name, "file", file)
}

// stockTail says whether a file may be the product's own where the install folder
// is not known, as in a file that names no application.
func stockTail(stock []string, p string) bool {
	for _, s := range stock {
		if tail, ok := strings.CutPrefix(s, product); ok && strings.HasSuffix(p, tail) {
			return true
		}
	}
	return false
}

// handler judges what runs files of an extension as pages.
func (h *host) handler(hits []hit, c *Config, at iisconfig.Pos, scope iisconfig.Scope, name, pattern, engine, processor string) []hit {
	k := &h.d.k
	program := canonical(processor, h.install)
	oddProgram := underAny(program, k.OddFolders) != "" || k.device(program) != ""
	if !oddProgram && !contains(engine+"\n"+path.Base(program), k.PageEngines) {
		return hits
	}
	ext := extension(pattern)
	runs := strings.TrimSpace(processor)
	if runs == "" {
		runs = strings.TrimSpace(strings.ReplaceAll(engine, "\n", " "))
	}
	args := []any{"name", name, "path", pattern, "engine", runs, "place", place(scope)}
	key := []string{scope.Location, pattern, runs}
	switch {
	case oddProgram:
		x := h.found(c, ruleOddHandler, at, postern.Say("config.odd-handler.found", args...), key...)
		x.Explain = append(x.Explain, postern.Say("config.odd-handler.program", "file", processor))
		x.Set(postern.File, processor)
		return append(hits, x)
	case slices.Contains(k.ScriptExtensions, ext), ext == "*" && strings.HasSuffix(strings.TrimSpace(pattern), "."), h.stockHandler(c, scope, pattern):
		// "*." are names without an extension, which MVC applications route.
		return hits
	case slices.Contains(k.StaticExtensions, ext):
		x := h.found(c, ruleOddHandler, at, postern.Say("config.odd-handler.found", args...), key...)
		x.Explain = append(x.Explain, postern.Say("config.odd-handler.static", "extension", ext))
		if ext == ".config" {
			x.Confidence = postern.High // nobody runs configuration by mistake
		}
		return append(hits, x)
	}
	return append(hits, h.found(c, ruleExtraHandler, at, postern.Say("config.extra-handler.found", args...), key...))
}

// stockHandler says whether the product itself has such a handler there.
func (h *host) stockHandler(c *Config, scope iisconfig.Scope, pattern string) bool {
	where := strings.ToLower(scope.Location)
	if where == "" {
		where = path.Dir(strings.ToLower(strings.ReplaceAll(c.serverPath(), `\`, "/")))
	}
	for _, s := range h.d.k.StockHandlers {
		if strings.EqualFold(s.Path, pattern) && path.Base(where) == s.Under {
			return true
		}
	}
	return false
}

// siteLog says where a site logs, if that is not the default, or that it does not.
func (h *host) siteLog(c *Config, s *iisconfig.Site) []hit {
	var hits []hit
	if s.LogFile.Disabled || c.SiteDefaults.Disabled {
		at := s.LogFile.Pos
		if !s.LogFile.Disabled {
			at = c.SiteDefaults.Pos
		}
		x := h.found(c, ruleLoggingOff, at, postern.Say("config.logging-off.found", "place", s.Name), s.Name)
		x.Set(entitySite, s.Name)
		hits = append(hits, x)
	}
	if f := logFolder(c, s); f.Custom {
		x := h.found(c, ruleLogFolder, f.at, postern.Say("config.log-folder.found", "site", s.Name, "folder", f.Folder), s.Name, f.Folder)
		x.Set(entitySite, s.Name)
		x.Set(postern.File, f.Folder)
		hits = append(hits, x)
	}
	return hits
}

func contains(s string, parts []string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(s, p) })
}

func hasPrefix(s string, prefixes []string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
