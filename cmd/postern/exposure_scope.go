package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"postern/internal/exposure/network"
	"postern/internal/exposure/scope"
)

// readScope reads the scope file.
func (a *app) readScope(name string) (*scope.Scope, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, scope.MaxFile+1))
	if err != nil {
		return nil, failed(err, "cmd.open", "file", name)
	}
	s, err := scope.Parse(b)
	var field *scope.FieldError
	if errors.As(err, &field) {
		where := name
		if field.Line > 0 {
			where = fmt.Sprintf("%s:%d", name, field.Line)
		}
		where += ":"
		if field.Field != "" {
			where += " " + field.Field
		}
		return nil, usage("cmd.exposure.bad-scope", "where", where, "reason", a.words.Say(field.Why))
	}
	return s, err
}

// permitted says so at once if the permission of the scope does not hold now. One that
// ends while a scan runs is the wall's business.
func permitted(s *scope.Scope, file string, now time.Time) error {
	switch {
	case now.Before(s.From):
		return usage("cmd.exposure.not-yet", "file", file, "from", s.From.Format(time.RFC3339))
	case !now.Before(s.To):
		return usage("cmd.exposure.expired", "file", file, "to", s.To.Format(time.RFC3339))
	}
	return nil
}

// wall builds the wall and keeps watch over the opt-out list.
func (a *app) wall(ctx context.Context, o exposureOptions, allowed *scope.Scope, owners *network.Databases) (*scope.Wall, error) {
	opt := scope.Options{Scope: allowed, Lab: o.lab, Resolver: o.resolver}
	if len(o.mmdb) > 0 {
		opt.ASN = owners.ASN
	}
	if o.resolver != "" {
		at, err := netip.ParseAddrPort(o.resolver)
		if err != nil {
			addr, err := netip.ParseAddr(o.resolver)
			if err != nil {
				return nil, usage("cmd.exposure.bad-resolver", "value", o.resolver)
			}
			at = netip.AddrPortFrom(addr, 53)
		}
		opt.Resolver = at.String()
	}
	if o.optout == "" {
		return scope.NewWall(opt), nil
	}
	out, err := scope.OpenOptOut(o.optout)
	var bad *scope.BadOptOut
	if errors.As(err, &bad) {
		return nil, usage("cmd.exposure.bad-optout", "file", o.optout, "line", bad.Line, "text", bad.Text)
	}
	if err != nil {
		return nil, failed(err, "cmd.open", "file", o.optout)
	}
	opt.OptOut = out
	w := scope.NewWall(opt)
	go out.Watch(ctx, func(bad []*scope.BadOptOut, err error) {
		w.Sweep()
		for _, b := range bad[:min(len(bad), maxTold)] {
			fmt.Fprintln(a.err, a.words.T("cmd.exposure.optout-line", "file", o.optout, "line", b.Line, "text", b.Text))
		}
		if err != nil {
			fmt.Fprintln(a.err, a.words.T("cmd.exposure.optout-gone", "file", o.optout, "reason", reason(err)))
		}
	})
	return w, nil
}
