package all

import (
	"maps"

	"postern"
	"postern/internal/hunt/detect"
	"postern/internal/hunt/detect/iisconfig"
	"postern/internal/hunt/detect/registry"
	"postern/internal/hunt/detect/sigma"
	"postern/internal/hunt/detect/version"
	"postern/internal/hunt/detect/yara"
)

// Knowledge is what packs and products teach the detectors of files and hosts.
type Knowledge struct {
	Stock       []postern.StockFile
	Indicators  []postern.Indicator
	Layout      Layout
	Mitigations []Mitigations
	FileRules   []detect.RuleFile // YARA rules of packs and products
	UserRules   []yara.Source     // and those of a user
	// Unsupported is told about rules of the user that are not loaded.
	Unsupported func(yara.Unsupported)
	// Remark is told what is not understood of those that are.
	Remark    func(yara.Unsupported)
	Languages []string // every text of a mitigation must be in all of them
}

// Layout is where a product keeps its files. Folders are lower case with '/',
// without drive, those of the product below its install folder.
type Layout struct {
	Sites            []iisconfig.Site
	Modules, Filters []string
	Places           []Place
	VersionFile      string // the program whose version is the build with its update
	Compiled         []string
	Staging          []Staging
}

// Place is a folder of the product: its short name and what is special about it.
type Place struct {
	Name, Folder, URL string
	Drop, Complete    bool
}

// Staging is a folder in which stolen data was collected.
type Staging struct {
	Folder string
	Files  []string
	Below  bool
}

// Mitigations is the mitigations.yaml of one campaign, or of a product, whose name then
// stands for that of the campaign.
type Mitigations struct {
	Campaign, File string
	Product        bool
	Data           []byte
}

// Detectors makes all detectors of files and hosts, and gives the texts that the
// mitigations bring, by language.
func Detectors(k Knowledge) (files []detect.FileDetector, hosts []detect.HostDetector, messages map[string]map[string]string, err error) {
	config, _, messages, err := Configurations(k)
	if err != nil {
		return nil, nil, nil, err
	}
	hosts = []detect.HostDetector{&configurations{config}, version.New(k.Layout.VersionFile), registry.New()}
	files, err = fileDetectors(k)
	return files, hosts, messages, err
}

// Configurations makes the detector of IIS configuration alone, and gives the
// mitigations that it judges and their texts by language.
func Configurations(k Knowledge) (*iisconfig.Detector, []iisconfig.Mitigation, map[string]map[string]string, error) {
	messages := make(map[string]map[string]string)
	config, err := iisconfig.IIS()
	if err != nil {
		return nil, nil, nil, err
	}
	config.Sites, config.Indicators = k.Layout.Sites, k.Indicators
	config.Modules = append(config.Modules, k.Layout.Modules...)
	config.Filters = append(config.Filters, k.Layout.Filters...)
	for _, m := range k.Mitigations {
		pack, err := iisconfig.ReadMitigations(m.File, m.Data, m.Campaign, k.Languages)
		if err != nil {
			return nil, nil, nil, err
		}
		for i := range pack.Mitigations {
			pack.Mitigations[i].Product = m.Product
		}
		config.Mitigations = append(config.Mitigations, pack.Mitigations...)
		for lang, texts := range pack.Messages {
			if messages[lang] == nil {
				messages[lang] = make(map[string]string)
			}
			maps.Copy(messages[lang], texts)
		}
	}
	return iisconfig.New(config), config.Mitigations, messages, nil
}

// configurations is the detector of IIS configuration for a host.
type configurations struct{ d *iisconfig.Detector }

func (c *configurations) Name() string              { return "config" }
func (c *configurations) Wants(f *detect.File) bool { return c.d.Wants(f) }

func (c *configurations) Read(f *detect.File) (any, []postern.Problem, error) {
	config, problems, err := c.d.Read(f)
	if config == nil {
		return nil, problems, err
	}
	return config, problems, err
}

// Lost is for the hunt: what was not looked at can take a mitigation away.
func (c *configurations) Lost(f *detect.File) any { return iisconfig.Lost(f) }

func (c *configurations) Judge(parts []any) detect.Judgement {
	var all []*iisconfig.Config
	for _, p := range parts {
		all = append(all, p.(*iisconfig.Config))
	}
	j := detect.Judgement{Findings: c.d.Findings(all...), Mitigated: make(map[string]postern.Fact)}
	states := c.d.Mitigations(all...)
	j.Findings = append(j.Findings, c.d.MitigationFindings(states)...)
	for _, s := range states {
		if !s.Decides { // it helps with a part of the chain only
			continue
		}
		// Of several that decide, the best one in force counts.
		if old, ok := j.Mitigated[s.Campaign]; !ok || strength(s.State) > strength(old.State) {
			j.Mitigated[s.Campaign] = postern.Fact{State: s.State, Why: s.Why}
		}
	}
	return j
}

func strength(s postern.State) int {
	switch s {
	case postern.Yes:
		return 3
	case postern.Ineffective:
		return 2
	case postern.No:
		return 1
	}
	return 0
}

// CheckRule compiles a rule as the hunt would.
func CheckRule(doc []byte, conditions map[string]string) error {
	_, err := sigma.Compile(doc, conditions)
	return err
}

// CheckMitigations reads a mitigations.yaml as the hunt would.
func CheckMitigations(campaign string, data []byte, languages []string) error {
	_, err := iisconfig.ReadMitigations(campaign+"/mitigations.yaml", data, campaign, languages)
	return err
}
