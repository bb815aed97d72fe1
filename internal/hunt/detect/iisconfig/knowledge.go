package iisconfig

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"postern"
)

// Knowledge is what the detector compares a configuration with. [IIS] gives what
// holds for every server; the caller adds the product and the campaigns.
type Knowledge struct {
	// InstallPath is the product's folder as the registry says it, "" if unknown:
	// then it is taken from the configuration itself.
	InstallPath string
	// Sites are those that setup makes. Folders here and of Modules and Filters are
	// lower case with '/', without drive, those of the product below its install folder.
	Sites []Site
	// Modules and Filters are native code that the product or IIS brings. Anything
	// else is looked at, whatever its name.
	Modules, Filters []string
	// ManagedModules are how the types of stock managed modules begin.
	ManagedModules []string
	// OddFolders hold no web content and no code of a server.
	OddFolders  []string
	DeviceNames []string
	// ScriptExtensions are code by nature, StaticExtensions never are.
	ScriptExtensions, StaticExtensions []string
	// PageEngines run a file as a page.
	PageEngines   []string
	StockHandlers []StockHandler
	// KnownFolders are folders of published back doors; so are those of the campaigns'
	// Indicators that are of kind path. Others are passed over.
	KnownFolders, Indicators []postern.Indicator
	// Mitigations are what the campaigns know to have helped.
	Mitigations []Mitigation
}

// Site is one site of the product.
type Site struct {
	Name         string
	Folder       string
	Applications []Application
}

// Application is an application or virtual directory of a site. A path may stand
// several times with other folders.
type Application struct{ Path, Folder string }

// StockHandler is a handler of the product itself that would otherwise look odd.
type StockHandler struct {
	Under string `yaml:"under"` // last folder of the place it is configured for
	Path  string `yaml:"path"`
}

//go:embed iis.yaml
var facts []byte

// IIS gives what holds for every server.
func IIS() (Knowledge, error) {
	var y struct {
		NativeModules    []string       `yaml:"native_modules"`
		ISAPIFilters     []string       `yaml:"isapi_filters"`
		ManagedModules   []string       `yaml:"managed_modules"`
		OddFolders       []string       `yaml:"odd_folders"`
		DeviceNames      []string       `yaml:"device_names"`
		ScriptExtensions []string       `yaml:"script_extensions"`
		StaticExtensions []string       `yaml:"static_extensions"`
		PageEngines      []string       `yaml:"page_engines"`
		StockHandlers    []StockHandler `yaml:"stock_handlers"`
		KnownFolders     []struct {
			Path   string `yaml:"path"`
			Source string `yaml:"source"`
		} `yaml:"known_folders"`
	}
	d := yaml.NewDecoder(bytes.NewReader(facts))
	d.KnownFields(true)
	if err := d.Decode(&y); err != nil {
		return Knowledge{}, fmt.Errorf("iis.yaml: %w", err)
	}
	k := Knowledge{
		Modules: alternatives(y.NativeModules), Filters: alternatives(y.ISAPIFilters), ManagedModules: y.ManagedModules,
		OddFolders: y.OddFolders, DeviceNames: y.DeviceNames,
		ScriptExtensions: y.ScriptExtensions, StaticExtensions: y.StaticExtensions,
		PageEngines: y.PageEngines, StockHandlers: y.StockHandlers,
	}
	for _, f := range y.KnownFolders {
		k.KnownFolders = append(k.KnownFolders, postern.Indicator{Kind: postern.IndicatorPath, Value: f.Path, Source: f.Source})
	}
	return k, nil
}

// alternatives writes out "a{b,c}d" as "abd" and "acd".
func alternatives(patterns []string) []string {
	var all []string
	for _, p := range patterns {
		before, rest, open := strings.Cut(p, "{")
		inside, after, closed := strings.Cut(rest, "}")
		if !open || !closed {
			all = append(all, p)
			continue
		}
		for _, one := range strings.Split(inside, ",") {
			all = append(all, before+one+after)
		}
	}
	return all
}
