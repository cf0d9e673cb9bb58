package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

// The line of README that checks a run is the one that writ export prints, with the names of the files that it writes.
func TestTheReadmesReceiptLineIsWhatExportPrints(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	run := provenance.Sum(cid.DagCBOR, []byte("a run"))
	o := exportOptions{log: "LOGKEY"}
	o.nameFiles(run)
	line := o.verifyLine(exported{Car: o.out, Keys: o.keys, Receipt: o.receipt})
	end := run.String()[len(run.String())-6:]
	if want := strings.ReplaceAll(line, end, "abcdef"); !strings.Contains(string(readme), "\n"+want+"\n") {
		t.Errorf("README does not say %s", want)
	}
	if !strings.Contains(line, "run-"+end+".tlog-proof") {
		t.Errorf("%s names no receipt", line)
	}
}
