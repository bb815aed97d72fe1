package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"postern"
	"postern/internal/bundle"
	"postern/internal/report"
	"postern/internal/respond/custody"
	"postern/internal/respond/preserve"
)

// preserveOptions are the flags of "postern respond preserve".
type preserveOptions struct {
	out            string
	recipients     []string
	recipientsFile string
	key            string
	who            string
	clockOffset    string
	from           string
	timestamp      string
	all            bool
	plan           bool
}

func (a *app) respondPreserveCommand() *cobra.Command {
	t := a.words.T
	var o preserveOptions
	c := &cobra.Command{
		Use:     "preserve " + t("cmd.preserve.args"),
		Short:   t("cmd.preserve.short"),
		Long:    t("cmd.preserve.long"),
		Example: t("cmd.preserve.example"),
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.preserve(c.Context(), o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", t("cmd.flag.preserve.out"))
	f.StringArrayVar(&o.recipients, "recipient", nil, t("cmd.flag.preserve.recipient"))
	f.StringVar(&o.recipientsFile, "recipients-file", "", t("cmd.flag.preserve.recipients-file"))
	f.StringVar(&o.key, "key", "", t("cmd.flag.preserve.key"))
	f.StringVar(&o.who, "who", "", t("cmd.flag.preserve.who"))
	f.StringVar(&o.clockOffset, "clock-offset", "", t("cmd.flag.preserve.clock-offset"))
	f.StringVar(&o.from, "from", "", t("cmd.flag.preserve.from"))
	f.StringVar(&o.timestamp, "timestamp", "", t("cmd.flag.preserve.timestamp"))
	f.BoolVar(&o.all, "all", false, t("cmd.flag.preserve.all"))
	f.BoolVar(&o.plan, "plan", false, t("cmd.flag.preserve.plan"))
	return c
}

// stampTimeout is how long a time stamp authority may take: it signs some bytes.
const stampTimeout = 30 * time.Second

// preserve is the command: a tree to a sealed bundle.
func (a *app) preserve(ctx context.Context, o preserveOptions, root string) error {
	opt := preserve.Options{Root: root, Out: o.out, All: o.all, Tool: "postern", Version: version(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Now: time.Now}
	if o.from != "" {
		names, whole, err := a.namedFiles(o.from)
		if err != nil {
			return err
		}
		opt.Named = names
		if !whole && !o.all { // with all, what is not taken first is taken in its turn
			a.code = exitOpen
		}
	}
	if o.plan {
		plan, err := preserve.MakePlan(ctx, opt)
		if err != nil {
			return preserveError(err, root, o.out)
		}
		return a.printPlan(a.out, plan, -1)
	}
	if o.out == "" {
		return usage("preserve.no-out")
	}
	defer a.boundMemory()()
	if err := a.fillPreserve(o, &opt); err != nil {
		return err
	}
	// Evidence that nobody can put a name to is preserved all the same.
	opt.Servers, _ = a.serverNames(ctx, huntOptions{}, root)
	stop := func() {}
	opt.Progress = new(preserve.Progress)
	opt.Planned = func(p preserve.Plan, free int64) error {
		if err := a.printPlan(a.err, p, free); err != nil {
			return err
		}
		stop = a.showPreserving(opt.Progress, p)
		return nil
	}
	r, err := preserve.Run(ctx, opt)
	stop()
	if err != nil {
		return preserveError(err, root, o.out)
	}
	if r.Partial() || r.NoStamp != nil {
		a.code = exitOpen
	}
	return a.printPreserved(r)
}

// fillPreserve adds who may open the bundle, who makes it, and with which key.
func (a *app) fillPreserve(o preserveOptions, opt *preserve.Options) error {
	if err := recipients(o, opt); err != nil {
		return err
	}
	opt.Who = o.who
	if u, err := user.Current(); err == nil {
		if opt.Who = u.Username; o.who != "" {
			opt.Who = o.who + " (" + u.Username + ")"
		}
	}
	if host, err := os.Hostname(); err == nil {
		opt.Host = host
	}
	if o.clockOffset != "" {
		d, err := time.ParseDuration(o.clockOffset)
		if err != nil {
			return usage("preserve.bad-offset", "value", o.clockOffset)
		}
		opt.ClockOffset = &d
	}
	if o.key != "" {
		key, made, err := signingKey(o.key)
		if err != nil {
			return failed(err, "preserve.key", "file", o.key)
		}
		if made {
			a.say(a.err, postern.Say("preserve.key-made", "file", o.key))
		}
		opt.Key = key
	}
	if o.timestamp != "" {
		client := &http.Client{Timeout: stampTimeout}
		opt.Stamp = func(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
			return custody.AskStamp(ctx, client, o.timestamp, digest)
		}
	}
	return nil
}

// recipients reads the public keys of who may open the bundle.
func recipients(o preserveOptions, opt *preserve.Options) error {
	lines := slices.Clone(o.recipients)
	if o.recipientsFile != "" {
		more, err := readLines(o.recipientsFile)
		if err != nil {
			return err
		}
		lines = append(lines, more...)
	}
	for _, l := range lines {
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") || slices.Contains(opt.Names, l) {
			continue
		}
		all, err := age.ParseRecipients(strings.NewReader(l))
		if err != nil {
			return usage("preserve.bad-recipient", "value", l)
		}
		opt.Recipients = append(opt.Recipients, all...)
		opt.Names = append(opt.Names, l)
	}
	if len(opt.Recipients) == 0 {
		return usage("preserve.no-recipient")
	}
	return nil
}

// signingKey reads an Ed25519 key (PKCS #8 in PEM), or makes one where there is none.
func signingKey(name string) (key ed25519.PrivateKey, made bool, err error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err = ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, false, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, false, err
		}
		return key, true, writeNew(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, false, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, false, errNotPEM
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, false, err
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, false, errNotEd25519
	}
	return key, false, nil
}

var (
	errNotPEM     = errors.New("not a key in PEM")
	errNotEd25519 = errors.New("a key of another kind than Ed25519")
)

// namedFiles gives the files that the findings of a saved hunt are about. It says so, and
// that they are not the whole, if there are too many or the hunt was interrupted.
func (a *app) namedFiles(name string) (names []string, whole bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	doc, err := report.Decode(name, f, a.words)
	if err != nil {
		return nil, false, failed(err, "cmd.saved", "file", name)
	}
	whole = true
	if doc.End.Cut {
		whole = false
		a.say(a.err, postern.Say("preserve.from-cut", "file", name))
	}
	for _, h := range doc.Hosts {
		for _, x := range h.Findings {
			// One with a hash was there as a file; others are only spoken of.
			if file := x.Entities[postern.File]; file != "" && x.Entities[postern.FileSHA256] != "" {
				names = append(names, file)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if n := len(names); n > preserve.MaxNamed {
		names, whole = names[:preserve.MaxNamed], false
		a.say(a.err, postern.Say("preserve.from-many", "file", name, "count", n, "bound", preserve.MaxNamed))
	}
	return names, whole, nil
}

// preserveError puts what went wrong into words.
func preserveError(err error, root, out string) error {
	var state *preserve.StateError
	var room *preserve.RoomError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, preserve.ErrExists):
		return failed(err, "preserve.exists", "file", out)
	case errors.Is(err, preserve.ErrRunning):
		return failed(err, "preserve.running", "file", out)
	case errors.Is(err, preserve.ErrOther):
		return failed(err, "preserve.other", "file", out, "folder", filepath.ToSlash(out)+".part")
	case errors.Is(err, preserve.ErrNothing):
		return failed(err, "preserve.nothing", "root", root)
	case errors.Is(err, preserve.ErrRoot):
		return failed(err, "preserve.root", "root", root)
	case errors.As(err, &room):
		return failed(err, "preserve.room-short", "file", out, "free", sizeText(room.Free), "about", sizeText(room.About))
	case errors.As(err, &state) && preserve.Full(err):
		return failed(err, "preserve.full", "folder", state.Folder)
	case errors.As(err, &state):
		return failed(err, "preserve.write", "folder", state.Folder)
	}
	return failed(err, "cmd.open", "file", root)
}

// say prints a sentence on a line of its own, without the blank before a detail that is
// not there. Names come from outside: nothing in them may reach a terminal.
func (a *app) say(w io.Writer, t postern.Text) {
	fmt.Fprintln(w, strings.TrimRight(report.Visible(a.words.Say(t)), " "))
}

// printPlan shows how much there is of each class, and how large the bundle will be. free
// is what the disk has, -1 if nobody knows.
//
// catalogue: preserve.class.*
func (a *app) printPlan(w io.Writer, p preserve.Plan, free int64) error {
	t := a.words.T
	fmt.Fprintln(w, t("preserve.plan"))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, files, bytes int64) {
		fmt.Fprintf(tw, "%s\t%s\t  %s\n", t("preserve.files", "count", files), sizeText(bytes), what)
	}
	for _, c := range p.Classes {
		row(t("preserve.class."+string(c.Class)), c.Files, c.Bytes)
	}
	files, bytes := p.Total()
	row(t("preserve.total"), files, bytes)
	if p.Left.Files > 0 {
		row(t("preserve.left"), p.Left.Files, p.Left.Bytes)
	}
	if err := tw.Flush(); err != nil {
		return failed(err, "cmd.write")
	}
	if p.Troubles > 0 {
		a.say(w, postern.Say("preserve.walk-troubles", "count", p.Troubles))
	}
	about, most := p.Room()
	a.say(w, postern.Say("preserve.room", "about", sizeText(about), "most", sizeText(most)))
	if free >= about && free < most {
		a.say(w, postern.Say("preserve.tight", "free", sizeText(free)))
	}
	return nil
}

// sizeText is a size for people, in powers of 1000 as file managers and disks have it.
func sizeText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f := float64(n)
	i := 0
	for f >= 1000 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// printPreserved says what was made and what could not be taken.
//
// catalogue: preserve.trouble.*
func (a *app) printPreserved(r *preserve.Result) error {
	a.say(a.out, postern.Say("preserve.done", "file", r.Bundle, "size", sizeText(r.Size)))
	a.say(a.out, postern.Say("preserve.holds", "count", r.Files, "bytes", sizeText(r.Bytes), "segments", r.Segments))
	a.say(a.out, postern.Say("preserve.signed", "key", r.PublicKey))
	a.say(a.out, postern.Say("preserve.signed-why"))
	a.say(a.out, postern.Say("preserve.seal", "hash", r.Seal))
	if r.Resumed > 0 {
		a.say(a.out, postern.Say("preserve.resumed", "count", r.Resumed))
	}
	if r.NoStamp != nil {
		a.say(a.err, postern.Say("preserve.no-stamp", "reason", reason(r.NoStamp)))
	}
	var kinds []bundle.Trouble
	for what := range r.Troubles {
		kinds = append(kinds, what)
	}
	slices.SortFunc(kinds, func(x, y bundle.Trouble) int { return cmp.Compare(x, y) })
	for _, what := range kinds {
		a.say(a.out, postern.Say("preserve.troubles", "count", r.Troubles[what], "what", a.words.T("preserve.trouble."+string(what))))
	}
	for _, told := range r.Told {
		a.say(a.out, postern.Say("preserve.told", "path", told.Path, "what", a.words.T("preserve.trouble."+string(told.What)), "detail", told.Detail))
	}
	return nil
}

// showPreserving shows progress on a terminal.
func (a *app) showPreserving(p *preserve.Progress, plan preserve.Plan) (stop func()) {
	if !isTerminal(a.err) {
		return func() {}
	}
	_, total := plan.Total()
	bar := progressbar.DefaultBytes(total, a.words.T("preserve.progress"))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				_ = bar.Clear()
				return
			case <-tick.C:
				_ = bar.Set64(min(p.Bytes.Load(), total))
			}
		}
	}()
	return func() { close(done); <-ended }
}
