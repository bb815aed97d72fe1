package webfile

import "postern"

// IDs of the rules.
const (
	RuleOABDump            = "files/oab-dump-shell"
	RuleMailboxExport      = "files/mailbox-export-shell"
	RuleCertificateRequest = "files/certificate-request-shell"
	RuleWebShell           = "files/webshell"
	RuleOverwritten        = "files/overwritten-stock"
	RuleMisplaced          = "files/misplaced-stock"
	RuleCompiled           = "files/compiled-leftover"
	RuleCompiledLibrary    = "files/compiled-library"
	RuleUnexpected         = "files/unexpected-page"
	RuleRenamed            = "files/renamed-page"
	RuleConfigCode         = "files/config-code"
	RuleKnownName          = "files/known-name"
	RuleUnverified         = "files/unverified-stock"
	RuleDump               = "files/directory-dump"
)

// Tags that correlation reads, and one that says that a finding's time is the
// file's own, which whoever wrote the file could set.
const (
	TagShellFile = "shell-file"
	TagFileTime  = "file-time"
	tagWebShell  = "attack.t1505.003"
)

// Names of the entities that only this room sets.
const (
	// Build is the build that the server had when the file was written.
	Build = "build"
	// Server is the server's own name in the file.
	Server = "server"
	// Variant says what a shell does: eval, process, upload, file-writer …
	Variant = "variant"
	// Campaign of the one shape that only one chain of flaws writes.
	proxyLogon = "proxylogon"
)

// Rules lists what is looked for, without a hunt. The level is that of the rule's
// plainest case; a finding says why it has another.
func Rules() []postern.Rule {
	shell := []string{TagShellFile, tagWebShell}
	return []postern.Rule{
		{
			ID: RuleOABDump, Campaign: proxyLogon, Level: postern.Implanted, Confidence: postern.High, CVE: []string{"CVE-2021-27065"},
			Title: postern.Say("webfile.oab-dump.title"), Means: postern.Say("webfile.oab-dump.means"), Tags: shell,
			References: []string{"https://www.cisa.gov/news-events/analysis-reports/ar21-084a"},
		},
		{
			ID: RuleMailboxExport, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("webfile.mailbox-export.title"), Means: postern.Say("webfile.mailbox-export.means"), Tags: shell,
		},
		{
			ID: RuleCertificateRequest, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("webfile.certificate-request.title"), Means: postern.Say("webfile.certificate-request.means"), Tags: shell,
		},
		{
			ID: RuleWebShell, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("webfile.webshell.title"), Means: postern.Say("webfile.webshell.means"), Tags: shell,
		},
		{
			ID: RuleOverwritten, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("webfile.overwritten.title"), Means: postern.Say("webfile.overwritten.means"), Tags: shell,
		},
		{
			ID: RuleMisplaced, Level: postern.Implanted, Confidence: postern.High,
			Title: postern.Say("webfile.misplaced.title"), Means: postern.Say("webfile.misplaced.means"), Tags: shell,
		},
		{
			ID: RuleCompiled, Level: postern.Used, Confidence: postern.Medium,
			Title: postern.Say("webfile.compiled.title"), Means: postern.Say("webfile.compiled.means"), Tags: shell,
		},
		{
			ID: RuleCompiledLibrary, Level: postern.Used, Confidence: postern.Medium,
			Title: postern.Say("webfile.compiled-library.title"), Means: postern.Say("webfile.compiled-library.means"), Tags: shell,
		},
		{
			ID: RuleUnexpected, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("webfile.unexpected.title"), Means: postern.Say("webfile.unexpected.means"),
		},
		{
			ID: RuleRenamed, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("webfile.renamed.title"), Means: postern.Say("webfile.renamed.means"),
		},
		{
			ID: RuleConfigCode, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("webfile.config-code.title"), Means: postern.Say("webfile.config-code.means"),
		},
		{
			ID: RuleKnownName, Level: postern.Probed, Confidence: postern.Low,
			Title: postern.Say("webfile.known-name.title"), Means: postern.Say("webfile.known-name.means"),
		},
		{
			ID: RuleUnverified, Level: postern.NotSeen, Confidence: postern.Low,
			Title: postern.Say("webfile.unverified.title"), Means: postern.Say("webfile.unverified.means"),
		},
		{
			ID: RuleDump, Level: postern.NotSeen, Confidence: postern.Low,
			Title: postern.Say("webfile.directory-dump.title"), Means: postern.Say("webfile.directory-dump.means"),
		},
	}
}

func ruleByID(id string) postern.Rule {
	for _, r := range Rules() {
		if r.ID == id {
			return r
		}
	}
	return postern.Rule{ID: id}
}
