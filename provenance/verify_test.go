package provenance

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

func TestVerifyPassesAGoodHistory(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	r, e := verifyCAR(file, Options{OperatorKey: operatorKey(), Keys: h.keys()})
	if e == nil {
		t.Fatalf("%s at %s: %s", r.Code, r.At, r.Detail)
	}
	for _, name := range CheckNames()[:8] {
		if c := r.Status(name); c.Status != Pass || c.Count == 0 {
			t.Errorf("%s = %+v, want a pass of more than nothing", name, c)
		}
	}
	if r.Verdict != Gaps || r.Completeness != Unestablished || r.Steps != 7 || r.Blocks != len(h.blocks) {
		t.Errorf("report = %+v", r)
	}
	if len(r.Unproven) != 5 {
		t.Errorf("not proven: %q", r.Unproven)
	}
	seq := 0
	err := e.Each(func(c Link, s *Step) error {
		if int(s.Seq) != seq || c != h.cids[seq] || c != e.StepCID(seq) {
			t.Errorf("step %d is %s, want %s", s.Seq, c, h.cids[seq])
		}
		for _, p := range Payloads(s) {
			if _, known := p.Bytes(); !known {
				t.Errorf("a payload of step %d is not open", seq)
			}
		}
		seq++
		return nil
	})
	if err != nil || seq != 7 || e.Len() != 7 {
		t.Errorf("%d of %d steps, %v", seq, e.Len(), err)
	}
	if b, _ := e.Grant.Message.Bytes(); string(b) != "example.com wants you to sign in" {
		t.Errorf("the grant's message is %q", b)
	}
	if e.RunCID != h.head.Run || e.Agent.Name != "treasurer" || len(e.Tools) != 1 || e.Rules.Name != "default" {
		t.Errorf("evidence = %+v", e)
	}
	stop := errors.New("stop")
	if err := e.Each(func(Link, *Step) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Each does not stop: %v", err)
	}
}

func TestTheReportIsPlainJSON(t *testing.T) {
	h := newHistory()
	h.steps[3].Event.(*Verdict).Of = Ref{1, 0}
	r, _ := verifyCAR(h.car(t), Options{OperatorKey: operatorKey()})
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "report.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("report (%v):\n%s\nwant\n%s", err, got, want)
	}
}

func TestWithoutTheOperatorsKeyTheHeadIsNotChecked(t *testing.T) {
	h := newHistory()
	r, e := verifyCAR(h.car(t), Options{Keys: h.keys()})
	if e == nil || r.Verdict != Unattributed || r.Status(CheckHead).Status != NotChecked {
		t.Errorf("report = %+v", r)
	}
	if !slices.ContainsFunc(r.Unproven, func(s string) bool { return strings.Contains(s, "no operator key") }) {
		t.Errorf("not proven: %q", r.Unproven)
	}
}

