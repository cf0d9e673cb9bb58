package auth

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
	"github.com/holiman/uint256"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/policies/money"
)

func testApproval(t testing.TB) Approval {
	return Approval{
		Chain: 1337, Salt: Salt("https", "app.example.com"), Account: testWallet(t, 1).Address(), Session: testLink("session"),
		Run: testLink("run"), Step: testLink("step"), Effect: 1, Tool: "erc20.transfer", Args: [32]byte{5},
		Summary: `send 5 USDC to bob <0x7099> & "tell" him`, Amount: money.Of(usdc, 5_000_000), Recipient: bob,
		NotAfter: noon.Add(2 * time.Minute), Nonce: [32]byte{8},
	}
}

func testRevocation(t testing.TB) Revocation {
	return Revocation{
		Chain: 1337, Salt: Salt("https", "app.example.com"), Account: testWallet(t, 1).Address(), Session: testLink("session"),
		Reason: "lost my laptop", IssuedAt: noon,
	}
}

// go-ethereum's own reading of the JSON must give the digest that we sign.
func TestDigestsAreThoseOfEIP712(t *testing.T) {
	native := testApproval(t)
	native.Amount, native.Recipient = money.Amount{}, common.Address{}
	for name, v := range map[string]interface {
		Digest() ([32]byte, error)
		TypedData() ([]byte, error)
	}{"approval": testApproval(t), "approval of a call that spends nothing": native, "revocation": testRevocation(t)} {
		data, err := v.TypedData()
		if err != nil {
			t.Fatal(err)
		}
		var td apitypes.TypedData
		if err := json.Unmarshal(data, &td); err != nil {
			t.Fatal(err)
		}
		want, _, err := apitypes.TypedDataAndHash(td)
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.Digest()
		if err != nil || !bytes.Equal(got[:], want) {
			t.Errorf("%s: got %x (%v), want %x", name, got, err, want)
		}
	}
}

