package provenance

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	spelling "github.com/writ-run/writ/provenance/internal/dagcbor"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/policies/money"
)

var update = flag.Bool("update", false, "write the golden files")

// records returns one record of each kind and of each event and effect, with payloads sealed.
func records(t testing.TB) map[string]Record {
	h := newHistory()
	h.tool.Book = NewRaw([]byte("{}")).CID
	h.run.Parent = &Parent{Step: Sum(0x71, []byte("parent")), Effect: 2}
	h.steps[2].Event.(*Result).Output = nil
	h.steps = append(h.steps,
		&Step{Seq: 7, At: 7_000, Event: &Lapse{Of: &Ref{1, 1}, Why: LapseTimeout},
			Facts: Facts{Down: []string{"big", "small"}, Revoked: true}, Does: []Effect{
				&Deny{Of: Ref{1, 1}, Tool: "erc20.transfer",
					Decisions: []Decision{{Point: "tool.call", Outcome: "deny", Why: text("{}")}}},
			}},
		&Step{Seq: 8, At: 7_000, Event: &Lapse{Why: LapseRevoked}},
		&Step{Seq: 9, At: 7_000, Event: &Reply{Of: Ref{5, 0}, Failed: "http 429"}},
		&Step{Seq: 10, At: 7_000, Event: &Verdict{Of: Ref{1, 1}, Refused: "too much"}},
	)
	h.link(t)
	run, prev := h.steps[0].Run, Sum(0x71, []byte("prev"))
	caller := &Delegate{Agent: Sum(0x71, []byte("agent")), Tools: []string{"chain.balance"}, Caveats: "{}",
		Life: 60_000}
	d := &Delegation{
		From: Sum(0x71, []byte("grant")), Call: *h.run.Parent, Agent: caller.Agent, Tools: caller.Tools,
		Caveats: "{}", At: 5, Expires: 9,
		Nonce: [32]byte{7}, Issuer: "did:key:z6Mk", Sig: make([]byte, 64),
	}
	sub := *h.run
	sub.Delegation = Sum(0x71, []byte("delegation"))
	callTool := *h.tool
	callTool.Delegate = caller
	sealed := func(text string) *Payload {
		p := NewPayload([]byte(text))
		if _, err := p.Seal(LeafKey{1}); err != nil {
			t.Fatal(err)
		}
		return p
	}
	all := map[string]Record{
		"run": h.run, "head": h.head, "grant": h.grant, "policies": h.rules, "agent": h.agent, "tool": h.tool,
		"runtime": h.runtime, "run-delegated": &sub, "tool-agent": &callTool, "delegation": d,
		"revocation": &Revocation{
			Grant: d.From, At: 5, Method: RevokedSession, Message: sealed("{}"), Sig: sealed("sig"),
			Frame: &RevokedFrame{From: d.From, Seq: 3, Channel: [32]byte{1}},
		},
		"step-revoked-by": &Step{
			Run: run, Seq: 11, Prev: prev, At: 7_000,
			Event: &Lapse{Why: LapseRevoked, By: Sum(0x71, []byte("revocation"))},
		},
		"step-child": &Step{
			Run: run, Seq: 12, Prev: prev, At: 7_000,
			Event: &Result{Of: Ref{1, 1}, Status: StatusOK, Child: Sum(0x71, []byte("head"))},
		},
		"index":   &StepIndex{Steps: 2, Kids: []Link{Sum(0x71, []byte("one")), Sum(0x71, []byte("two"))}},
		"erasure": &Erasure{At: 5, Why: "asked for", Leaves: []Link{NewRaw([]byte("leaf")).CID}},
		"head-erased": &Head{Run: run, Seq: 11, Step: prev, At: 9, Key: operatorKey(), Sig: make([]byte, 64),
			Erased: []Link{Sum(0x71, []byte("erasure"))}},
		"verification": &Verification{
			Method: "eip6492", Standing: "prepared", Chain: 8453, Number: 12, Block: [32]byte{3},
			State:     sealed(strings.Repeat("s", 64)),
			Validator: [32]byte{4}, Gas: 6503, Asked: 3, Agreed: 2, At: 5, Took: 40,
		},
		"grant-contract": &Grant{
			Message: sealed("message"), Sig: sealed(""), Method: "eip1271",
			Verification: Sum(0x71, []byte("verification")),
		},
		"step-wallet": &Step{
			Run: run, Seq: 13, Prev: prev, At: 7_000,
			Facts: Facts{Wallet: &WalletFact{At: 6_000, By: Sum(0x71, []byte("verification"))}},
			Event: &Verdict{Of: Ref{1, 1}, Approval: &Approval{
				Message: sealed("{}"), Sig: sealed("sig"), Method: "eip6492",
				Verification: Sum(0x71, []byte("verification")),
			}},
		},
		"revocation-contract": &Revocation{
			Grant: d.From, At: 5, Method: RevokedTyped, Message: sealed("end"), Sig: sealed("sig"),
			Verification: Sum(0x71, []byte("verification")),
		},
		"revocation-wallet": &Revocation{Grant: d.From, At: 5, Method: RevokedText, Message: sealed("end"),
			Sig: sealed("sig")},
	}
	all["policies-dapp"] = &PolicySet{Name: "shop", Source: "rules: []\n", Under: Sum(0x71, []byte("operator")),
		Origin: "https://shop.example"}
	all["revocation-delegation"] = &Revocation{
		Grant: d.From, Delegation: Sum(0x71, []byte("delegation")), At: 5, Method: RevokedText,
		Message: sealed("end"), Sig: sealed("sig"),
	}
	all["policies-parts"] = &PolicySet{Name: "hours", Source: "rules: []\n", Parts: []Part{
		{"set/friends", NewRaw([]byte("a\n")).CID}, {"zone/Asia/Tokyo", NewRaw([]byte("TZif")).CID},
	}}
	for i, name := range []string{
		"step-ask", "step-reply", "step-result", "step-approved", "step-signed", "step-sent", "step-close",
		"step-lapse", "step-revoked", "step-failed", "step-refused",
	} {
		all[name] = h.steps[i]
	}
	return all
}

