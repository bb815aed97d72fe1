package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern"
	"postern/internal/hunt"
	detectall "postern/internal/hunt/detect/all"
	"postern/internal/hunt/detect/indicator"
	"postern/internal/report"
)

// maxFeedFiles bounds the files of one folder of feeds.
const maxFeedFiles = 10_000

// feedEndings are those of files that are read as feeds in a folder. A file that is
// named is read whatever its ending.
var feedEndings = []string{".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".stix", ".stix2", ".taxii", ".misp", ".ioc", ".xml", ".txt", ".list", ".lst", ".ioc2"}

// indicators reads the feeds that the user named and adds the packs' own. Problems say
// what of the feeds is not compared with; they belong into the report.
func (a *app) indicators(o huntOptions, k *knowledge, now time.Time) (*indicator.Set, []postern.Problem, error) {
	tlp, ok := indicator.ParseTLP(o.indicatorsTLP)
	if !ok && !strings.EqualFold(o.indicatorsTLP, "red") || tlp == indicator.Unmarked {
		return nil, nil, usage("cmd.bad-tlp", "value", o.indicatorsTLP)
	}
	b := indicator.NewBuilder()
	for _, p := range k.packs {
		if k.user != nil && k.user.only {
			break
		}
		for _, i := range p.Indicators {
			b.Pack(i)
		}
	}
	var problems []postern.Problem
	for _, name := range o.indicators {
		info, err := os.Stat(name)
		if err != nil {
			return nil, nil, failed(err, "cmd.open", "file", name)
		}
		files := []string{name}
		if info.IsDir() {
			var others []postern.Problem
			if files, others, err = feedFiles(name); err != nil {
				return nil, nil, err
			}
			problems = append(problems, others...)
		}
		for _, file := range files {
			feed, err := a.readFeed(file, b, indicator.Options{Now: now, TLP: tlp})
			var bad *indicator.ErrFeed
			switch {
			case errors.As(err, &bad) && bad.None && info.IsDir():
				problems = append(problems, postern.Problem{Path: file, What: postern.Unsupported, Detail: bad.What})
			case errors.As(err, &bad):
				return nil, nil, &problem{code: exitFailed, what: postern.Say("cmd.bad-feed", "file", file, "reason", a.words.Say(bad.What)), hint: postern.Say("cmd.bad-feed.hint"), cause: err}
			case err != nil:
				return nil, nil, err
			default:
				problems = append(problems, feed.Problems...)
				fmt.Fprintln(a.err, report.Visible(a.words.T("cmd.feed", "file", file, "format", feed.Format, "count", feed.Used, "left", feed.Unsupported+feed.Revoked+feed.Restricted+feed.Context)))
			}
		}
	}
	return b.Set(), problems, nil
}

// compare adds what compares files and rows with indicators.
func (k *knowledge) compare(opt *hunt.Options, signs *indicator.Set, all bool, now time.Time) {
	if rows, ok := opt.Rules.(*detectall.Rows); ok {
		opt.Rules = rows.WithIndicators(signs, now)
	}
	var layout detectall.Layout
	if p := k.product(); p != nil {
		layout = layoutOf(p.Layout)
	}
	opt.Files = append(opt.Files, detectall.Indicators(signs, layout, all, now))
}

func (a *app) readFeed(name string, b *indicator.Builder, opt indicator.Options) (*indicator.Feed, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, failed(errors.New("not a regular file"), "cmd.open", "file", name)
	}
	return indicator.Read(f, filepath.ToSlash(name), b, opt)
}

// feedFiles lists the feeds in a folder and below it, and names what else is there.
func feedFiles(dir string) (files []string, others []postern.Problem, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return failed(err, "cmd.open", "file", name)
		}
		switch {
		case d.IsDir():
		case strings.HasPrefix(d.Name(), "."):
		case d.Type().IsRegular() && slices.Contains(feedEndings, strings.ToLower(filepath.Ext(name))):
			if files = append(files, name); len(files) > maxFeedFiles {
				return usage("cmd.many-feeds", "file", dir, "bound", maxFeedFiles)
			}
		default:
			others = append(others, postern.Problem{Path: filepath.ToSlash(name), What: postern.Unsupported, Detail: postern.Say("indicator.no-feed-file")})
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = usage("cmd.no-feeds", "file", dir)
	}
	return files, others, err
}
