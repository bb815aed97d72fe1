// Package campaigns carries the built-in campaign packs, one folder each, inside
// the program. They are data; postern/internal/campaign reads and checks them.
package campaigns

import "embed"

// FS holds one folder a pack. docs/formats/campaign-pack.md describes the files.
//
//go:embed */*
var FS embed.FS