func TestEachRecordHasItsGoldenBlock(t *testing.T) {
	for name, r := range records(t) {
		t.Run(name, func(t *testing.T) {
			b, err := Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "records", name+".dag-cbor.hex")
			got := b.CID.String() + "\n" + wrap(hex.EncodeToString(b.Data)) + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is encoded as\n%s\nwant\n%s", name, got, want)
			}
		})
	}
}

func wrap(s string) string {
	var lines []string
	for len(s) > 100 {
		lines, s = append(lines, s[:100]), s[100:]
	}
	return strings.Join(append(lines, s), "\n")
}

func TestRecordsSurviveTheirBlock(t *testing.T) {
	for name, r := range records(t) {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeAny(b.Data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Encode(got)
		if err != nil || again.CID != b.CID {
			t.Errorf("%s: encoded again %v, %v", name, again.CID, err)
		}
		if reflect.TypeOf(got) != reflect.TypeOf(r) {
			t.Errorf("%s is read as %T", name, got)
		}
		if !reflect.DeepEqual(Links(got), Links(r)) {
			t.Errorf("%s links to %v, read again to %v", name, Links(r), Links(got))
		}
	}
}

func TestGoIPLDPrimeWritesTheSameBytes(t *testing.T) {
	for name, r := range records(t) {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		node := basicnode.Prototype.Any.NewBuilder()
		if err := dagcbor.Decode(node, bytes.NewReader(b.Data)); err != nil {
			t.Fatalf("%s: go-ipld-prime reads: %v", name, err)
		}
		var again bytes.Buffer
		if err := dagcbor.Encode(node.Build(), &again); err != nil {
			t.Fatalf("%s: go-ipld-prime writes: %v", name, err)
		}
		if !bytes.Equal(again.Bytes(), b.Data) {
			t.Errorf("%s: go-ipld-prime writes\n%x\nwant\n%x", name, again.Bytes(), b.Data)
		}
	}
}

func TestLinksAreThoseOfTheBlock(t *testing.T) {
	for name, r := range records(t) {
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var want []Link
		if err := walkBlock(b.Data, func(c []byte) { want = append(want, linkFromBytes(c)) }); err != nil {
			t.Fatal(err)
		}
		if got := Links(r); !reflect.DeepEqual(got, want) {
			t.Errorf("Links(%s) = %v, its block has %v", name, got, want)
		}
	}
}

func TestEncodeRefusesWhatCouldNotBeRead(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		change func(h *history)
		want   Code
	}{
		{"a payload without a leaf", func(h *history) {
			h.steps[6].Does[0].(*Say).Text = text("new")
		}, CodeSchemaMissing},
		{"a required payload that is nil", func(h *history) {
			h.steps[6].Does[0].(*Say).Text = nil
		}, CodeSchemaMissing},
		{"a first step with a prev", func(h *history) { h.steps[0].Prev = h.head.Step }, CodeSchemaMissing},
		{"a later step without a prev", func(h *history) { h.steps[1].Prev = Link{} }, CodeSchemaMissing},
		{"a step without its run", func(h *history) { h.steps[0].Run = Link{} }, CodeSchemaMissing},
		{"a step without an event", func(h *history) { h.steps[0].Event = nil }, CodeSchemaKey},
		{"an effect that is nil", func(h *history) { h.steps[0].Does = []Effect{nil} }, CodeSchemaKey},
		{"a reply that neither answers nor fails", func(h *history) { h.steps[1].Event.(*Reply).Model = nil },
			CodeSchemaMissing},
		{"a verdict with both answers", func(h *history) {
			h.steps[3].Event.(*Verdict).Refused = "no"
		}, CodeSchemaMissing},
		{"text that is not UTF-8", func(h *history) { h.steps[0].Event.(*Ask).Method = "\xff" }, CodeSchemaRange},
		{"a number of 64 bits", func(h *history) { h.steps[0].Event.(*Ask).Seq = math.MaxUint64 }, CodeSchemaRange},
		{"an unknown status", func(h *history) { h.steps[2].Event.(*Result).Status = "fine" }, CodeSchemaRange},
		{"an unknown reason", func(h *history) { h.steps[6].Does[1].(*Close).Reason = "done" }, CodeSchemaRange},
		{"an unknown outcome", func(h *history) {
			h.steps[0].Does[0].(*AskModel).Decisions[0].Outcome = "allow"
		}, CodeSchemaRange},
		{"a phase that the class has not", func(h *history) {
			h.steps[3].Does[0].(*Call).Class = "read"
		}, CodeSchemaRange},
		{"a send without the signed bytes", func(h *history) {
			h.steps[4].Does[0].(*Call).Signed = nil
		}, CodeSchemaMissing},
		{"an evidence level of 5", func(h *history) { h.steps[1].Event.(*Reply).Model.Evidence = 5 }, CodeSchemaRange},
		{"budgets out of order", func(h *history) {
			b := h.steps[0].Facts.Budgets
			b[0], b[1] = b[1], b[0]
		}, CodeSchemaOrder},
		{"a budget twice", func(h *history) { b := h.steps[0].Facts.Budgets; b[1] = b[0] }, CodeSchemaOrder},
		{"a budget in two assets", func(h *history) {
			h.steps[0].Facts.Budgets[0].Spent = money.Of(wei, 1)
		}, CodeSchemaRange},
		{"a budget without an asset", func(h *history) {
			h.steps[0].Facts.Budgets[0] = Budget{ID: "a"}
		}, CodeSchemaRange},
		{"models down out of order", func(h *history) { h.steps[0].Facts.Down = []string{"b", "a"} }, CodeSchemaOrder},
		{"a head's key of 31 bytes", func(h *history) { h.head.Key = h.head.Key[:31] }, CodeSchemaRange},
		{"a head's signature of 63 bytes", func(h *history) { h.head.Sig = h.head.Sig[:63] }, CodeSchemaRange},
		{"more than a block", func(h *history) { h.rules.Source = strings.Repeat("x", MaxBlock) }, CodeSchemaRange},
		{"more entries than a list may have", func(h *history) {
			h.agent.Tools = make([]Link, maxList+1)
		}, CodeSchemaRange},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			h := newHistory()
			h.link(t)
			tt.change(h)
			var err error
			for _, r := range append([]Record{h.head, h.run, h.agent, h.rules}, stepRecords(h)...) {
				if _, err = Encode(r); err != nil {
					break
				}
			}
			if got := codeOf(err); got != tt.want {
				t.Errorf("Encode: %v, want %s", err, tt.want)
			}
		})
	}
}

