package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows/registry"
)

// Local gives the folders of this machine that are evidence of an Exchange
// server: where the registry says that Exchange is, where IIS logs, and the
// places of Windows in which traces of an intrusion lie. Folders that are not
// there are left out. The Windows folder is not given whole: its 200,000 files
// are Microsoft's.
func Local() ([]LocalRoot, error) {
	exchange, err := registryString(`SOFTWARE\Microsoft\ExchangeServer\v15\Setup`, "MsiInstallPath")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoExchange, err)
	}
	env := func(name, standard string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return standard
	}
	windows := env("SystemRoot", `C:\Windows`)
	drive := env("SystemDrive", "C:")
	inetpub := drive + `\inetpub`
	if www, err := registryString(`SOFTWARE\Microsoft\InetStp`, "PathWWWRoot"); err == nil {
		inetpub = filepath.Dir(expandPercent(www, os.Getenv))
	}
	system := filepath.Join(windows, "System32")

	roots := []LocalRoot{{"exchange", exchange}, {"inetpub", inetpub}}
	if f, err := os.Open(filepath.Join(system, `inetsrv\config\applicationHost.config`)); err == nil {
		for _, folder := range logFolders(f, func(s string) string { return expandPercent(s, os.Getenv) }) {
			roots = append(roots, LocalRoot{"iis-log", folder})
		}
		f.Close()
	}
	roots = append(roots,
		LocalRoot{"iis-config", filepath.Join(system, `inetsrv\config`)},
		LocalRoot{"event-log", filepath.Join(system, `winevt\Logs`)},
		LocalRoot{"aspnet-temp", filepath.Join(windows, `Microsoft.NET\Framework64\v4.0.30319\Temporary ASP.NET Files`)},
		LocalRoot{"windows-temp", filepath.Join(windows, "Temp")},
		LocalRoot{"windows-debug", filepath.Join(windows, "debug")},
		LocalRoot{"programdata", env("ProgramData", drive+`\ProgramData`)},
	)
	return existing(roots), nil
}

// existing leaves out what is not there, and what lies in another of the roots.
func existing(roots []LocalRoot) []LocalRoot {
	var out []LocalRoot
	for _, r := range roots {
		r.Path = filepath.Clean(r.Path)
		info, err := os.Stat(r.Path)
		if err != nil || !info.IsDir() {
			continue
		}
		inside := false
		for _, o := range out {
			inside = inside || strings.HasPrefix(strings.ToLower(r.Path)+`\`, strings.ToLower(o.Path)+`\`)
		}
		if !inside {
			out = append(out, r)
		}
	}
	return out
}

func registryString(path, name string) (string, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return "", err
	}
	defer k.Close()
	s, _, err := k.GetStringValue(name)
	return s, err
}
