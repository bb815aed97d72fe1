package iisconfig

import "postern"

// Front is a site that clients talk to, as whoever wants to protect it sees it.
type Front struct {
	Site string
	// Web is the web.config in its root folder, nil if it was not given.
	Web *Config
	// Others could be that file as well, by their paths: copies of a drive, say.
	Others []*Config
	// Open are the indices of the rules, of each mitigation by "campaign/id", that do
	// not work there, for whatever reason.
	Open map[string][]int
}

// Fronts gives the applicationHost.config in force, nil if there is none, and the
// sites of it that mitigations have to protect.
func (d *Detector) Fronts(configs ...*Config) (server *Config, fronts []Front) {
	h := d.host(configs)
	if h.server == nil {
		return nil, nil
	}
	for _, s := range h.fronts() {
		f := Front{Site: s.name, Web: s.web, Open: make(map[string][]int)}
		for _, c := range h.configs {
			if may, _ := c.serves(s.root); may && c != s.web && c.Copy == 0 {
				f.Others = append(f.Others, c)
			}
		}
		list := h.effective(&s)
		for i := range d.k.Mitigations {
			m := &d.k.Mitigations[i]
			for j := range m.Rules {
				if a := h.judgeNeed(m, &m.Rules[j], &s, list); a.state != postern.Yes {
					key := m.Campaign + "/" + m.ID
					f.Open[key] = append(f.Open[key], j)
				}
			}
		}
		fronts = append(fronts, f)
	}
	return h.server, fronts
}
