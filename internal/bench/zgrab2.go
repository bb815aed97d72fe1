package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"postern/internal/exposure"
)

// zgrab2 is the peer: its http module over TLS, one page a connection, which is how
// it works. Hosts that the scan asked for several pages are visited once for each.

// zgrab2Version is built from its module, outside this repository.
const zgrab2Version = "v1.0.0"

// findZgrab2 gives the binary, which it builds if there is none.
func (o *outside) findZgrab2(ctx context.Context) (string, error) {
	if o.zgrab2 != "" {
		return filepath.Abs(o.zgrab2)
	}
	dir := filepath.Join(o.dir, "zgrab2")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	module := "module peer\n\ngo 1.26\n\nrequire github.com/zmap/zgrab2 " + zgrab2Version + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o644); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "zgrab2")
	c := exec.CommandContext(ctx, "go", "build", "-mod=mod", "-o", binary, "github.com/zmap/zgrab2/cmd/zgrab2")
	c.Dir, c.Stderr = dir, os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("build zgrab2 %s: %w", zgrab2Version, err)
	}
	return binary, nil
}

// zgrabList is the hosts that are asked for a page.
type zgrabList struct {
	path, file string
	hosts      int
}

// writeZgrab2 writes what the scan asked for as zgrab2 wants it, the page that most
// hosts were asked for first.
func writeZgrab2(dir string, list []exposure.Observation) ([]zgrabList, error) {
	hosts := map[string]*bytes.Buffer{}
	count := map[string]int{}
	for i := range list {
		for _, path := range pathsOf(&list[i]) {
			if hosts[path] == nil {
				hosts[path] = &bytes.Buffer{}
			}
			fmt.Fprintf(hosts[path], "%s,%s\n", list[i].Address, list[i].Name)
			count[path]++
		}
	}
	paths := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return count[b] - count[a] })
	var lists []zgrabList
	for i, path := range paths {
		l := zgrabList{path: path, file: filepath.Join(dir, "zgrab2-"+strconv.Itoa(i)+".csv"), hosts: count[path]}
		if err := os.WriteFile(l.file, hosts[path].Bytes(), 0o644); err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	return lists, nil
}

// runZgrab2 runs it once for each page and adds up its CPU time. Its list of
// networks to leave alone is emptied, as it holds loopback.
func runZgrab2(ctx context.Context, binary string, s *stage, lists []zgrabList) (total usage, err error) {
	for _, l := range lists {
		meta := filepath.Join(s.dir, "zgrab2.meta")
		u, err := run(exec.CommandContext(ctx, binary, "http", "--use-https", "--no-http2", "--port", strconv.Itoa(s.Port()), "--endpoint", l.path,
			"--max-size", "256", "--read-limit-per-host", "512", "-f", l.file, "-o", filepath.Join(s.dir, "zgrab2.json"), "-m", meta, "-l", os.DevNull, "-u", os.DevNull, "-b", os.DevNull))
		if err != nil {
			return usage{}, err
		}
		done, err := os.ReadFile(meta)
		if err != nil {
			return usage{}, err
		}
		if want := []byte(`"successes":` + strconv.Itoa(l.hosts) + `,`); !bytes.Contains(done, want) {
			return usage{}, fmt.Errorf("zgrab2 did not see all %d hosts at %s: %s", l.hosts, l.path, done)
		}
		total.cpu += u.cpu
		total.wall += u.wall
		total.rss = max(total.rss, u.rss)
	}
	return total, nil
}
