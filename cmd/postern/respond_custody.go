package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"postern"
	"postern/internal/bundle"
	"postern/internal/respond/custody"
)

// custodyOptions are the flags of "postern respond custody verify".
type custodyOptions struct {
	signer     string
	identities []string
	authority  string
	format     string
}

func (a *app) respondCustodyCommand() *cobra.Command {
	t := a.words.T
	c := &cobra.Command{
		Use:   "custody",
		Short: t("cmd.custody.short"),
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var o custodyOptions
	verify := &cobra.Command{
		Use:     "verify " + t("cmd.custody.verify.args"),
		Short:   t("cmd.custody.verify.short"),
		Long:    t("cmd.custody.verify.long"),
		Example: t("cmd.custody.verify.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.custodyVerify(c.Context(), o, args[0]) },
	}
	f := verify.Flags()
	f.StringVar(&o.signer, "signer", "", t("cmd.flag.custody.signer"))
	f.StringArrayVar(&o.identities, "identity", nil, t("cmd.flag.identity"))
	f.StringVar(&o.authority, "timestamp-ca", "", t("cmd.flag.custody.timestamp-ca"))
	f.StringVar(&o.format, "format", "text", t("cmd.flag.custody.format"))
	key := &cobra.Command{
		Use:   "key " + t("cmd.custody.key.args"),
		Short: t("cmd.custody.key.short"),
		Long:  t("cmd.custody.key.long"),
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return a.custodyKey(args[0]) },
	}
	c.AddCommand(verify, key)
	return c
}

// custodyKey makes an identity, for whoever has no age at hand.
func (a *app) custodyKey(name string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := writeNew(name, []byte(text)); err != nil {
		return failed(err, "cmd.create", "file", name)
	}
	fmt.Fprintln(a.out, id.Recipient())
	return nil
}

// readIdentities reads keys that open bundles.
func readIdentities(names []string) ([]age.Identity, error) {
	var all []age.Identity
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, failed(err, "cmd.open", "file", name)
		}
		ids, err := age.ParseIdentities(f)
		f.Close()
		if err != nil {
			return nil, failed(errors.New("no identity of age"), "custody.identity", "file", name) // its own words would show the secret
		}
		all = append(all, ids...)
	}
	return all, nil
}

func (a *app) custodyVerify(ctx context.Context, o custodyOptions, name string) error {
	if o.format != "text" && o.format != "json" {
		return usage("cmd.bad-format", "value", o.format, "known", "text, json")
	}
	opt := custody.Options{Signer: strings.TrimSpace(o.signer)}
	var err error
	if opt.Identities, err = readIdentities(o.identities); err != nil {
		return err
	}
	var roots *x509.CertPool
	if o.authority != "" {
		b, err := os.ReadFile(o.authority)
		if err != nil {
			return failed(err, "cmd.open", "file", o.authority)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(b) {
			return failed(errors.New("no certificate in PEM"), "custody.authority", "file", o.authority)
		}
	}
	opt.Stamp = func(token []byte, digest [sha256.Size]byte) (custody.Stamp, error) {
		return custody.CheckStamp(token, digest, roots)
	}
	f, err := os.Open(name)
	if err != nil {
		return failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return failed(err, "cmd.open", "file", name)
	}
	r, err := custody.Verify(ctx, f, info.Size(), opt)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, bundle.ErrNotBundle):
		return failed(err, "custody.not-bundle", "file", name)
	case errors.Is(err, bundle.ErrNoKey):
		return failed(err, "custody.no-key", "file", name)
	case err != nil:
		return failed(err, "cmd.open", "file", name)
	}
	switch {
	case len(r.Damages) > 0:
		a.code = exitFailed
	case !r.Sealed:
		a.code = exitOpen
	}
	if o.format == "json" {
		b, err := json.Marshal(custodyDocument(r))
		if err == nil {
			_, err = a.out.Write(append(b, '\n'))
		}
		if err != nil {
			return failed(err, "cmd.write")
		}
		return nil
	}
	a.printCustody(name, r)
	return nil
}

