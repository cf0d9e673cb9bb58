// Package docs holds the documentation as it is written, so that the program carries it. internal/manual makes pages
// of it.
package docs

import "embed"

// Files are the Markdown files of this folder.
//
//go:embed *.md
var Files embed.FS
