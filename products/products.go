// Package products carries the facts about products, one folder each, inside the
// program. They are data; postern/internal/campaign reads and checks them.
package products

import "embed"

// FS holds one folder a product. docs/formats/product.md describes the files.
//
//go:embed */*.csv */*.yaml */rules/*.yml */rules/*.yar */plan/*.ps1
var FS embed.FS
