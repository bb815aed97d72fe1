package postern

// StockFile is a file that the product itself installs.
type StockFile struct {
	Place       string // folder below the product's layout, lower case with '/': "owa/auth"
	Name        string // lower case
	SHA256      string // lower-case hex; "" where only the name is known
	First, Last Build  // the builds between which this content was shipped; zero where unknown
}

// IndicatorKind is the closed list of what an indicator can be compared with.
type IndicatorKind string

// Kinds of indicators. Names, addresses and agents are weak: they never decide alone.
const (
	IndicatorSHA256    IndicatorKind = "sha256"
	IndicatorSHA1      IndicatorKind = "sha1"
	IndicatorMD5       IndicatorKind = "md5"
	IndicatorFileName  IndicatorKind = "file-name" // Place says where; "" is anywhere
	IndicatorPath      IndicatorKind = "path"
	IndicatorURL       IndicatorKind = "url"
	IndicatorAddress   IndicatorKind = "address"
	IndicatorUserAgent IndicatorKind = "user-agent"
	IndicatorParameter IndicatorKind = "parameter" // a request parameter of a known web shell
	IndicatorDomain    IndicatorKind = "domain"
)

// Indicator is one published sign with its source and age.
type Indicator struct {
	Kind      IndicatorKind
	Value     string // as published; compare without case except for parameters
	Place     string // for file names: folder, lower case with '/', "" anywhere
	Note      string
	Source    string
	FirstSeen Instant
	Campaign  string
}

// Weak says whether the kind is too common a thing to decide anything alone.
func (i Indicator) Weak() bool {
	switch i.Kind {
	case IndicatorSHA256, IndicatorSHA1, IndicatorMD5:
		return false
	}
	return true
}