func TestSealedAndWithheldLeavesAreGapsAndNoFaults(t *testing.T) {
	h := newHistory()
	root := h.link(t)
	for _, tt := range []struct {
		rule     string
		keys     map[Link]LeafKey
		withheld int
		note     string
		status   string
	}{
		{"all keys", h.keys(), 0, "0 public, 14 disclosed, 0 sealed, 0 erased, 0 missing", Pass},
		{"no keys", nil, 0, "0 public, 0 disclosed, 14 sealed, 0 erased, 0 missing", NotChecked},
		{"one key", map[Link]LeafKey{h.leaves[0].CID: h.leaves[0].Key}, 0,
			"0 public, 1 disclosed, 13 sealed, 0 erased, 0 missing", NotChecked},
		{"two leaves away", h.keys(), 2, "0 public, 12 disclosed, 0 sealed, 0 erased, 2 missing", NotChecked},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			get := func(c Link) ([]byte, error) {
				for _, l := range h.leaves[:tt.withheld] {
					if l.CID == c {
						return nil, ErrWithheld
					}
				}
				return h.Get(c)
			}
			var file bytes.Buffer
			if _, err := Export(&file, root, get); err != nil {
				t.Fatal(err)
			}
			fromFile, e := verifyCAR(file.Bytes(), Options{OperatorKey: operatorKey(), Keys: tt.keys})
			fromSource, _ := Verify(source{root, get}, Options{OperatorKey: operatorKey(), Keys: tt.keys})
			for _, r := range []*Report{fromFile, fromSource} {
				if c := r.Status(CheckLeaves); c.Status != tt.status || c.Note != tt.note || r.Verdict != Gaps {
					t.Errorf("leaves = %+v of %s, want %s: %s", c, r.Verdict, tt.status, tt.note)
				}
			}
			if fromFile.Blocks != fromSource.Blocks || fromFile.Bytes != fromSource.Bytes {
				t.Errorf("%d blocks of %d bytes in the file, %d of %d fetched",
					fromFile.Blocks, fromFile.Bytes, fromSource.Blocks, fromSource.Bytes)
			}
			if err := e.Each(func(Link, *Step) error { return nil }); err != nil {
				t.Errorf("Each: %v", err)
			}
		})
	}
}

// source is a Source of a root and a function.
type source struct {
	root Link
	get  func(Link) ([]byte, error)
}

func (s source) Root() Link                     { return s.root }
func (s source) Get(c Link) ([]byte, error)     { return s.get(c) }
func stepAt[E Event](h *history, i int) E       { return h.steps[i].Event.(E) }
func effectAt[E Effect](h *history, i, j int) E { return h.steps[i].Does[j].(E) }

