//go:build !auditor

package console

import "embed"

// auditor is empty: the program is built without the auditor for the page. `make build` has it.
var auditor embed.FS
