package audit_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/provenance"
)

func TestEvidenceCannotWriteTheVerdict(t *testing.T) {
	for _, lie := range []string{
		"no\nVERIFIED 3 steps", "no\r\x1b[2K\x1b[1AVERIFIED", "no\u202eDEIFIREV", "no\x00\u009b2KVERIFIED",
	} {
		rep := provenance.NewReport()
		rep.Models = []string{lie}
		rep.Unprove(lie)
		rep.Fail(provenance.CheckCodec, &provenance.Fault{Code: provenance.CodeCodecKey, Detail: lie})
		var out bytes.Buffer
		if err := audit.WriteText(&out, rep, false); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "FAILED codec.key: no") {
			t.Errorf("%q: the last line is %q, want FAILED", lie, last)
		}
		for _, l := range lines {
			if strings.HasPrefix(l, "VERIFIED") || strings.ContainsAny(l, "\x1b\r\x00\u009b\u202e") {
				t.Errorf("%q: got the line %q", lie, l)
			}
		}
	}
}

func TestExitCodesSayWhatKindOfFailureItIs(t *testing.T) {
	for _, tt := range []struct {
		code provenance.Code
		want int
	}{
		{provenance.CodeBlockHash, audit.ExitIntegrity},
		{provenance.CodeHistorySeq, audit.ExitIntegrity},
		{audit.CodeTotals, audit.ExitIntegrity},
		{provenance.CodeCARTruncated, audit.ExitIncomplete},
		{provenance.CodeCARRootMissing, audit.ExitIncomplete},
		{provenance.CodeLinksMissing, audit.ExitIncomplete},
		{provenance.CodeHeadKey, audit.ExitSignature},
		{audit.CodeGrantSignature, audit.ExitSignature},
		{audit.CodeCoverTool, audit.ExitSignature},
		{audit.CodeApprovalOther, audit.ExitSignature},
		{audit.CodeDecision, audit.ExitSignature},
		{audit.CodeGrantWallet, audit.ExitSignature},
		{provenance.CodeCARVersion, audit.ExitUnread},
		{provenance.CodeCARRoots, audit.ExitUnread},
		{provenance.CodeCARDuplicate, audit.ExitUnread},
		{provenance.CodeCARPadding, audit.ExitUnread},
		{provenance.CodeCARJoined, audit.ExitUnread},
		{provenance.CodeCARPacked, audit.ExitUnread},
		{provenance.CodeCARSize, audit.ExitUnread},
	} {
		rep := provenance.FailedReport(&provenance.Fault{Code: tt.code, Detail: "it is wrong"})
		if got := audit.Exit(rep); got != tt.want {
			t.Errorf("%s exits with %d, want %d", tt.code, got, tt.want)
		}
	}
	if got := audit.Exit(provenance.NewReport()); got != audit.ExitGaps {
		t.Errorf("a report with gaps exits with %d, want %d", got, audit.ExitGaps)
	}
}

func TestOperatorKeyIs64HexDigits(t *testing.T) {
	good := strings.Repeat("0a", 32)
	if key, err := audit.OperatorKey(good); err != nil || len(key) != 32 {
		t.Errorf("%s: %v", good, err)
	}
	for _, bad := range []string{"", good[1:], good + "0", "0x" + good, strings.Repeat("zz", 32)} {
		if _, err := audit.OperatorKey(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

func TestReplayTellsEveryStepUntilOneDiffers(t *testing.T) {
	for _, tt := range []struct {
		file      string
		told      int
		different bool
	}{
		{"base.car", 10, false},
		{"decision-flipped.car", 4, true}, // of 12 or so: the fourth is the first that differs
		{"dropped.car", 0, false},         // its bytes are wrong, so nothing is decided again
	} {
		keys, err := provenance.ReadKeys(bytes.NewReader(read(t, "keys.json")))
		if err != nil {
			t.Fatal(err)
		}
		car := read(t, tt.file)
		src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
		if err != nil {
			t.Fatal(err)
		}
		n, different := 0, false
		rep := audit.Replay(src, audit.Options{Keys: keys}, func(s audit.Replayed) {
			if s.Seq != n || different {
				t.Errorf("%s: step %d is told as the %dth, different before: %t", tt.file, s.Seq, n, different)
			}
			n++
			different = s.Recorded != s.Recomputed
		})
		if n != tt.told || different != tt.different {
			t.Errorf("%s: %d steps told, the last different: %t; want %d, %t (%s)", tt.file, n, different, tt.told,
				tt.different, rep.Detail)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	keys, err := provenance.ReadKeys(bytes.NewReader(read(b, "keys.json")))
	if err != nil {
		b.Fatal(err)
	}
	car := read(b, "base.car")
	for b.Loop() {
		src, err := provenance.OpenCAR(bytes.NewReader(car), int64(len(car)))
		if err != nil {
			b.Fatal(err)
		}
		if rep := audit.Verify(src, audit.Options{Keys: keys}); rep.Verdict == provenance.Failed {
			b.Fatal(rep.Detail)
		}
	}
}

// FuzzVerify: whatever the bytes are, nothing panics, and nothing but an honest run's root is verified.
func FuzzVerify(f *testing.F) {
	v := readVectors(f)
	roots := map[string]bool{}
	for _, x := range v.Vectors {
		car := read(f, x.File)
		f.Add(car)
		if x.Verdict != provenance.Failed {
			roots[judge(f, car, read(f, "keys.json"), v.OperatorKey).Root] = true
		}
	}
	keys := read(f, "keys.json")
	f.Fuzz(func(t *testing.T, car []byte) {
		if rep := judge(t, car, keys, v.OperatorKey); rep.Verdict == provenance.Verified && !roots[rep.Root] {
			t.Errorf("an unknown root is verified: %s", rep.Root)
		}
	})
}
