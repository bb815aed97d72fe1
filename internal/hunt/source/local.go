package source

import (
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"
)

// LocalRoot is a folder of this machine that is evidence of an Exchange server.
type LocalRoot struct {
	// What says why it was chosen: "exchange" (the product's folder), "iis-log",
	// "inetpub", "iis-config", "event-log", "aspnet-temp", "windows-temp",
	// "windows-debug" or "programdata".
	What string
	Path string
}

// ErrNotWindows is the error of [Local] where there is no Windows to look at.
var ErrNotWindows = errors.New("only a Windows machine can be hunted without naming its evidence")

// ErrNoExchange is the error of [Local] on a machine without Exchange.
var ErrNoExchange = errors.New("the registry of this machine knows no Exchange server")

// maxServerConfig is the size up to which applicationHost.config is read; with a
// thousand sites it has a megabyte.
const maxServerConfig = 16 << 20

// logFolders gives the folders that the sites of IIS log to, as
// applicationHost.config says it: the attribute directory of logFile and of the
// like below sites. Variables such as %SystemDrive% are replaced by expand.
func logFolders(config io.Reader, expand func(string) string) []string {
	d := xml.NewDecoder(io.LimitReader(config, maxServerConfig))
	d.Strict = false
	var folders []string
	seen := make(map[string]bool)
	for {
		token, err := d.Token()
		if err != nil {
			return folders
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "logFile", "centralW3CLogFile", "centralBinaryLogFile":
		default:
			continue
		}
		for _, a := range start.Attr {
			if a.Name.Local != "directory" || a.Value == "" {
				continue
			}
			folder := expand(a.Value)
			if key := strings.ToLower(path.Clean(strings.ReplaceAll(folder, `\`, "/"))); !seen[key] {
				seen[key] = true
				folders = append(folders, folder)
			}
		}
	}
}

// expandPercent replaces %NAME% by its value. A variable that is not set stays.
func expandPercent(s string, value func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "%")
		name, after, closed := strings.Cut(rest, "%")
		if !ok || !closed {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(before)
		if v := value(name); v != "" {
			b.WriteString(v)
		} else {
			b.WriteString("%" + name + "%")
		}
		s = after
	}
}
