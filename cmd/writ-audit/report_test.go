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

// TestTheSchemaIsPublished: what the program prints is the page's file.
func TestTheSchemaIsPublished(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{"--schema"}, &out, &bytes.Buffer{}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	const page = "../../docs/report.schema.json"
	if *update {
		check(t, os.WriteFile(page, out.Bytes(), 0o644))
	}
	published, err := os.ReadFile(page)
	check(t, err)
	if !bytes.Equal(published, out.Bytes()) {
		t.Errorf("%s is not what --schema prints; if that is meant: go test ./cmd/writ-audit -update", page)
	}
}

// TestEveryReportHasTheSchema: of every vector, with the keys that its verifier has, with none, and with nothing at all.
func TestEveryReportHasTheSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/report.schema.json")
	check(t, err)
	vectors := vectorFolder(t)
	b, err := os.ReadFile(vectors + "vectors.json")
	check(t, err)
	var list struct {
		Vectors []struct{ Name, File, Keys, Code string }
	}
	check(t, json.Unmarshal(b, &list))
	subjects, amounts := 0, 0
	for _, x := range list.Vectors {
		file := filepath.Join(vectors, x.File)
		calls := [][]string{{file, "--operator-key", operatorOfVectors}, {file}}
		if x.Keys != "" && !strings.HasPrefix(x.Code, "keys.") { // of keys that cannot be read nothing was judged
			calls = append(calls, []string{file, "--operator-key", operatorOfVectors, "--keys", filepath.Join(vectors, x.Keys)})
		}
		for _, args := range calls {
			var out bytes.Buffer
			run(t.Context(), append([]string{"verify", "--json"}, args...), &out, &bytes.Buffer{})
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(out.Bytes()))
			check(t, err)
			if err := schema.Validate(v); err != nil {
				t.Fatalf("%s %v: %v\n%s", x.Name, args, err, &out)
			}
			subject, _ := v.(map[string]any)["subject"].(map[string]any)
			if subject != nil {
				subjects++
			}
			if subject["amounts"] != nil {
				amounts++
			}
		}
	}
	if subjects < 300 || amounts < 100 {
		t.Errorf("%d reports with a subject, %d with amounts", subjects, amounts)
	}
	for name, bad := range map[string]string{
		"another version": `{"schema":"writ/report/2"}`,
		"half a report":   `{"schema":"writ/report/1","verdict":"verified"}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
		check(t, err)
		if schema.Validate(v) == nil {
			t.Errorf("%s has the schema", name)
		}
	}
}

// TestAReportSaysWhatItIsOf: figures and keys of honest runs, as each is known to be.
func TestAReportSaysWhatItIsOf(t *testing.T) {
	vectors := vectorFolder(t)
	for _, tt := range []struct {
		file string
		keys bool
		want string // of the subject: wallet, agent, reason, reserved, settled, over, moved of USDC
	}{
		{"base", true, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 payer answered 5000000 5000000  5000000"},
		{"base", false, " payer answered 5000000 5000000  "},
		{"honest-overrun", true, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 payer answered 5000000 10000000 5000000 10000000"},
		{"honest-fee", true, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 payer answered 5000000 5000000  5000000"},
		{"honest-in-doubt", true, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 payer in_doubt 5000000   "},
		{"honest-open", true, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8 payer     "},
	} {
		args := []string{"verify", "--json", vectors + tt.file + ".car", "--operator-key", operatorOfVectors}
		if tt.keys {
			args = append(args, "--keys", vectors+"keys.json")
		}
		var out bytes.Buffer
		run(t.Context(), args, &out, &bytes.Buffer{})
		var rep struct {
			Inputs  []struct{ Use, SHA256 string }
			Subject struct {
				Wallet  string
				Agent   struct{ Name string }
				Close   struct{ Reason string }
				Amounts []struct{ Asset, Reserved, Settled, Over, Moved string }
				Keys    []struct{ Use, Bound string }
			}
		}
		check(t, json.Unmarshal(out.Bytes(), &rep))
		s := &rep.Subject
		money := []string{"", "", "", ""}
		for _, a := range s.Amounts {
			if a.Asset == "USDC" {
				money = []string{a.Reserved, a.Settled, a.Over, a.Moved}
			}
		}
		_, wallet, _ := strings.Cut(strings.TrimPrefix(s.Wallet, "eip155:"), ":")
		got := strings.Join(append([]string{wallet, s.Agent.Name, s.Close.Reason}, money...), " ")
		if got != tt.want {
			t.Errorf("%s, keys %t: %q, want %q", tt.file, tt.keys, got, tt.want)
		}
	}
}
