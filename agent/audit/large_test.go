package audit

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/provenance"
)

// A run whose texts are more than a replay holds is a gap: it is neither said to be right nor to be wrong.
func TestALargeRunIsReplayedAsFarAsItFits(t *testing.T) {
	const folder = "../../provenance/testdata/tamper/"
	file, err := os.ReadFile(folder + "base.car")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile(folder + "keys.json")
	if err != nil {
		t.Fatal(err)
	}
	o := provenance.Options{}
	if o.Keys, err = provenance.ReadKeys(bytes.NewReader(keys)); err != nil {
		t.Fatal(err)
	}
	for limit, wants := range map[int]string{0: provenance.Pass, 1 << 20: provenance.Pass, 3000: provenance.NotChecked, 1: provenance.NotChecked} {
		src, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		rep := judge(src, o, &auditor{limit: limit})
		got := rep.Status(provenance.CheckDecisions)
		said := strings.Contains(strings.Join(rep.Unproven, "\n"), "too large to replay")
		if got.Status != wants || said != (wants == provenance.NotChecked) || rep.Verdict == provenance.Failed {
			t.Errorf("with room for %d bytes: %s, %+v, unproven %q", limit, rep.Verdict, got, rep.Unproven)
		}
	}
}