func TestTypedDataGolden(t *testing.T) {
	var out bytes.Buffer
	for _, v := range []interface{ TypedData() ([]byte, error) }{testApproval(t), testRevocation(t)} {
		data, err := v.TypedData()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Indent(&out, data, "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	golden(t, "typed.json", out.Bytes())
}

// mutations returns v changed in each of its fields once, by reflection, so that a new field cannot be forgotten.
func mutations[T any](t *testing.T, v T) map[string]T {
	out := make(map[string]T)
	for i := range reflect.TypeFor[T]().NumField() {
		name := reflect.TypeFor[T]().Field(i).Name
		changed := v
		f := reflect.ValueOf(&changed).Elem().Field(i)
		switch x := f.Interface().(type) {
		case uint64:
			f.SetUint(x + 1)
		case string:
			if strings.Contains(x, ".") {
				f.SetString(x + "x") // the name of a tool
			} else {
				f.SetString(x + " ")
			}
		case [32]byte:
			x[31] ^= 1
			f.Set(reflect.ValueOf(x))
		case common.Address:
			x[19] ^= 1
			f.Set(reflect.ValueOf(x))
		case cid.Cid:
			f.Set(reflect.ValueOf(testLink("changed")))
		case time.Time:
			f.Set(reflect.ValueOf(x.Add(time.Second)))
		case money.Amount:
			f.Set(reflect.ValueOf(money.Of(x.Asset(), x.Uint256().Uint64()+1)))
		default:
			t.Fatalf("no mutation for %s of type %T", name, x)
		}
		out[name] = changed
	}
	return out
}

// A bit more or less in what is called, with what, how much, for whom, in which run or until when is another call: the
// wallet's signature does not cover it.
func TestAnyFlippedBitVoidsAnApproval(t *testing.T) {
	a := testApproval(t)
	sig, err := testWallet(t, 1).SignTyped(a)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	each := func(name string, bits int, flip func(a *Approval, i int) bool) {
		for i := range bits {
			b := a
			if !flip(&b, i) {
				continue // no such value exists
			}
			flipped++
			if err := b.Verify(sig, noon); err == nil {
				t.Errorf("%s with bit %d flipped is accepted", name, i)
			}
		}
	}
	each("tool", 8*len(a.Tool), func(a *Approval, i int) bool {
		s := []byte(a.Tool)
		s[i/8] ^= 1 << (i % 8)
		a.Tool = string(s)
		return true
	})
	each("args", 256, func(a *Approval, i int) bool { a.Args[i/8] ^= 1 << (i % 8); return true })
	each("amount", 256, func(a *Approval, i int) bool {
		n := a.Amount.Uint256().Bytes32()
		n[i/8] ^= 1 << (i % 8)
		changed, err := money.FromUnits(a.Amount.Asset(), new(uint256.Int).SetBytes32(n[:]).Dec())
		a.Amount = changed
		return err == nil
	})
	each("recipient", 160, func(a *Approval, i int) bool { a.Recipient[i/8] ^= 1 << (i % 8); return true })
	each("run", 256, func(a *Approval, i int) bool {
		b := a.Run.Bytes()
		b[len(b)-32+i/8] ^= 1 << (i % 8)
		_, c, err := cid.CidFromBytes(b)
		a.Run = c
		return err == nil
	})
	each("expiry", 53, func(a *Approval, i int) bool {
		a.NotAfter = time.Unix(a.NotAfter.Unix()^(1<<i), 0).UTC()
		return true
	})
	if want := 8*len(a.Tool) + 256 + 256 + 160 + 256 + 53; flipped != want {
		t.Errorf("%d bits were flipped, want %d", flipped, want)
	}
}

func TestAnyChangedFieldVoidsAnApproval(t *testing.T) {
	w, a := testWallet(t, 1), testApproval(t)
	sig, err := w.SignTyped(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(sig, noon); err != nil {
		t.Fatal(err)
	}
	changed := mutations(t, a)
	asset, decimals := a, a
	asset.Amount = money.Of(money.Asset{Symbol: "USDT", Decimals: 6}, 5_000_000)
	decimals.Amount = money.Of(money.Asset{Symbol: "USDC", Decimals: 5}, 5_000_000)
	changed["asset"], changed["decimals"] = asset, decimals
	for name, b := range changed {
		if err := b.Verify(sig, noon); code(err) != CodeSigSigner {
			t.Errorf("%s: got %v, want %s", name, err, CodeSigSigner)
		}
	}
	if err := a.Verify(sig, a.NotAfter); err != nil {
		t.Errorf("at the last instant: %v", err)
	}
	if err := a.Verify(sig, a.NotAfter.Add(time.Millisecond)); code(err) != CodeApprovalLate {
		t.Errorf("too late: got %v", err)
	}
	other, err := testWallet(t, 9).SignTyped(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(other, noon); code(err) != CodeSigSigner {
		t.Errorf("by another wallet: got %v", err)
	}
	// A signature over a text is none over typed data.
	digest, _ := a.Digest()
	text, err := w.SignText(digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(text, noon); code(err) != CodeSigSigner {
		t.Errorf("as a text: got %v", err)
	}
}

func TestAnyChangedFieldVoidsARevocation(t *testing.T) {
	r := testRevocation(t)
	sig, err := testWallet(t, 1).SignTyped(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(sig); err != nil {
		t.Fatal(err)
	}
	for name, b := range mutations(t, r) {
		if err := b.Verify(sig); code(err) != CodeSigSigner {
			t.Errorf("%s: got %v, want %s", name, err, CodeSigSigner)
		}
	}
}

func TestApprovalsStandUnderAGrant(t *testing.T) {
	s := newSignin(t)
	g, err := Verify(s.raw, s.sig, s.want)
	if err != nil {
		t.Fatal(err)
	}
	if err := testApproval(t).Under(g); err != nil {
		t.Error(err)
	}
	if err := testRevocation(t).Under(g); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"Chain", "Salt", "Account", "Tool"} {
		if err := mutations(t, testApproval(t))[name].Under(g); code(err) != CodeApprovalElse {
			t.Errorf("%s: got %v", name, err)
		}
		if r, ok := mutations(t, testRevocation(t))[name]; ok && code(r.Under(g)) != CodeApprovalElse {
			t.Errorf("revocation, %s: got %v", name, r.Under(g))
		}
	}
}

func TestRecordsOfApprovalsHaveOneSpelling(t *testing.T) {
	a := testApproval(t)
	data, err := a.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseApproval(data)
	if err != nil || back != a {
		t.Fatalf("got %+v, %v\nwant %+v", back, err, a)
	}
	// json.Marshal escapes what is within; the values stay.
	var inside struct{ A Approval }
	outer, err := json.Marshal(struct{ A Approval }{a})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(outer, &inside); err != nil || inside.A != a {
		t.Errorf("inside another value: got %+v, %v", inside.A, err)
	}
	text := string(data)
	for name, bad := range map[string]string{
		"nothing": "", "another type": "[]", "white space": " " + text, "a line break at the end": text + "\n", "more after it": text + "{}",
		"an unknown key":        strings.Replace(text, `"account"`, `"also":1,"account"`, 1),
		"a key twice":           strings.Replace(text, `"effect":1`, `"effect":1,"effect":1`, 1),
		"a key missing":         strings.Replace(text, `"effect":1,`, ``, 1),
		"other capitals":        strings.Replace(text, `"effect"`, `"Effect"`, 1),
		"an escape":             strings.Replace(text, `<0x7099>`, `\u003c0x7099>`, 1),
		"a number as a text":    strings.Replace(text, `"effect":1`, `"effect":"1"`, 1),
		"a negative number":     strings.Replace(text, `"effect":1`, `"effect":-1`, 1),
		"an amount in hex":      strings.Replace(text, `"5000000"`, `"0x4c4b40"`, 1),
		"an address small":      strings.Replace(text, bob.Hex(), strings.ToLower(bob.Hex()), 1),
		"a hash cut":            strings.Replace(text, `00","asset"`, `","asset"`, 1),
		"a hash in capitals":    strings.Replace(text, `"argsHash":"0x05`, `"argsHash":"0X05`, 1),
		"no session":            strings.Replace(text, a.Session.String(), ``, 1),
		"a session in capitals": strings.Replace(text, a.Session.String(), strings.ToUpper(a.Session.String()), 1),
		"a bad tool":            strings.Replace(text, `erc20.transfer`, `erc20 transfer`, 1),
		"chain 0":               strings.Replace(text, `"chainId":1337`, `"chainId":0`, 1),
		"too long":              strings.Replace(text, `send 5`, strings.Repeat("x", maxSummary), 1),
		"huge":                  strings.Repeat(" ", 1<<20) + text,
		"null":                  strings.Replace(text, `"effect":1`, `"effect":null`, 1),
		"deep":                  strings.Repeat("[", 5000),
		"no summary":            strings.Replace(text, `send 5 USDC to bob <0x7099> & \"tell\" him`, ``, 1),
	} {
		if bad == text {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := ParseApproval([]byte(bad)); code(err) != CodeApprovalForm {
			t.Errorf("%s: got %v, want %s", name, err, CodeApprovalForm)
		}
	}

	r := testRevocation(t)
	data, err = r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseRevocation(data); err != nil || back != r {
		t.Errorf("got %+v, %v\nwant %+v", back, err, r)
	}
	if _, err := ParseRevocation(append(data, ' ')); code(err) != CodeApprovalForm {
		t.Errorf("white space after a revocation: got %v", err)
	}
}

func TestIncompleteApprovalsAreNotSigned(t *testing.T) {
	w := testWallet(t, 1)
	for name, change := range map[string]func(*Approval){
		"session": func(a *Approval) { a.Session = cid.Undef }, "run": func(a *Approval) { a.Run = cid.Undef }, "step": func(a *Approval) { a.Step = cid.Undef },
		"chain": func(a *Approval) { a.Chain = 0 }, "tool": func(a *Approval) { a.Tool = "" }, "summary": func(a *Approval) { a.Summary = "" },
		"a line break": func(a *Approval) { a.Summary = "a\nb" }, "an emoji": func(a *Approval) { a.Summary = "\U0001f600" },
		"a fraction of a second": func(a *Approval) { a.NotAfter = a.NotAfter.Add(1) }, "no time": func(a *Approval) { a.NotAfter = time.Time{} },
		"an amount of nothing": func(a *Approval) { a.Amount = money.Of(money.Asset{}, 1) },
		"a bad asset":          func(a *Approval) { a.Amount = money.Of(money.Asset{Symbol: "a b"}, 1) },
	} {
		a := testApproval(t)
		change(&a)
		if _, err := w.SignTyped(a); code(err) != CodeApprovalForm {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := a.TypedData(); code(err) != CodeApprovalForm {
			t.Errorf("%s, typed data: got %v", name, err)
		}
		if _, err := a.MarshalJSON(); code(err) != CodeApprovalForm {
			t.Errorf("%s, JSON: got %v", name, err)
		}
		if err := a.Verify(make([]byte, 65), noon); code(err) != CodeApprovalForm {
			t.Errorf("%s, verify: got %v", name, err)
		}
	}
}
