package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"

	"github.com/writ-run/writ/provenance"
)

// A run whose texts are more than a replay holds is a gap: it is neither said to be right nor to be wrong.
func TestALargeRunIsReplayedAsFarAsItFits(t *testing.T) {
	file := read(t, "base.car")
	keys, err := provenance.ReadKeys(bytes.NewReader(read(t, "keys.json")))
	if err != nil {
		t.Fatal(err)
	}
	for limit, wants := range map[int]string{0: provenance.Pass, 1 << 20: provenance.Pass, 3000: provenance.NotChecked,
		1: provenance.NotChecked} {
		src, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		rep := audit.JudgeWithin(limit, src, audit.Options{Keys: keys})
		got := rep.Status(provenance.CheckDecisions)
		said := strings.Contains(strings.Join(rep.Unproven, "\n"), "too large to replay")
		if got.Status != wants || said != (wants == provenance.NotChecked) || rep.Verdict == provenance.Failed {
			t.Errorf("with room for %d bytes: %s, %+v, unproven %q", limit, rep.Verdict, got, rep.Unproven)
		}
	}
}