func TestVerifyNamesEachTampering(t *testing.T) {
	insert := func(h *history, at int, s *Step) { h.steps = slices.Insert(h.steps, at, s) }
	renumber := func(h *history) {
		for i, s := range h.steps {
			s.Seq = uint64(i)
		}
	}
	for _, tt := range []struct {
		rule   string
		change func(h *history)
		check  string
		want   Code
	}{
		{"a step dropped", func(h *history) { h.steps = slices.Delete(h.steps, 2, 3) }, CheckHistory, CodeHistorySeq},
		{"no request at the beginning", func(h *history) {
			h.steps[0].Event = &Lapse{Why: LapseCancelled}
		}, CheckHistory, CodeHistoryAsk},
		{"two steps swapped", func(h *history) {
			h.steps[2], h.steps[3] = h.steps[3], h.steps[2]
		}, CheckHistory, CodeHistorySeq},
		{"a step doubled", func(h *history) { insert(h, 2, h.steps[2]) }, CheckHistory, CodeHistorySeq},
		{"a step inserted", func(h *history) {
			insert(h, 3, &Step{At: 3_500, Event: &Result{Of: Ref{1, 0}, Status: StatusOK}})
			renumber(h)
			stepAt[*Result](h, 5).Of.Seq, stepAt[*Result](h, 6).Of.Seq, stepAt[*Reply](h, 7).Of.Seq = 4, 5, 6
		}, CheckHistory, CodeHistoryTwice},
		{"a step of another run", func(h *history) {
			other := *h.run
			other.Nonce[0] ^= 1
			other.Agent, other.Grant, other.Rules, other.Runtime = h.parts(t)
			h.foreign[2], h.steps[2].Run = true, h.put(t, &other)
		}, CheckHistory, CodeHistoryRun},
		{"a head over another run", func(h *history) {
			other := *h.run
			other.Nonce[0] ^= 1
			other.Agent, other.Grant, other.Rules, other.Runtime = h.parts(t)
			h.head.Run, h.head.Seq = h.put(t, &other), 6
		}, CheckHistory, CodeHistoryHead},
		{"a head with another number", func(h *history) {
			parts := *h.run
			parts.Agent, parts.Grant, parts.Rules, parts.Runtime = h.parts(t)
			h.head.Run, h.head.Seq = h.put(t, &parts), 5
		}, CheckHistory, CodeHistoryHead},
		{"time runs backwards", func(h *history) { h.steps[3].At = 2_999 }, CheckHistory, CodeHistoryClock},
		{"a step before its run", func(h *history) { h.run.Opened = 1_001 }, CheckHistory, CodeHistoryClock},
		{"a head before its step", func(h *history) { h.head.At = 6_999 }, CheckHistory, CodeHistoryClock},
		{"a second request", func(h *history) { h.steps[2].Event = h.steps[0].Event }, CheckHistory, CodeHistoryAsk},
		{"an answer to a later effect", func(h *history) {
			stepAt[*Result](h, 2).Of = Ref{3, 0}
		}, CheckHistory, CodeHistoryOf},
		{"an answer to its own step", func(h *history) {
			stepAt[*Result](h, 4).Of = Ref{4, 0}
		}, CheckHistory, CodeHistoryOf},
		{"an answer to an effect that is not there", func(h *history) { stepAt[*Result](h, 2).Of = Ref{1, 7} },
			CheckHistory, CodeHistoryOf},
		{"two answers to one effect", func(h *history) {
			stepAt[*Result](h, 4).Of = Ref{1, 0}
		}, CheckHistory, CodeHistoryTwice},
		{"a result for a question to the wallet", func(h *history) { stepAt[*Result](h, 2).Of = Ref{1, 1} },
			CheckHistory, CodeHistoryTwice},
		{"an approval for a call", func(h *history) {
			stepAt[*Verdict](h, 3).Of = Ref{0, 0}
		}, CheckHistory, CodeHistoryTwice},
		{"a result where a reply is wanted", func(h *history) {
			h.steps[6].Event = &Result{Of: Ref{5, 0}, Status: StatusOK}
		}, CheckHistory, CodeHistoryKind},
		{"a reply where a result is wanted", func(h *history) {
			h.steps[2].Event = &Reply{Of: Ref{1, 0}, Failed: "model.timeout"}
		}, CheckHistory, CodeHistoryKind},
		{"an answer to what was said", func(h *history) {
			h.steps[5].Does = append(h.steps[5].Does, &Say{Text: text("hm")})
			stepAt[*Reply](h, 6).Of = Ref{5, 1}
		}, CheckHistory, CodeHistoryKind},
		{"closed as answered with a question open", func(h *history) {
			h.steps[5].Does = append(h.steps[5].Does, h.steps[5].Does[0])
		}, CheckHistory, CodeHistoryUnanswered},
		{"a call that no model asked for", func(h *history) {
			effectAt[*Call](h, 3, 0).Of = Ref{1, 2}
		}, CheckHistory, CodeHistoryCall},
		{"a call for a reply that is none", func(h *history) {
			effectAt[*Call](h, 3, 0).Of = Ref{2, 0}
		}, CheckHistory, CodeHistoryCall},
		{"a call before it was asked for", func(h *history) {
			effectAt[*Call](h, 1, 0).Of = Ref{6, 0}
		}, CheckHistory, CodeHistoryCall},
		{"a question to the wallet about nothing", func(h *history) { effectAt[*Seek](h, 1, 1).Of = Ref{0, 0} },
			CheckHistory, CodeHistoryCall},
		{"a close in the middle", func(h *history) {
			h.steps[2].Does = []Effect{&Close{Reason: CloseCancelled}}
		}, CheckHistory, CodeHistoryClose},
		{"a close that is not last in its step", func(h *history) {
			d := h.steps[6].Does
			d[0], d[1] = d[1], d[0]
		}, CheckHistory, CodeHistoryClose},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			tt.change(h)
			r, e := verifyCAR(h.car(t), Options{OperatorKey: operatorKey(), Keys: h.keys()})
			if r.Verdict != Failed || r.Code != tt.want || r.Status(tt.check).Status != Fail || e != nil {
				t.Errorf("%s %s at %s: %s; want %s", r.Verdict, r.Code, r.At, r.Detail, tt.want)
			}
			if r.At == "" {
				t.Error("no block is named")
			}
			for _, c := range r.Checks {
				if c.Status == NotChecked && c.Note == "" {
					t.Errorf("%s is not checked and does not say why", c.Name)
				}
			}
		})
	}
}

