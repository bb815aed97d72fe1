package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// webTree measures the hunt over a tree of web files with a folder of YARA rules against
// yara -r with the same rules: CPU times of whole processes with two threads each.
type webTree struct {
	*bench
	rules string // a folder of rules
	tree  string
}

// externals are the variables that public rules ask for beside the file. yara has one
// value for all files; the hunt gives each file its own.
var externals = []string{"filename", "filepath", "extension", "filetype", "owner"}

func (w *webTree) run() error {
	if w.tree == "" {
		return errors.New("-yara needs -tree, a folder of web files")
	}
	yara, err := exec.LookPath("yara")
	if err != nil {
		return fmt.Errorf("yara is needed as a peer (Debian: yara): %w", err)
	}
	brought, err := filepath.Glob(filepath.Join(w.rules, "*.yar"))
	if err != nil || len(brought) == 0 {
		return fmt.Errorf("no rules (*.yar) in %s", w.rules)
	}
	var packs []string
	for _, pattern := range []string{"campaigns/*/rules/*.yar", "products/*/rules/*.yar"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		packs = append(packs, found...)
	}
	if len(packs) == 0 {
		return errors.New("the packs' own rules are not here: run this in the repository")
	}
	theirs := func(files []string) func() *exec.Cmd {
		args := []string{"-w", "-r", "-N", "-p", "2"}
		for _, e := range externals {
			args = append(args, "-d", e+"=")
		}
		for i, name := range files { // of their own namespaces, as their names may be the same
			args = append(args, "r"+strconv.Itoa(i)+":"+name)
		}
		return func() *exec.Cmd { return exec.Command(yara, append(slices.Clone(args), w.tree)...) }
	}
	ours := func(args ...string) func() *exec.Cmd {
		args = append([]string{"hunt", "--threads", "2", "--format", "json", "--hash", "none"}, args...)
		return func() *exec.Cmd { return exec.Command(w.postern, append(slices.Clone(args), w.tree)...) }
	}
	rulesOnly := []string{"--rules-only", "--yara", w.rules}
	for _, name := range packs {
		rulesOnly = append(rulesOnly, "--yara", name)
	}
	both := theirs(slices.Concat(brought, packs))
	for _, c := range []struct {
		name         string
		ours, theirs func() *exec.Cmd
	}{
		{"all packs and the folder / yara, same rules", ours("--yara", w.rules), both},
		{"rules only, the packs' and the folder's / yara, same rules", ours(rulesOnly...), both},
		{"rules only, the folder's / yara, same rules", ours("--rules-only", "--yara", w.rules), theirs(brought)},
	} {
		a, t, err := w.alternate(w.cached(c.ours), w.cached(c.theirs))
		if err != nil {
			return err
		}
		row("CPU s, web tree: hunt, "+c.name, median(a), median(t), 0.10)
	}
	return nil
}

// cached runs a command once its files are in the page cache, for either side: systems that
// reclaim cached pages early would have the one that comes second read from the disk.
func (w *webTree) cached(c func() *exec.Cmd) func() (usage, error) {
	return func() (usage, error) {
		if err := readAll(w.tree, 2); err != nil {
			return usage{}, err
		}
		return run(c())
	}
}
