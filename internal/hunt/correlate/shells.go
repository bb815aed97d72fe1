package correlate

import (
	"strings"
	"time"

	"postern"
)

// shell is one page that is known or suspected to be a back door.
type shell struct {
	requests  []int        // findings, in time order
	witnesses []int        // findings of the file and of its writing
	there     [2]time.Time // first and last time that it answered
}

type shells map[string]*shell

// shellKey gives the one form of a page's address or file by which requests and
// files meet, lower case: the name with its folder, and with the one above it where
// the folder is "auth", which two applications have. A page at the root of the site
// begins with '/'.
func shellKey(urlOrPath string) string {
	p := strings.ToLower(strings.ReplaceAll(urlOrPath, `\`, "/"))
	p, _, _ = strings.Cut(p, "?")
	for _, root := range []string{"/wwwroot/", "/frontend/httpproxy/"} {
		if i := strings.LastIndex("/"+p, root); i >= 0 {
			p = p[i+len(root)-2:]
		}
	}
	rooted := strings.HasPrefix(p, "/")
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for i, part := range parts { // what stands behind a page is for the page
		if script(part) {
			parts = parts[:i+1]
			break
		}
	}
	n := len(parts)
	switch {
	case n == 1 && rooted:
		return "/" + parts[0]
	case n > 2 && parts[n-2] == "auth":
		parts = parts[n-3:]
	case n > 2:
		parts = parts[n-2:]
	}
	return strings.Join(parts, "/")
}

// script says whether a name is that of a page that a server runs.
func script(name string) bool {
	for _, ext := range []string{".aspx", ".ashx", ".asmx", ".asp", ".soap", ".cshtml", ".php", ".jsp"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

// collectShells gathers what findings say about pages.
func collectShells(findings []postern.Finding) shells {
	all := make(shells)
	get := func(key string) *shell {
		s := all[key]
		if s == nil {
			s = &shell{}
			all[key] = s
		}
		return s
	}
	for i := range findings {
		f := &findings[i]
		switch {
		case f.HasTag(TagShellRequest):
			s := get(shellKey(f.Entities[postern.URL]))
			s.requests = append(s.requests, i)
			if f.Level >= postern.Implanted && !f.Time.IsZero() {
				if s.there[0].IsZero() {
					s.there[0] = f.Time
				}
				s.there[1] = f.Time
			}
		case f.Level >= postern.Implanted && (f.HasTag(TagShellFile) || f.HasTag(TagShellWritten)):
			for _, name := range []string{f.Entities[postern.URL], f.Entities[postern.File]} {
				// The URL of a forged request is the carrier's, not the shell's.
				if name == "" || f.HasTag(TagNeedsFlaw) || strings.Contains(strings.ToLower(name), "ddiservice") {
					continue
				}
				s := get(shellKey(name))
				s.witnesses = append(s.witnesses, i)
			}
		}
	}
	return all
}

// confirm raises the confidence of requests to a page whose file was found, and
// of the file whose requests were answered: two kinds of evidence say the same. A
// mere suspicion confirms nothing and is not confirmed: every page that exists, a
// harmless one too, answers requests.
func (all shells) confirm(findings []postern.Finding) {
	for _, s := range all {
		sure := false
		for _, i := range s.witnesses {
			sure = sure || findings[i].Confidence >= postern.Medium
		}
		if !sure {
			continue
		}
		answered := false
		for _, i := range s.requests {
			if f := &findings[i]; f.Level >= postern.Implanted {
				answered = true
				if f.Confidence < postern.High {
					f.Confidence = postern.High
					f.Explain = append(f.Explain, postern.Say("correlate.file-known"))
				}
			}
		}
		if !answered {
			continue
		}
		for _, i := range s.witnesses {
			if f := &findings[i]; f.Confidence == postern.Medium {
				f.Confidence = postern.High
				f.Explain = append(f.Explain, postern.Say("correlate.requests-known"))
			}
		}
	}
}

// disappearances dates when a page that answered stopped to: by an antivirus, by
// the intruder, by somebody else. It is context and says nothing about being clean.
func (all shells) disappearances(findings []postern.Finding) []postern.Finding {
	var gone []postern.Finding
	for _, s := range all {
		if s.there[1].IsZero() {
			continue
		}
		for _, i := range s.requests {
			f := &findings[i]
			if f.Level > postern.Probed || !f.Time.After(s.there[1]) || len(f.Evidence) == 0 {
				continue
			}
			g := postern.Finding{
				ID:         postern.FindingID("shell/disappeared", f.Evidence[0]),
				Rule:       "shell/disappeared",
				Campaign:   f.Campaign,
				Level:      postern.NotSeen,
				Title:      postern.Say("correlate.disappeared.title"),
				Time:       f.Time,
				Confidence: postern.Medium,
				Explain: []postern.Text{postern.Say("correlate.disappeared.explain",
					"last", s.there[1].Format(time.RFC3339), "first", f.Time.Format(time.RFC3339))},
				Evidence: f.Evidence[:1:1],
				Tags:     []string{"disappeared"},
			}
			g.Set(postern.URL, f.Entities[postern.URL])
			gone = append(gone, g)
			break
		}
	}
	return gone
}