func stepRecords(h *history) (rs []Record) {
	for _, s := range h.steps {
		rs = append(rs, s)
	}
	return rs
}

func TestDecodeNamesEachFaultOfTheSchema(t *testing.T) {
	// {"v": "policies/1", "name": "a", "source": ""}
	const rules = `a3 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61 66 736f75726365 60`
	if err := Decode(unhex(t, rules), new(PolicySet)); err != nil {
		t.Fatalf("the plain record: %v", err)
	}
	for _, tt := range []struct {
		rule     string
		old, new string
		want     Code
	}{
		{"another version", "6369 65732f31", "6369 65732f32", CodeSchemaVersion},
		{"another record", "6a 706f6c69636965732f31", "67 6772616e742f31", CodeSchemaVersion},
		{"a key missing", "a3 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61", "a2 61 76 6a 706f6c69636965732f31",
			CodeSchemaKey},
		{"the last key missing", "a3 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61 66 736f75726365 60",
			"a2 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61", CodeSchemaMissing},
		{"an unknown key", "a3 61 76", "a4 61 61 00 61 76", CodeSchemaKey},
		{"an unknown key at the end", "a3 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61 66 736f75726365 60",
			"a4 61 76 6a 706f6c69636965732f31 64 6e616d65 61 61 66 736f75726365 60 67 736f7572636573 60",
			CodeSchemaKey},
		{"a number for a text", "64 6e616d65 61 61", "64 6e616d65 01", CodeSchemaType},
		{"a list for the record", rules, "80", CodeSchemaType},
		{"a text for the record", rules, "60", CodeSchemaType},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
			changed := strings.Replace(squeeze(rules), squeeze(tt.old), squeeze(tt.new), 1)
			if changed == squeeze(rules) {
				t.Fatal("nothing changed")
			}
			if got := codeOf(Decode(unhex(t, changed), new(PolicySet))); got != tt.want {
				t.Errorf("Decode(%s) = %s, want %s", changed, got, tt.want)
			}
		})
	}
}

