//go:build auditor

package console

import "embed"

// auditor is web/auditor as its build.sh makes it: auditor.js, a worker, and auditor.wasm.gz, which is some 4 MB and
// therefore not committed. The page loads it when it is asked to make every decision again.
//
//go:embed auditor/auditor.js auditor/auditor.wasm.gz
var auditor embed.FS
