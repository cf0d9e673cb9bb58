package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sarifSchema is OASIS's own schema of SARIF 2.1.0, with its first errata, as it is distributed in the public domain by
// github.com/owenrumney/go-sarif.
const sarifSchema = "testdata/sarif-schema-2.1.0.json"

// What --sarif writes is SARIF: of a run that holds, of one with gaps, and of each check that can fail.
func TestSARIFIsSARIF(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile(sarifSchema)
	check(t, err)
	validate := func(data []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		check(t, err)
		return schema.Validate(v)
	}
	vectors := vectorFolder(t)
	b, err := os.ReadFile(vectors + "vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct{ Name, File, Keys, Code string }
	}
	check(t, json.Unmarshal(b, &list))
	failing := map[string]bool{}
	for _, x := range list.Vectors {
		if strings.HasPrefix(x.Code, "keys.") { // what was brought along cannot be read, so nothing was judged
			continue
		}
		var out bytes.Buffer
		args := []string{"verify", filepath.Join(vectors, x.File), "--operator-key", operatorOfVectors, "--sarif"}
		if x.Keys != "" {
			args = append(args, "--keys", filepath.Join(vectors, x.Keys))
		}
		code := run(t.Context(), args, &out, &bytes.Buffer{})
		if out.Len() == 0 {
			t.Errorf("%s: exit %d without a report", x.Name, code)
			continue
		}
		if err := validate(out.Bytes()); err != nil {
			t.Fatalf("%s: %v\n%s", x.Name, err, &out)
		}
		var log struct {
			Runs []struct {
				Results []struct{ RuleID, Level string }
			}
		}
		check(t, json.Unmarshal(out.Bytes(), &log))
		for _, r := range log.Runs[0].Results {
			if r.Level == "error" {
				failing[r.RuleID] = true
			}
		}
	}
	if len(failing) < 14 { // of 16 checks; those of a log and of files that are none need more than a file
		t.Errorf("only %d checks have failed: %v", len(failing), failing)
	}
	for what, bad := range map[string]string{
		"another level": `{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"message":{"text":"x"},"level":"fatal"}]}]}`,
		"no tool":       `{"version":"2.1.0","runs":[{"results":[]}]}`,
	} {
		if validate([]byte(bad)) == nil {
			t.Errorf("the schema lets %s pass: it is not the schema of SARIF", what)
		}
	}
}