func TestAnEmptyValueIsNotSpeltOut(t *testing.T) {
	// {"in": 0, "out": 0, "cached": 0}: cached is left out when it is zero.
	c := coder{Coder: spelling.Coder{Mode: spelling.Reading, In: string(unhex(t, "a3 62 696e 00 63 6f7574 00 66 636163686564 00"))}}
	if new(Usage).codeFields(&c); codeOf(faultOf(c.Err)) != CodeSchemaRange {
		t.Errorf("got %v, want %s", c.Err, CodeSchemaRange)
	}
}

// TestALinkIsOneString holds linkOf to what it assumes of go-cid.
func TestALinkIsOneString(t *testing.T) {
	for _, codec := range []uint64{cid.DagCBOR, cid.Raw} {
		digest, err := multihash.Sum([]byte("block"), multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		want := cid.NewCidV1(codec, digest)
		for _, got := range []Link{Sum(codec, []byte("block")), spelling.LinkFromString(want.KeyString()),
			spelling.LinkFromConstant(want.Bytes()), linkFromBytes(want.Bytes())} {
			if got != want || got.String() != want.String() || got.Prefix() != want.Prefix() ||
				got.Hash().HexString() != digest.HexString() {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	}
	b, err := Encode(twoKB(t))
	if err != nil || b.CID != Sum(cid.DagCBOR, b.Data) || cap(b.Data) != len(b.Data) {
		t.Errorf("%v: a block's bytes and its CID share their memory, so the bytes must not have room to grow", err)
	}
}

func TestEncodeAllocatesOnce(t *testing.T) {
	s := twoKB(t)
	if n := testing.AllocsPerRun(100, func() { Encode(s) }); n > 1 {
		t.Errorf("a block takes %.0f allocations, want 1", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range records(f) {
		b, err := Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeAny(data)
		wrong := Check(data)
		if err != nil {
			if codeOf(err) == "?" {
				t.Errorf("an error without a code: %v", err)
			}
			if wrong != nil && codeOf(err) != codeOf(wrong) {
				t.Errorf("%x: read: %v; check: %v", data, err, wrong)
			}
			return
		}
		if wrong != nil {
			t.Errorf("%x was read although it is not canonical: %v", data, wrong)
		}
		b, err := Encode(r)
		if err != nil || !bytes.Equal(b.Data, data) {
			t.Errorf("two spellings of one %s: read %x, written %x, %v", r.versionName(), data, b.Data, err)
		}
		for _, l := range Links(r) {
			if !spelling.IsCID(l.Bytes()) {
				t.Errorf("a link to %s got in", l)
			}
		}
	})
}
