package mitigate

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"postern"
)

// maxFiles bounds the configuration files of one server. An Exchange server has
// about sixty.
const maxFiles = 5000

// Find gives the configuration files below a root that can be in force, by their
// paths with '/'. Links are not followed. What could not be read is a problem.
func Find(ctx context.Context, root *os.Root) (map[string][]byte, []postern.Problem, error) {
	files := make(map[string][]byte)
	var problems []postern.Problem
	bad := func(name string, what postern.ProblemKind, why postern.Text) {
		problems = append(problems, postern.Problem{Path: name, What: what, Detail: why})
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && name == ".":
			return err
		case err != nil:
			bad(name, postern.Unreadable, postern.Say("mitigate.find.unreadable", "reason", cause(err)))
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() && passed(name):
			return fs.SkipDir
		case entry.IsDir() || !isConfig(name):
			return nil
		case len(files) >= maxFiles:
			bad(name, postern.Limit, postern.Say("mitigate.find.many", "bound", maxFiles))
			return fs.SkipAll
		case !entry.Type().IsRegular():
			bad(name, postern.Unsupported, postern.Say("mitigate.find.link"))
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Size() > MaxBytes {
			bad(name, postern.Limit, postern.Say("mitigate.find.size", "bound", MaxBytes))
			return nil
		}
		b, err := root.ReadFile(name)
		if err != nil {
			bad(name, postern.Unreadable, postern.Say("mitigate.find.unreadable", "reason", cause(err)))
			return nil
		}
		files[name] = b
		return nil
	})
	if err != nil {
		return nil, problems, fmt.Errorf("look for configuration files: %w", err)
	}
	return files, problems, nil
}

func isConfig(name string) bool {
	switch strings.ToLower(path.Base(name)) {
	case "web.config", "applicationhost.config", "redirection.config":
		return true
	}
	return false
}

// passed are folders with copies that nothing reads: the component store, an earlier
// Windows, the history of IIS.
func passed(dir string) bool {
	base := strings.ToLower(path.Base(dir))
	return base == "winsxs" || base == "windows.old" || strings.HasPrefix(base, "cfghistory_")
}
