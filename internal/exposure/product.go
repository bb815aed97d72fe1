package exposure

import (
	"time"

	"postern"
)

// Release is one released build of the product, a row of the build table.
type Release struct {
	Build    postern.Build
	Edition  string // "exchange-2019"
	Line     string // "CU9"; service pack for 2007 and 2010
	Update   string // "Apr21SU", "" for the base of the line
	Released time.Time
	// Available is the day on which it could first be had, zero where that is no other
	// than Released: the list dates all updates of March 2021 to the 2nd.
	Available time.Time
}

// Since gives the day from which on the build can have been installed anywhere.
func (r *Release) Since() time.Time {
	if r.Available.After(r.Released) {
		return r.Available
	}
	return r.Released
}

// Rule says what a version string that was seen on the wire stands for.
type Rule string

// The closed list of rules. Rows of other rules say nothing about a build.
const (
	RuleExact      Rule = "exact"         // the installed build
	RuleRoundUp    Rule = "round-up"      // the next listed build: files lag behind the product's number
	RuleLowerBound Rule = "lower-bound"   // at least that build
	RuleUnknown    Rule = "unknown"       // two lists disagree: the last sure build below to Build
	RuleImpostor   Rule = "impostor"      // no server has it, a copied profile does
	RuleListed     Rule = "list-conflict" // another list's number for Build
	RuleListError  Rule = "list-error"    // a list's typing error for Build
)

// Seen is a version string that was seen on the wire or in a list and is not
// simply a row of the build table.
type Seen struct {
	Version postern.Build
	Build   postern.Build
	Rule    Rule
}
