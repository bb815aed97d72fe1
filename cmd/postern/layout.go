package main

import (
	"postern/internal/campaign"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/iisconfig"
)

// layoutOf hands the layout of a product on to the detectors, which know nothing
// of packs.
func layoutOf(l campaign.Layout) detectall.Layout {
	out := detectall.Layout{Compiled: l.Compiled, VersionFile: l.VersionFile}
	for _, s := range l.Sites {
		site := iisconfig.Site{Name: s.Name, Folder: s.Folder}
		for _, app := range s.Applications {
			site.Applications = append(site.Applications, iisconfig.Application(app))
		}
		out.Sites = append(out.Sites, site)
	}
	for _, m := range l.Modules {
		out.Modules = append(out.Modules, m.Image)
	}
	for _, f := range l.Filters {
		out.Filters = append(out.Filters, f.Image)
	}
	for _, p := range l.Places {
		out.Places = append(out.Places, detectall.Place{Name: p.Name, Folder: p.Folder, URL: p.URL, Drop: p.Drop, Complete: p.Complete})
	}
	for _, s := range l.Staging {
		out.Staging = append(out.Staging, detectall.Staging(s))
	}
	return out
}
