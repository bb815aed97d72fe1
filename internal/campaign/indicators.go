package campaign

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern"
)

// kinds of indicators, one file each: indicators/sha256.csv holds IndicatorSHA256.
func kinds() []postern.IndicatorKind {
	return []postern.IndicatorKind{
		postern.IndicatorSHA256, postern.IndicatorSHA1, postern.IndicatorMD5,
		postern.IndicatorFileName, postern.IndicatorPath, postern.IndicatorURL,
		postern.IndicatorAddress, postern.IndicatorUserAgent, postern.IndicatorParameter, postern.IndicatorDomain,
	}
}

// hashBytes is the length of each kind of hash.
func hashBytes(k postern.IndicatorKind) int {
	switch k {
	case postern.IndicatorSHA256:
		return 32
	case postern.IndicatorSHA1:
		return 20
	case postern.IndicatorMD5:
		return 16
	}
	return 0
}

const sourcesFile = "indicators/sources.csv"

func (r *packReader) readIndicators() {
	files := r.under("indicators", ".csv")
	if len(files) == 0 {
		return
	}
	sources := make(map[string]string)
	if b, ok := r.files[sourcesFile]; ok {
		r.table(sourcesFile, b, []string{"source", "title"}, []string{"published", "link"}, func(row *row) {
			name, title := row.get("source"), row.get("title")
			if _, twice := sources[name]; twice || name == "" || title == "" {
				row.bad(postern.Say("campaign.twice", "value", clip(name)))
			}
			sources[name] = title
		})
	} else {
		r.bad(sourcesFile, 0, postern.Say("campaign.missing-file"))
	}
	for _, file := range files {
		if file == sourcesFile {
			continue
		}
		kind := postern.IndicatorKind(strings.TrimSuffix(path.Base(file), ".csv"))
		if !slices.Contains(kinds(), kind) {
			r.bad(file, 0, postern.Say("campaign.unknown-indicators", "kind", clip(string(kind))))
			continue
		}
		r.readKind(file, kind, sources)
	}
}

func (r *packReader) readKind(file string, kind postern.IndicatorKind, sources map[string]string) {
	optional := []string{"note", "first_seen"}
	if kind == postern.IndicatorFileName {
		optional = append(optional, "place")
	}
	seen := make(map[[2]string]bool)
	r.table(file, r.files[file], []string{"value", "source"}, optional, func(row *row) {
		i := postern.Indicator{Kind: kind, Value: refang(kind, row.get("value")), Place: row.get("place"),
			Note: row.get("note"), Campaign: r.pack.Name}
		if !r.soundValue(row, i) {
			return
		}
		key := [2]string{strings.ToLower(i.Value), i.Place}
		if kind == postern.IndicatorParameter {
			key[0] = i.Value
		}
		if seen[key] {
			row.bad(postern.Say("campaign.twice", "value", clip(i.Value)))
			return
		}
		seen[key] = true
		tags := strings.Fields(row.get("source"))
		if len(tags) == 0 {
			row.bad(postern.Say("campaign.empty", "key", "source"))
		}
		for n, tag := range tags {
			title, ok := sources[tag]
			if !ok {
				row.bad(postern.Say("campaign.unknown-citation", "source", clip(tag)))
			}
			if n > 0 {
				i.Source += "; "
			}
			i.Source += title
		}
		if s := row.get("first_seen"); s != "" {
			var ok bool
			if i.FirstSeen, ok = monthOrDay(s); !ok {
				row.bad(postern.Say("campaign.bad-date", "value", clip(s)))
			}
		}
		r.pack.Indicators = append(r.pack.Indicators, i)
	})
}

// soundValue says whether the value can be what its kind says, and is not a thing
// of the product's own.
func (r *packReader) soundValue(row *row, i postern.Indicator) bool {
	n := hashBytes(i.Kind)
	switch {
	case i.Value == "":
		row.bad(postern.Say("campaign.empty", "key", "value"))
	case n > 0 && !isHash(i.Value, n):
		row.bad(postern.Say("campaign.bad-hash", "value", clip(i.Value), "kind", i.Kind, "digits", 2*n))
	case n > 0 && r.pack.Facts.IsStock(i.Value):
		row.bad(postern.Say("campaign.known-good", "value", i.Value))
	case i.Kind == postern.IndicatorAddress && !isAddress(i.Value):
		row.bad(postern.Say("campaign.bad-address", "value", clip(i.Value)))
	case i.Kind == postern.IndicatorDomain && !domainRE.MatchString(i.Value):
		row.bad(postern.Say("campaign.bad-domain", "value", clip(i.Value)))
	case i.Kind == postern.IndicatorURL && !strings.HasPrefix(i.Value, "/") && !strings.Contains(i.Value, "://"):
		row.bad(postern.Say("campaign.bad-url", "value", clip(i.Value)))
	case i.Kind == postern.IndicatorFileName && strings.ContainsAny(i.Value, `/\`), !isPlace(i.Place):
		row.bad(postern.Say("campaign.bad-place", "value", clip(i.Place+"/"+i.Value)))
	default:
		return true
	}
	return false
}

// refang undoes how addresses are written so that nobody opens them by mistake.
func refang(kind postern.IndicatorKind, s string) string {
	switch kind {
	case postern.IndicatorDomain, postern.IndicatorAddress:
		return strings.ReplaceAll(s, "[.]", ".")
	case postern.IndicatorURL:
		s = strings.ReplaceAll(s, "[.]", ".")
		if rest, ok := strings.CutPrefix(s, "hxxp"); ok {
			return "http" + rest
		}
	case postern.IndicatorSHA256, postern.IndicatorSHA1, postern.IndicatorMD5:
		return strings.ToLower(s)
	}
	return s
}

var domainRE = regexp.MustCompile(`(?i)^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$`)

func isAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// monthOrDay reads 2021, 2021-03 or 2021-03-02.
func monthOrDay(s string) (time.Time, bool) {
	for _, form := range []string{time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