// custodyJSON is the form of "custody verify --format json".
type custodyJSON struct {
	Schema    string          `json:"schema"`
	Sound     bool            `json:"sound"`
	Sealed    bool            `json:"sealed"`
	Opened    bool            `json:"opened"`
	Bundle    string          `json:"bundle"`
	PublicKey string          `json:"public_key"`
	Stamp     *custody.Stamp  `json:"timestamp,omitempty"`
	Files     int64           `json:"files"`
	Bytes     int64           `json:"bytes"`
	Custody   []bundle.Entry  `json:"custody"`
	Damages   []custodyDamage `json:"damages"`
	Omitted   int             `json:"omitted"`
}

type custodyDamage struct {
	Part   string      `json:"part"`
	Offset int64       `json:"offset"`
	What   bundle.Flaw `json:"what"`
	Detail string      `json:"detail,omitempty"`
	Files  []string    `json:"files,omitempty"`
	Count  int         `json:"count,omitempty"`
}

func custodyDocument(r *custody.Report) custodyJSON {
	d := custodyJSON{Schema: "postern.custody/1", Sound: r.Sound(), Sealed: r.Sealed, Opened: r.Opened, Stamp: r.Stamp,
		Files: r.Files, Bytes: r.Bytes, Custody: r.Custody, Damages: []custodyDamage{}, Omitted: r.Omitted}
	if r.Seal != nil {
		d.Bundle = r.Seal.Bundle
	}
	if r.Signature != nil {
		d.PublicKey = r.Signature.PublicKey
	}
	for _, x := range r.Damages {
		d.Damages = append(d.Damages, custodyDamage{x.Part, x.Offset, x.What, x.Detail, x.Files, x.Count})
	}
	return d
}

// maxShownFiles is how many files of a damaged segment are shown; JSON has more.
const maxShownFiles = 10

// printCustody says in sentences what a check found.
//
// catalogue: custody.flaw.*
func (a *app) printCustody(name string, r *custody.Report) {
	say := func(key string, pairs ...any) { a.say(a.out, postern.Say(key, pairs...)) }
	switch {
	case r.Sound():
		say("custody.sound", "file", name)
	case len(r.Damages) > 0:
		say("custody.damaged", "file", name)
	default:
		say("custody.unsealed", "file", name)
	}
	for _, d := range r.Damages {
		part := d.Part
		if part == "" {
			part = a.words.T("custody.frame")
		}
		say("custody.damage", "part", part, "offset", d.Offset, "what", a.words.T("custody.flaw."+string(d.What)), "detail", d.Detail)
		files := d.Files[:min(len(d.Files), maxShownFiles)]
		for _, file := range files {
			say("custody.file", "path", file)
		}
		if more := d.Count - len(files); more > 0 {
			say("custody.more", "count", more)
		}
	}
	if r.Omitted > 0 {
		say("custody.more", "count", r.Omitted)
	}
	if r.Signature != nil {
		say("custody.signed", "key", r.Signature.PublicKey)
	}
	if r.Seal != nil {
		say("custody.sealed", "time", r.Seal.Time.Format(time.RFC3339), "count", r.Seal.Files, "bytes", sizeText(r.Seal.Bytes))
	}
	if r.Stamp != nil {
		key := "custody.stamp"
		if r.Stamp.Trusted {
			key = "custody.stamp-trusted"
		}
		say(key, "time", r.Stamp.Time.Format(time.RFC3339), "issuer", r.Stamp.Issuer) // catalogue: custody.stamp*
	}
	if r.Opened {
		say("custody.opened", "count", r.Files, "bytes", sizeText(r.Bytes))
	} else if r.Sound() {
		say("custody.not-opened")
	}
	for _, e := range r.Custody {
		offset := a.words.T("custody.offset-unknown")
		if e.ClockOffset != nil {
			offset = a.words.T("custody.offset", "seconds", fmt.Sprintf("%+g", *e.ClockOffset))
		}
		say("custody.entry", "time", e.Time.Format(time.RFC3339), "action", e.Action, "who", e.Who, "host", e.Host, "tool", e.Tool+" "+e.Version)
		say("custody.entry-note", "offset", offset, "note", e.Note)
	}
}