// parts makes the run's parts into blocks ahead of link.
func (h *history) parts(t testing.TB) (agent, grant, rules, runtime Link) {
	h.agent.Tools = []Link{h.put(t, h.tool)}
	return h.put(t, h.agent), h.put(t, h.grant), h.put(t, h.rules), h.put(t, h.runtime)
}

// Here blocks are changed after the history was made, and linked anew by hand where that is what an attacker would do.
func TestVerifyNamesEachChangeOfBlocks(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	for _, tt := range []struct {
		rule   string
		change func(t *testing.T, h *history, root Link) Link // returns the root
		check  string
		want   Code
	}{
		{"a record that is away", func(_ *testing.T, h *history, root Link) Link {
			delete(h.blocks, h.cids[3])
			return root
		}, CheckLinks, CodeLinksMissing},
		{"the run is away", func(_ *testing.T, h *history, root Link) Link {
			delete(h.blocks, h.head.Run)
			return root
		}, CheckLinks, CodeLinksMissing},
		{"other bytes under a record's CID", func(_ *testing.T, h *history, root Link) Link {
			h.blocks[h.cids[3]] = h.blocks[h.cids[2]]
			return root
		}, CheckHash, CodeBlockHash},
		{"other bytes under a leaf's CID", func(_ *testing.T, h *history, root Link) Link {
			h.blocks[h.leaves[4].CID] = []byte("other")
			return root
		}, CheckHash, CodeBlockHash},
		{"a head over a run that is a step", func(t *testing.T, h *history, _ Link) Link {
			h.head.Run = h.cids[0]
			return h.resign(t, operator())
		}, CheckLinks, CodeLinksKind},
		{"a head over a raw block", func(t *testing.T, h *history, _ Link) Link {
			h.head.Step = h.leaves[0].CID
			return h.resign(t, operator())
		}, CheckLinks, CodeLinksKind},
		{"rules under a record that is no policy set", func(t *testing.T, h *history, _ Link) Link {
			h.run.Rules = h.put(t, &PolicySet{Name: "shop", Source: "x", Under: h.run.Agent,
				Origin: "https://shop.example"})
			h.head.Run = h.put(t, h.run)
			return h.resign(t, operator())
		}, CheckLinks, CodeLinksKind},
		{"a dApp's rules under a dApp's", func(t *testing.T, h *history, _ Link) Link {
			for range 2 {
				h.run.Rules = h.put(t, &PolicySet{Name: "shop", Source: "x", Under: h.run.Rules,
					Origin: "https://shop.example"})
			}
			h.head.Run = h.put(t, h.run)
			return h.resign(t, operator())
		}, CheckLinks, CodeLinksKind},
		{"a step as the root", func(_ *testing.T, h *history, _ Link) Link {
			return h.cids[6]
		}, CheckLinks, CodeLinksKind},
		{"a later version of a record", func(t *testing.T, h *history, _ Link) Link {
			h.head.Run = h.raw(bytes.Replace(h.blocks[h.head.Run], []byte("run/1"), []byte("run/2"), 1))
			return h.resign(t, operator())
		}, CheckSchema, CodeSchemaVersion},
		{"an unknown key in a record", func(t *testing.T, h *history, _ Link) Link {
			b := bytes.Replace(h.blocks[h.head.Run], []byte("fopened"), []byte("fopenee"), 1)
			h.head.Run = h.raw(b)
			return h.resign(t, operator())
		}, CheckSchema, CodeSchemaKey},
		{"a record with null in it", func(t *testing.T, h *history, _ Link) Link {
			h.head.Run = h.raw([]byte{0xa1, 0x61, 'v', 0xf6})
			return h.resign(t, operator())
		}, CheckCodec, CodeCodecNull},
		{"signed by a stranger", func(t *testing.T, h *history, _ Link) Link {
			return h.resign(t, stranger)
		}, CheckHead, CodeHeadKey},
		{"not signed", func(t *testing.T, h *history, _ Link) Link {
			h.head.Sig = nil
			return h.put(t, h.head)
		}, CheckHead, CodeHeadUnsigned},
		{"the tail cut, with the old signature", func(t *testing.T, h *history, _ Link) Link {
			h.head.Step, h.head.Seq = h.cids[5], 5
			return h.put(t, h.head)
		}, CheckHead, CodeHeadSignature},
		{"a leaf under another commitment", func(t *testing.T, h *history, _ Link) Link {
			last := h.steps[6]
			say := *last.Does[0].(*Say).Text
			say.commit[0] ^= 1
			h.sealed[&say] = true
			last.Does[0].(*Say).Text = &say
			h.head.Step = h.put(t, last)
			return h.resign(t, operator())
		}, CheckLeaves, CodeLeafCommit},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			root := tt.change(t, h, h.link(t))
			r, e := Verify(source{root, h.Get}, Options{OperatorKey: operatorKey(), Keys: h.keys()})
			if r.Verdict != Failed || r.Code != tt.want || r.Status(tt.check).Status != Fail || e != nil {
				t.Errorf("%s %s at %s: %s; want %s", r.Verdict, r.Code, r.At, r.Detail, tt.want)
			}
		})
	}
}

