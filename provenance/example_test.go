package provenance_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log"

	"github.com/writ-run/writ/provenance"
)

// A record becomes one block under one CID, and nothing but that block is read as it.
func ExampleEncode() {
	block, err := provenance.Encode(&provenance.PolicySet{Name: "default", Source: "version: 1\n"})
	if err != nil {
		log.Fatal(err)
	}
	var again provenance.PolicySet
	if err := provenance.Decode(block.Data, &again); err != nil {
		log.Fatal(err)
	}
	fmt.Println(block.CID, again.Name)

	block.Data[len(block.Data)-1] = 0xff
	fmt.Println(provenance.Decode(block.Data, &again))
	// Output:
	// bafyreiabfr7ze6qitijj377zxcnryetvh57xe2jcr4fe7wgjp5lb6cflku default
	// codec.utf8: a text is not UTF-8
}

// An auditor has a file and the operator's key, from elsewhere. Here the file is none.
func ExampleVerify() {
	file, operator := []byte("not an archive"), ed25519.PublicKey(make([]byte, 32))

	report := verify(file, operator)
	fmt.Println(report.Verdict, report.Code)
	// Output: failed car.header
}

func verify(file []byte, operator ed25519.PublicKey) *provenance.Report {
	car, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return provenance.FailedReport(err)
	}
	report, _ := provenance.Verify(car, provenance.Options{OperatorKey: operator})
	return report
}
