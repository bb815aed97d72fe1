//go:build !linux

package main

import "context"

func readAhead(context.Context, []string) {}
