package webfile

import (
	"strings"

	"postern"
)

// stock is what the product itself installs.
type stock struct {
	files  map[string][]string // canonical path → hashes, none where only the name is known
	homes  map[string][]string // name → folders in which it belongs
	hashes map[string]string   // hash → canonical path
}

func newStock(list []postern.StockFile, p places) stock {
	s := stock{files: map[string][]string{}, homes: map[string][]string{}, hashes: map[string]string{}}
	for _, f := range list {
		folder := p.folder(f.Place)
		name := strings.ToLower(f.Name)
		full := folder + "/" + name
		if _, known := s.files[full]; !known {
			s.files[full] = nil
			s.homes[name] = append(s.homes[name], folder)
		}
		if f.SHA256 != "" {
			hash := strings.ToLower(f.SHA256)
			s.files[full] = append(s.files[full], hash)
			s.hashes[hash] = full
		}
	}
	return s
}

// folder gives the folder that a short name stands for.
func (p places) folder(name string) string {
	best, folder := -1, name
	for _, place := range p.list {
		rest, ok := strings.CutPrefix(name, place.Name)
		if !ok || place.Name != "" && rest != "" && rest[0] != '/' || len(place.Name) <= best {
			continue
		}
		best = len(place.Name)
		folder = strings.TrimSuffix(place.Folder+"/"+strings.TrimPrefix(rest, "/"), "/")
	}
	return folder
}

// at says whether the product installs a file of that name there, and gives the hashes
// of the content that it shipped.
func (s stock) at(server string) (name bool, hashes []string) {
	hashes, name = s.files[server]
	if !name { // evidence whose folders could not be cut
		for i := strings.IndexByte(server, '/'); i >= 0 && !name; {
			hashes, name = s.files[server[i+1:]]
			next := strings.IndexByte(server[i+1:], '/')
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return name, hashes
}

// elsewhere says where a file of that name belongs, if not here.
func (s stock) elsewhere(server string) (home string, ok bool) {
	name := server[strings.LastIndexByte(server, '/')+1:]
	homes := s.homes[name]
	if len(homes) == 0 || everywhere[name] {
		return "", false
	}
	return homes[0] + "/" + name, true
}

// everywhere are names that stock files share with those of every site.
var everywhere = set("default.aspx web.config global.asax index.htm error.aspx iisstart.htm iisstart.png web.config.bak")