// resign signs the head again and returns the new root.
func (h *history) resign(t testing.TB, k ed25519.PrivateKey) Link {
	t.Helper()
	if err := h.head.Sign(k); err != nil {
		t.Fatal(err)
	}
	return h.put(t, h.head)
}

// raw stores bytes as a record, whatever they are.
func (h *history) raw(data []byte) Link {
	c := Sum(cid.DagCBOR, data)
	h.blocks[c] = data
	return c
}

func TestAnUnreachableBlockIsAFault(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	extra := NewRaw([]byte("smuggled"))
	r, _ := verifyCAR(append(file, section(extra.CID.Bytes(), extra.Data)...), Options{OperatorKey: operatorKey()})
	if r.Code != CodeLinksUnreachable || r.At != extra.CID.String() {
		t.Errorf("%s at %s, want %s at %s", r.Code, r.At, CodeLinksUnreachable, extra.CID)
	}
}

func TestAKeyForAnotherLeafIsAFault(t *testing.T) {
	h := newHistory()
	file := h.car(t)
	keys := h.keys()
	keys[h.leaves[3].CID] = h.leaves[4].Key
	r, _ := verifyCAR(file, Options{OperatorKey: operatorKey(), Keys: keys})
	if r.Code != CodeLeafOpen || r.At != h.leaves[3].CID.String() {
		t.Errorf("%s at %s, want %s at %s", r.Code, r.At, CodeLeafOpen, h.leaves[3].CID)
	}
}

func TestAnOpenRunSaysSo(t *testing.T) {
	h := newHistory()
	h.steps = h.steps[:2]
	r, e := verifyCAR(h.car(t), Options{OperatorKey: operatorKey(), Keys: h.keys()})
	if e == nil || r.Status(CheckHistory).Note != "the run is not closed; 2 effects without an answer" {
		t.Errorf("%+v", r)
	}
	if !slices.ContainsFunc(r.Unproven, func(s string) bool { return strings.Contains(s, "not closed") }) {
		t.Errorf("not proven: %q", r.Unproven)
	}
}

