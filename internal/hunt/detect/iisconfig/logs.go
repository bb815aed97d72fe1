package iisconfig

import (
	"strings"

	"postern"
	"postern/internal/hunt/parse/iisconfig"
)

// defaultLogs is where IIS logs if nobody says otherwise.
const defaultLogs = `%SystemDrive%\inetpub\logs\LogFiles`

// LogFolder is where one site writes its request log.
type LogFolder struct {
	Site string // name
	ID   string
	// Folder is as the configuration writes it, with the site's own folder:
	// D:\logs\W3SVC1. Place is the same in lower case, with '/', without drive.
	Folder, Place string
	Custom        bool // not the default folder
	Disabled      bool
	Side          string // "front", "back" or ""
	Evidence      postern.Evidence
	at            iisconfig.Pos
}

// LogFolders says where the sites of a host log and have logged: whoever looks
// for IIS logs elsewhere misses them. Each folder stands once.
func (d *Detector) LogFolders(configs ...*Config) []LogFolder {
	h := d.host(configs)
	seen := make(map[string]bool)
	var folders []LogFolder
	for i := len(h.family) - 1; i >= 0; i-- { // the file in force first
		c := h.family[i]
		for j := range c.Sites {
			f := logFolder(c, &c.Sites[j])
			key := f.ID + "\x00" + f.Place
			if seen[key] {
				continue
			}
			seen[key] = true
			switch h.sideOf(&c.Sites[j]) {
			case front:
				f.Side = "front"
			case back:
				f.Side = "back"
			}
			folders = append(folders, f)
		}
	}
	return folders
}

func logFolder(c *Config, s *iisconfig.Site) LogFolder {
	f := LogFolder{Site: s.Name, ID: s.ID, Disabled: s.LogFile.Disabled || c.SiteDefaults.Disabled, at: s.Pos}
	parent, own := defaultLogs, "W3SVC"+s.ID
	switch {
	case strings.EqualFold(c.CentralLog.Mode, "CentralW3C") && c.CentralLog.W3C != "":
		parent, own, f.at = c.CentralLog.W3C, "W3SVC", c.CentralLog.Pos
	case strings.EqualFold(c.CentralLog.Mode, "CentralBinary") && c.CentralLog.BinaryDir != "":
		parent, own, f.at = c.CentralLog.BinaryDir, "W3SVC", c.CentralLog.Pos
	case s.LogFile.Directory != "":
		parent, f.at = s.LogFile.Directory, s.LogFile.Pos
	case c.SiteDefaults.Directory != "":
		parent, f.at = c.SiteDefaults.Directory, c.SiteDefaults.Pos
	}
	f.Custom = canonical(parent, "") != canonical(defaultLogs, "") || own == "W3SVC"
	f.Folder = strings.TrimRight(parent, `\/`) + `\` + own
	f.Place = canonical(f.Folder, "")
	f.Evidence = c.evidence(f.at)
	return f
}
