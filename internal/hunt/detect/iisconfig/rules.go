package iisconfig

import "postern"

// Ids of the rules, each with its catalogue keys config.ID.title and config.ID.means.
const (
	ruleKnownFolder   = "config/known-folder"
	ruleDeviceFolder  = "config/device-folder"
	ruleOddFolder     = "config/odd-folder"
	ruleExtraFolder   = "config/extra-folder"
	ruleOddModule     = "config/odd-native-module"
	ruleExtraModule   = "config/extra-native-module"
	ruleManagedModule = "config/extra-managed-module"
	ruleOddFilter     = "config/odd-isapi-filter"
	ruleExtraFilter   = "config/extra-isapi-filter"
	ruleOddHandler    = "config/odd-handler"
	ruleExtraHandler  = "config/extra-handler"
	ruleCode          = "config/code"
	ruleMachineKey    = "config/machine-key"
	ruleRedirect      = "config/redirect"
	ruleLoggingOff    = "config/logging-off"
	ruleLogFolder     = "config/log-folder"
	ruleElsewhere     = "config/elsewhere"
	ruleMitigation    = "config/mitigation"
)

// Rules lists what the detector looks for.
func Rules() []postern.Rule {
	const (
		persistence = "attack.persistence"
		component   = "attack.t1505.004" // server software component: IIS components
		webShell    = "attack.t1505.003"
		hidden      = "attack.t1564"
		coverage    = "coverage"
	)
	return []postern.Rule{
		{ID: ruleKnownFolder, Level: postern.Implanted, Confidence: postern.High, Tags: []string{persistence, webShell},
			Title: postern.Say("config.known-folder.title"), Means: postern.Say("config.known-folder.means")},
		{ID: ruleDeviceFolder, Level: postern.Implanted, Confidence: postern.High, Tags: []string{persistence, webShell, hidden},
			Title: postern.Say("config.device-folder.title"), Means: postern.Say("config.device-folder.means")},
		{ID: ruleOddFolder, Level: postern.Implanted, Confidence: postern.Medium, Tags: []string{persistence, webShell},
			Title: postern.Say("config.odd-folder.title"), Means: postern.Say("config.odd-folder.means")},
		{ID: ruleExtraFolder, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("config.extra-folder.title"), Means: postern.Say("config.extra-folder.means")},
		{ID: ruleOddModule, Level: postern.PostExploitation, Confidence: postern.Medium, Tags: []string{persistence, component},
			Title: postern.Say("config.odd-native-module.title"), Means: postern.Say("config.odd-native-module.means")},
		{ID: ruleExtraModule, Level: postern.Probed, Confidence: postern.Low, Tags: []string{component},
			Title: postern.Say("config.extra-native-module.title"), Means: postern.Say("config.extra-native-module.means")},
		{ID: ruleManagedModule, Level: postern.Probed, Confidence: postern.Low, Tags: []string{component},
			Title: postern.Say("config.extra-managed-module.title"), Means: postern.Say("config.extra-managed-module.means")},
		{ID: ruleOddFilter, Level: postern.PostExploitation, Confidence: postern.Medium, Tags: []string{persistence, component},
			Title: postern.Say("config.odd-isapi-filter.title"), Means: postern.Say("config.odd-isapi-filter.means")},
		{ID: ruleExtraFilter, Level: postern.Probed, Confidence: postern.Low, Tags: []string{component},
			Title: postern.Say("config.extra-isapi-filter.title"), Means: postern.Say("config.extra-isapi-filter.means")},
		{ID: ruleOddHandler, Level: postern.Implanted, Confidence: postern.Medium, Tags: []string{persistence, webShell},
			Title: postern.Say("config.odd-handler.title"), Means: postern.Say("config.odd-handler.means")},
		{ID: ruleExtraHandler, Level: postern.Probed, Confidence: postern.Low, Tags: []string{webShell},
			Title: postern.Say("config.extra-handler.title"), Means: postern.Say("config.extra-handler.means")},
		{ID: ruleCode, Level: postern.Implanted, Confidence: postern.Medium, Tags: []string{persistence, webShell},
			Title: postern.Say("config.code.title"), Means: postern.Say("config.code.means")},
		{ID: ruleMachineKey, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("config.machine-key.title"), Means: postern.Say("config.machine-key.means")},
		{ID: ruleRedirect, Level: postern.NotSeen, Confidence: postern.High,
			Title: postern.Say("config.redirect.title"), Means: postern.Say("config.redirect.means")},
		{ID: ruleLoggingOff, Level: postern.NotSeen, Confidence: postern.High, Tags: []string{coverage},
			Title: postern.Say("config.logging-off.title"), Means: postern.Say("config.logging-off.means")},
		{ID: ruleLogFolder, Level: postern.NotSeen, Confidence: postern.High, Tags: []string{coverage},
			Title: postern.Say("config.log-folder.title"), Means: postern.Say("config.log-folder.means")},
		{ID: ruleElsewhere, Level: postern.NotSeen, Confidence: postern.High, Tags: []string{coverage},
			Title: postern.Say("config.elsewhere.title"), Means: postern.Say("config.elsewhere.means")},
		{ID: ruleMitigation, Level: postern.NotSeen, Confidence: postern.High, Tags: []string{"mitigation"},
			Title: postern.Say("config.mitigation.title"), Means: postern.Say("config.mitigation.means")},
	}
}
