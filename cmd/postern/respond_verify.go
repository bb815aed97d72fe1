package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern"
	"postern/internal/hunt"
	"postern/internal/report"
	"postern/internal/respond"
	"postern/internal/respond/clean"
	"postern/internal/respond/verify"
)

// verifyOptions are the flags of "postern respond verify".
type verifyOptions struct {
	hunt       huntOptions
	since      string
	attest     string
	key        string
	who        string
	quarantine string
	format     string
}

func (a *app) respondVerifyCommand() *cobra.Command {
	t := a.words.T
	o := verifyOptions{hunt: huntOptions{hash: "found", indicatorsTLP: "amber+strict"}}
	c := &cobra.Command{
		Use:     "verify " + t("cmd.verify.args"),
		Short:   t("cmd.verify.short"),
		Long:    t("cmd.verify.long"),
		Example: t("cmd.verify.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.verify(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.since, "since", "", t("cmd.flag.verify.since"))
	f.StringVar(&o.attest, "attest", "", t("cmd.flag.verify.attest"))
	f.StringVar(&o.key, "key", "", t("cmd.flag.verify.key"))
	f.StringVar(&o.who, "who", "", t("cmd.flag.verify.who"))
	f.StringVar(&o.quarantine, "quarantine", "", t("cmd.flag.verify.quarantine"))
	f.StringVar(&o.format, "format", "text", t("cmd.flag.custody.format"))
	f.StringVar(&o.hunt.host, "host", "", t("cmd.flag.clean.host"))
	f.StringVar(&o.hunt.patchedAt, "patched-at", "", t("cmd.flag.patched-at"))
	f.StringSliceVar(&o.hunt.campaigns, "campaign", nil, t("cmd.flag.campaign"))
	f.StringArrayVar(&o.hunt.indicators, "indicators", nil, t("cmd.flag.indicators"))
	o.hunt.rules.add(c, t)
	return c
}

func (a *app) respondAttestationCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "attestation",
		Short: t("cmd.attestation.short"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var key, format string
	check := &cobra.Command{
		Use:     "check " + t("cmd.attestation.check.args"),
		Short:   t("cmd.attestation.check.short"),
		Long:    t("cmd.attestation.check.long"),
		Example: t("cmd.attestation.check.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.attestationCheck(args[0], key, format) },
	}
	check.Flags().StringVar(&key, "key", "", t("cmd.flag.attestation.key"))
	check.Flags().StringVar(&format, "format", "text", t("cmd.flag.custody.format"))
	c.AddCommand(check)
	return c
}

// verify is the command: a new hunt to three answers.
func (a *app) verify(ctx context.Context, o verifyOptions, dir string) error {
	if o.format != "text" && o.format != "json" {
		return usage("cmd.bad-format", "value", o.format, "known", "text, json")
	}
	if o.key != "" && o.attest == "" {
		return usage("verify.key-alone")
	}
	defer a.boundMemory()()
	now := time.Now()
	opt, left, err := a.setUp(o.hunt, now)
	if err != nil {
		return err
	}
	for _, p := range left {
		a.say(a.err, p.Detail)
	}
	inputs, err := a.inputs(o.hunt, []string{dir})
	if err != nil {
		return err
	}
	aside, err := a.setAside(o.quarantine, dir)
	if err != nil {
		return err
	}
	if len(aside) > 0 {
		open := inputs[0].Open
		inputs[0].Open = func(ctx context.Context, tell func(postern.Problem)) (hunt.Evidence, error) {
			e, err := open(ctx, tell)
			return only{e, func(p string) bool { return !aside[p] }}, err
		}
	}
	opt.Progress = &hunt.Progress{}
	stop := a.showProgress(opt.Progress)
	sink := &hostSink{}
	err = hunt.Run(ctx, inputs, opt, sink)
	stop()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return failed(err, "cmd.open", "file", dir)
	}
	if len(sink.hosts) != 1 {
		var names []string
		for _, h := range sink.hosts {
			names = append(names, h.Host)
		}
		return &problem{code: exitFailed, what: postern.Say("verify.servers", "root", dir, "hosts", strings.Join(names, ", ")), hint: postern.Say("verify.servers.hint")}
	}
	s := verify.Subject{Host: sink.hosts[0], Campaigns: opt.Campaigns, Status: sink.status, Problems: len(sink.problems), Set: len(aside),
		Told: sink.hosts[0].Patched.Why.Key == "correlate.patched.told"}
	for i := range s.Host.Findings {
		f := &s.Host.Findings[i]
		var at postern.Evidence
		if len(f.Evidence) > 0 {
			at = f.Evidence[0]
		}
		s.Findings = append(s.Findings, seen(f.Rule, f.Level, at.Path, at.Line, f.Entities[postern.FileSHA256], at.SHA256))
	}
	earlier, saved, err := a.earlier(o.since, s.Host.Host)
	if err != nil {
		return err
	}
	r := verify.Judge(s, earlier)
	doc := verify.Attest(s, r, a.words)
	doc.Root, doc.Time, doc.Tool, doc.Version, doc.Who = absolute(dir), now.UTC().Truncate(time.Second), "postern", version(), who(o.who)
	doc.Machine, _ = os.Hostname()
	if doc.Since != nil {
		doc.Since.Hunt, doc.Since.Started = saved.sha256, saved.Run.Started.String()
	}
	switch {
	case r.Refuted():
		a.code = exitFound
	case !r.Proved():
		a.code = exitOpen
	}
	if err := a.printAttestation(doc, o.format); err != nil {
		return err
	}
	if o.attest == "" {
		return nil
	}
	return a.signAttestation(o, doc)
}

// seen is a finding as the comparison needs it. One about a file has the hash of its
// evidence; settings and registry hives are what they were read from, too.
func seen(rule string, level postern.Level, at string, line int64, file, evidence string) verify.Seen {
	s := verify.Seen{Rule: rule, Level: level, Path: at, Line: line}
	_, s.Server = hunt.Place(at)
	if file != "" && file == evidence {
		s.File = file
	}
	s.Here = s.File != "" || strings.HasPrefix(rule, "config/") || strings.HasPrefix(rule, "registry/")
	return s
}

// setAside gives the files of a quarantine in the root, which are not there any more for
// the server.
func (a *app) setAside(name, dir string) (map[string]bool, error) {
	said := name != ""
	name = cmp.Or(name, filepath.Join(dir, quarantineFolder))
	rel, err := filepath.Rel(absolute(dir), absolute(name))
	if err != nil || !filepath.IsLocal(rel) {
		return nil, nil // beside the root, so that nobody looks there
	}
	folder, err := os.OpenRoot(name)
	if err != nil {
		if said {
			return nil, failed(err, "clean.folder", "folder", name)
		}
		return nil, nil
	}
	defer folder.Close()
	stored, err := clean.StoredPaths(folder, "")
	if err != nil {
		return nil, cleanRefused(err)
	}
	aside := make(map[string]bool)
	for p := range stored {
		if _, err := folder.Lstat(p); err == nil {
			aside[filepath.ToSlash(rel)+"/"+p] = true
		}
	}
	return aside, nil
}

// earlier reads what an older hunt said of the same server.
func (a *app) earlier(name, host string) (*verify.Earlier, savedRun, error) {
	if name == "" {
		return nil, savedRun{}, nil
	}
	saved, err := a.savedHunt(name)
	if err != nil {
		return nil, saved, err
	}
	var of []string
	for i := range saved.Hosts {
		h := &saved.Hosts[i]
		of = append(of, h.Host)
		if !strings.EqualFold(h.Host, host) {
			continue
		}
		e := &verify.Earlier{Level: h.Verdict.Level}
		for j := range h.Findings {
			f := &h.Findings[j]
			var at report.Evidence
			if len(f.Evidence) > 0 {
				at = f.Evidence[0]
			}
			e.Findings = append(e.Findings, seen(f.Rule, f.Level, at.Path, at.Line, f.Entities[postern.FileSHA256], at.SHA256))
		}
		return e, saved, nil
	}
	return nil, saved, &problem{code: exitFailed, what: postern.Say("verify.other-server", "file", name, "hunted", strings.Join(of, ", "), "is", host),
		hint: postern.Say("clean.other-server.hint")}
}

// signAttestation writes the signed document, which must not exist.
func (a *app) signAttestation(o verifyOptions, doc *verify.Attestation) error {
	var key ed25519.PrivateKey
	var err error
	if o.key == "" {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		var made bool
		if key, made, err = signingKey(o.key); made && err == nil {
			a.say(a.err, postern.Say("preserve.key-made", "file", o.key))
		}
	}
	if err != nil {
		return failed(err, "preserve.key", "file", o.key)
	}
	raw, err := respond.Sign(verify.Schema, doc, key)
	if err == nil {
		err = writeNew(o.attest, raw)
	}
	if err != nil {
		return failed(err, "cmd.create", "file", o.attest)
	}
	a.say(a.err, postern.Say("verify.attested", "file", o.attest, "key", respond.PublicKey(key)))
	return nil
}

// maxChangesShown bounds what is printed of what is still there, and of what is gone.
const maxChangesShown = 10

// printAttestation says the three answers.
//
// catalogue: verify.state.*
// catalogue: verify.question.*
// catalogue: verify.change.*
// catalogue: verify.strength.*
func (a *app) printAttestation(d *verify.Attestation, format string) error {
	if format == "json" {
		b, err := json.Marshal(d)
		if err == nil {
			_, err = a.out.Write(append(b, '\n'))
		}
		if err != nil {
			return failed(err, "cmd.write")
		}
		return nil
	}
	out := bufio.NewWriter(a.out)
	t := a.words.T
	line := func(indent int, text string) {
		pad := strings.Repeat(" ", indent)
		fmt.Fprintln(out, pad+wrap(report.Visible(text), 80-indent, pad))
	}
	whole := func(text string) { fmt.Fprintln(out, report.Visible(text)) }
	line(0, t("verify.server", "host", d.Host, "build", cmp.Or(d.Build, "?"), "time", d.Time.Format(time.RFC3339)))
	for _, q := range []struct {
		name string
		verify.Attested
	}{{"patched", d.Patched}, {"mitigated", d.Mitigated}, {"clean", d.Clean}} {
		fmt.Fprintln(out)
		answer := t("verify.state." + string(q.State))
		if q.Strength != "" {
			answer += " " + t("verify.strength", "strength", t("verify.strength."+q.Strength))
		}
		line(0, t("verify.question."+q.name)+" "+answer)
		line(2, sentence(a.again(q.Why)))
		for _, p := range q.Evidence {
			whole("  - " + t("verify.place", "path", p.Path, "rule", p.Rule, "level", int(p.Level)))
		}
		if q.More > 0 {
			line(2, t("verify.more", "count", q.More))
		}
		for _, u := range q.Unchecked {
			line(2, t("verify.unchecked", "what", a.again(u)+"."))
		}
	}
	if d.Since != nil {
		fmt.Fprintln(out)
		line(0, t("verify.since", "time", d.Since.Started, "new", d.Since.New, "still", d.Since.Still, "gone", d.Since.Gone))
		shown := make(map[verify.What]int)
		more := 0
		for _, c := range d.Since.Changes {
			if shown[c.What]++; shown[c.What] > maxChangesShown && c.What != verify.New {
				more++
				continue
			}
			whole("  " + t("verify.change."+string(c.What), "path", c.Path, "rule", c.Rule, "level", int(c.Level)))
		}
		if more > 0 {
			line(2, t("verify.changes-more", "count", more))
		}
	}
	fmt.Fprintln(out)
	if d.Proved {
		line(0, t("verify.proved"))
	} else {
		line(0, t("verify.not-proved"))
	}
	return out.Flush()
}

// again says a signed sentence in the reader's language where it can be said.
func (a *app) again(s verify.Sentence) string {
	if s.Say.Key != "" && a.words.Has(s.Say.Key) {
		return a.words.Say(s.Say)
	}
	return s.Text
}

// attestationCheck proves a signed document and prints what it says.
func (a *app) attestationCheck(name, key, format string) error {
	if format != "text" && format != "json" {
		return usage("cmd.bad-format", "value", format, "known", "text, json")
	}
	f, err := os.Open(name)
	if err != nil {
		return failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, respond.MaxSigned+1))
	if err != nil {
		return failed(err, "cmd.open", "file", name)
	}
	body, by, err := respond.Open(verify.Schema, raw, strings.TrimSpace(key))
	var d verify.Attestation
	if err == nil {
		if json.Unmarshal(body, &d) != nil {
			err = respond.ErrForm
		}
	}
	switch {
	case errors.Is(err, respond.ErrSigner):
		return failed(err, "attestation.signer", "file", name, "key", by)
	case errors.Is(err, respond.ErrSignature):
		return failed(err, "attestation.signature", "file", name)
	case err != nil:
		return failed(err, "attestation.form", "file", name)
	}
	if format == "text" {
		if key == "" {
			a.sayLine("attestation.valid-any", "file", name, "key", by)
		} else {
			a.sayLine("attestation.valid", "file", name, "key", by)
		}
		a.sayLine("attestation.by", "who", d.Who, "machine", d.Machine, "version", d.Version, "root", d.Root)
		fmt.Fprintln(a.out)
	}
	if known, err := a.learn(nil); err == nil { // for the words of the packs
		if _, _, err := known.detectors(); err == nil {
			a.words = known.words
		}
	}
	return a.printAttestation(&d, format)
}