// A run that another one opened links to that one's step. Its history may be in the file, or not.
func TestTheParentsHistoryIsAnotherOne(t *testing.T) {
	parent := newHistory()
	parent.link(t)
	h := newHistory()
	h.run.Parent = &Parent{Step: parent.cids[1]}
	h.run.Nonce[0] ^= 1
	for _, there := range []bool{true, false} {
		root := h.link(t)
		get := func(c Link) ([]byte, error) {
			if b, err := h.Get(c); err == nil || !there {
				return b, err
			}
			return parent.Get(c)
		}
		r, e := Verify(source{root, get}, Options{OperatorKey: operatorKey()})
		if e == nil || len(r.Unproven) != 6 {
			t.Errorf("parent there: %t: %s at %s: %s", there, r.Code, r.At, r.Detail)
		}
		if !there {
			continue
		}
		var file bytes.Buffer
		if _, err := Export(&file, root, get); err != nil {
			t.Fatal(err)
		}
		if r, e := verifyCAR(file.Bytes(), Options{OperatorKey: operatorKey()}); e == nil {
			t.Errorf("from the file: %s at %s: %s", r.Code, r.At, r.Detail)
		}
	}
}

func TestVerifySurvivesASourceThatFails(t *testing.T) {
	h := newHistory()
	root := h.link(t)
	order := make([]Link, 0, len(h.blocks))
	Verify(source{root, func(c Link) ([]byte, error) {
		order = append(order, c)
		return h.Get(c)
	}}, Options{Keys: h.keys()})
	for i := range order {
		n := 0
		r, e := Verify(source{root, func(c Link) ([]byte, error) {
			if n++; n > i {
				return nil, errors.New("connection lost")
			}
			return h.Get(c)
		}}, Options{Keys: h.keys()})
		if r.Verdict != Failed || r.Code != CodeUnreadable || e != nil {
			t.Fatalf("after %d blocks: %s %s", i, r.Verdict, r.Code)
		}
	}
}

func TestTheVerdictFollowsFromTheChecks(t *testing.T) {
	r := NewReport()
	if r.Verdict != Unattributed {
		t.Errorf("nothing checked: %s", r.Verdict)
	}
	for _, name := range CheckNames() {
		r.Pass(name, 1, "")
	}
	if r.Verdict != Verified || r.Code != "" {
		t.Errorf("all passed: %s", r.Verdict)
	}
	r.Skip(CheckLog, 0, "no log")
	if r.Verdict != Verified || r.Completeness != Unestablished {
		t.Errorf("all but the log passed: %s, %s", r.Verdict, r.Completeness)
	}
	r.Skip(CheckContext, 0, "sealed")
	if r.Verdict != Gaps {
		t.Errorf("one skipped: %s", r.Verdict)
	}
	r.Skip(CheckHead, 0, "no key")
	if r.Verdict != Unattributed {
		t.Errorf("without the operator's key: %s", r.Verdict)
	}
	r.RequireComplete()
	if r.Verdict != Incomplete || r.Refused() {
		t.Errorf("completeness is required and not shown: %s", r.Verdict)
	}
	r.Pass(CheckHead, 1, "")
	r.Pass(CheckContext, 1, "")
	r.Establish(false)
	if r.Verdict != Verified || r.ShownBy == "" {
		t.Errorf("complete as far as a log shows: %s %q", r.Verdict, r.ShownBy)
	}
	r.Fail(CheckTotals, &Fault{Code: "totals.cost", Detail: "late"})
	r.Fail(CheckGrant, &Fault{Code: "grant.signature", Detail: "early"})
	r.Fail(CheckGrant, &Fault{Code: "grant.domain", Detail: "second"})
	r.Pass(CheckGrant, 1, "")
	if r.Verdict != Failed || r.Code != "grant.signature" || r.Status(CheckGrant).Status != Fail {
		t.Errorf("two failed: %s %s, want the first in order", r.Verdict, r.Code)
	}
}
