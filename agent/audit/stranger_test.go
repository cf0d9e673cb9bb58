package audit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

// TestWithoutAKeyTheStructureIsJudged: what needs no key is found without one, with the same code, in the history that the
// file names as in those of sub-agents and callers beside it; nothing is passed unseen because the permission is sealed.
func TestWithoutAKeyTheStructureIsJudged(t *testing.T) {
	v := readVectors(t)
	structure := []string{"car", "block", "codec", "link", "schema", "links", "history", "head"}
	found := map[string]int{}
	beside := 0
	for _, x := range v.Vectors {
		family, _, _ := strings.Cut(x.Code, ".")
		if !slices.Contains(structure, family) && x.Code != string(provenance.CodeLeafErasure) && x.Name != "child-commit" {
			continue
		}
		rep := judge(t, read(t, x.File), nil, v.OperatorKey)
		if rep.Verdict != x.Verdict || string(rep.Code) != x.Code {
			t.Errorf("%s without keys: %s %s, want %s %s", x.Name, rep.Verdict, rep.Code, x.Verdict, x.Code)
		}
		found[family]++
		if strings.HasPrefix(x.Name, "child-") || strings.HasPrefix(x.Name, "caller-") {
			beside++
		}
	}
	if len(found) < 9 || beside < 6 {
		t.Errorf("families %v, %d of other histories", found, beside)
	}
}

// TestWithoutTheOperatorsKeyNothingIsVerified: anybody can make such a file, so what is right in itself is no more than that,
// whatever keys of payloads come along.
func TestWithoutTheOperatorsKeyNothingIsVerified(t *testing.T) {
	v := readVectors(t)
	n := 0
	for _, x := range v.Vectors {
		if x.Verdict != provenance.Verified && x.Verdict != provenance.Gaps || x.Keys == "" {
			continue
		}
		n++
		keys, err := provenance.ReadKeys(bytes.NewReader(read(t, x.Keys)))
		if err != nil {
			t.Fatal(err)
		}
		car := read(t, x.File)
		src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
		if err != nil {
			t.Fatal(err)
		}
		rep := audit.Verify(src, audit.Options{Keys: keys})
		var text strings.Builder
		if err := audit.WriteText(&text, rep, false); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if last := lines[len(lines)-1]; rep.Verdict != provenance.Unattributed || strings.HasPrefix(last, "VERIFIED") {
			t.Errorf("%s without the operator's key: %s, %q", x.Name, rep.Verdict, last)
		}
		for _, k := range rep.Subject.Keys {
			if k.Use == "operator" && k.Bound != provenance.BoundByRecord {
				t.Errorf("%s: the operator's key is bound %s", x.Name, k.Bound)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d honest files", n)
	}
}
