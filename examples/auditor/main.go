// Auditor is a check for CI: it fails unless the file of a run is verified, with no server and no network.
//
//	auditor OPERATOR_KEY run.car run.keys.json
package main

import (
	"log"
	"os"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: auditor OPERATOR_KEY run.car run.keys.json")
	}
	operator, err := audit.OperatorKey(os.Args[1])
	orFail(err)
	file, err := os.Open(os.Args[2])
	orFail(err)
	info, err := file.Stat()
	orFail(err)
	car, err := provenance.OpenCAR(file, info.Size())
	orFail(err)
	sidecar, err := os.Open(os.Args[3])
	orFail(err)
	keys, err := provenance.ReadKeys(sidecar)
	orFail(err)
	report := audit.Verify(car, audit.Options{OperatorKey: operator, Keys: keys})
	orFail(audit.WriteText(os.Stdout, report, false))
	os.Exit(audit.Exit(report))
}

func orFail(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
