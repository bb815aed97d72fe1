package iisconfig

import (
	"fmt"
	"testing"
)

func TestFronts(t *testing.T) {
	t.Parallel()
	d := New(knowledge(t))
	second := `<site name="Partner" id="5">` + app("/", `D:\web\partner`) + app("/owa", `D:\Exchange\FrontEnd\HttpProxy\owa`) + `</site>`
	configs := []*Config{
		config(t, d, hostPath, server{sites: second}.text()),
		config(t, d, rootPath, webConfig(rules(anon()+be(`stopProcessing="false"`, `enabled="false"`)))),
		config(t, d, "EX01/E/copy/inetpub/wwwroot/web.config", webConfig("")),
	}
	host, fronts := d.Fronts(configs...)
	if host == nil || host.Path != hostPath || len(fronts) != 2 {
		t.Fatalf("server %v, %d sites", host, len(fronts))
	}
	first, partner := fronts[0], fronts[1]
	if first.Site != "Default Web Site" || first.Web == nil || first.Web.Path != rootPath {
		t.Errorf("first site %s, %v", first.Site, first.Web)
	}
	if got := fmt.Sprint(first.Open["proxylogon/backend-cookie"]); got != "[1]" {
		t.Errorf("open rules %s, want [1], the disabled one", got)
	}
	if len(first.Others) != 1 || first.Others[0].Path != configs[2].Path {
		t.Errorf("others %v, want the copy", first.Others)
	}
	if got := fmt.Sprint(partner.Open["proxylogon/backend-cookie"]); partner.Web != nil || got != "[0 1]" {
		t.Errorf("second site: web.config %v, open rules %s", partner.Web, got)
	}
	if host, fronts := d.Fronts(configs[1]); host != nil || fronts != nil {
		t.Error("sites without the configuration of the server")
	}
}
