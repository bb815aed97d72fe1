package mitigate

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/campaign"
	"postern/internal/catalogue"
	"postern/internal/hunt"
	"postern/internal/hunt/detect"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/iisconfig"
)

// truth is the detector of the hunt with the packs that the program ships, as the
// command line wires it: these tests ask the real judge.
var truth = sync.OnceValues(func() (*iisconfig.Detector, []Mitigation) {
	packs, err := campaign.BuiltIn()
	if err != nil {
		panic(err)
	}
	k := detectall.Knowledge{Languages: catalogue.Languages}
	for _, s := range packs[0].Facts.Layout.Sites {
		site := iisconfig.Site{Name: s.Name, Folder: s.Folder}
		for _, app := range s.Applications {
			site.Applications = append(site.Applications, iisconfig.Application(app))
		}
		k.Layout.Sites = append(k.Layout.Sites, site)
	}
	for _, p := range packs {
		if len(p.Mitigations) > 0 {
			k.Mitigations = append(k.Mitigations, detectall.Mitigations{Campaign: p.Name, File: p.Name, Data: p.Mitigations})
		}
	}
	facts := packs[0].Facts
	k.Mitigations = append(k.Mitigations, detectall.Mitigations{Campaign: facts.Name, File: facts.Name, Product: true, Data: facts.Mitigations})
	d, known, _, err := detectall.Configurations(k)
	if err != nil {
		panic(err)
	}
	var mitigations []Mitigation
	for _, m := range known {
		if m.Product {
			continue // nobody asked for it; see tokenCache
		}
		out := Mitigation{ID: m.ID, Campaign: m.Campaign, Title: m.Title, Pools: m.Pools, Services: m.Services, RestartedBy: m.RestartedBy}
		for _, r := range m.Rules {
			out.Rules = append(out.Rules, Rule{r.Name, r.Input, r.Patterns[0]})
		}
		mitigations = append(mitigations, out)
	}
	return d, mitigations
})

// tokenCache is the mitigation of the product that takes a module out.
var tokenCache = []Mitigation{{ID: "token-cache", Campaign: "exchange", Modules: []string{"TokenCacheModule"}}}

func judge(files map[string][]byte) (Judgement, error) {
	d, _ := truth()
	var configs []*iisconfig.Config
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, place := hunt.Place(name)
		c, _, err := d.Read(&detect.File{Path: name, Server: place,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files[name])), nil }})
		if err != nil {
			return Judgement{}, err
		}
		configs = append(configs, c)
	}
	j := Judgement{Answers: make(map[string]Answer)}
	for _, s := range d.Mitigations(configs...) {
		j.Answers[s.Campaign+"/"+s.ID] = Answer{s.State, s.Why, s.Evidence}
	}
	server, fronts := d.Fronts(configs...)
	if server == nil {
		return j, nil
	}
	j.Server = server.Path
	for _, f := range fronts {
		s := Site{Name: f.Site, Open: f.Open}
		if f.Web != nil {
			s.File = f.Web.Path
		}
		for _, c := range f.Others {
			s.Others = append(s.Others, c.Path)
		}
		j.Sites = append(j.Sites, s)
	}
	return j, nil
}

// Where the files of a server lie.
const (
	serverFile = "Windows/System32/inetsrv/config/applicationHost.config"
	webFile    = "inetpub/wwwroot/web.config"
	ecpFile    = "Program Files/Microsoft/Exchange Server/V15/FrontEnd/HttpProxy/ecp/web.config"
)

// plainServer is a small applicationHost.config of an Exchange server; edits are
// pairs of what is replaced and by what.
func plainServer(edits ...string) string {
	text := `<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <configSections>
    <sectionGroup name="system.webServer">
      <sectionGroup name="rewrite">
        <section name="rules" overrideModeDefault="Allow" />
      </sectionGroup>
    </sectionGroup>
  </configSections>
  <system.applicationHost>
    <sites>
      <site name="Default Web Site" id="1">
        <application path="/"><virtualDirectory path="/" physicalPath="%SystemDrive%\inetpub\wwwroot" /></application>
        <application path="/owa"><virtualDirectory path="/" physicalPath="C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\owa" /></application>
        <application path="/ecp"><virtualDirectory path="/" physicalPath="C:\Program Files\Microsoft\Exchange Server\V15\FrontEnd\HttpProxy\ecp" /></application>
      </site>
    </sites>
  </system.applicationHost>
  <system.webServer>
    <globalModules>
      <add name="RewriteModule" image="%SystemRoot%\system32\inetsrv\rewrite.dll" />
    </globalModules>
  </system.webServer>
</configuration>
`
	return strings.NewReplacer(edits...).Replace(text)
}

const plainWeb = "<configuration>\r\n    <system.webServer>\r\n        <httpRedirect enabled=\"false\" />\r\n    </system.webServer>\r\n</configuration>\r\n"

// laid is a server on disk.
type laid struct {
	dir string
	*Keeper
}

func lay(t testing.TB, files map[string][]byte) *laid {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, b, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	backup, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backup.Close() })
	return &laid{dir, &Keeper{Files: root, Backup: backup, Tool: "test",
		Now: func() time.Time { return time.Date(2021, 3, 9, 3, 12, 44, 0, time.UTC) }}}
}

// plan plans from what lies on disk.
func (l *laid) plan(t testing.TB) *Plan {
	t.Helper()
	_, mitigations := truth()
	return l.planOf(t, mitigations)
}

func (l *laid) planOf(t testing.TB, mitigations []Mitigation) *Plan {
	t.Helper()
	files, problems, err := Find(t.Context(), l.Files)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Make(mitigations, files, problems, judge)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tree gives every file below the root, with its mode.
func (l *laid) tree(t testing.TB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(l.dir, func(at string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		content := ""
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			content = string(b)
		}
		name, _ := filepath.Rel(l.dir, at)
		all[path.Clean(filepath.ToSlash(name))] = info.Mode().String() + " " + content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rulesOf gives the outcomes of the mitigations that files decide, and why where they
// cannot be.
func rulesOf(p *Plan) map[string]string {
	out := make(map[string]string)
	for _, i := range p.Items {
		if !i.edits() {
			continue
		}
		out[i.ID] = string(i.Outcome)
		if i.Outcome == NotDone {
			out[i.ID] += " " + i.After.Why.Key
		}
	}
	return out
}
