package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
)

// A teller is a Contracts that says what it was told to say, and counts the questions.
type teller struct {
	verdict Verdict
	chain   uint64 // that it claims to speak of; the question's if 0
	err     error
	asked   int
	last    Question
}

func (c *teller) Ask(_ context.Context, q Question) (Verification, error) {
	c.asked++
	c.last = q
	chain := q.Chain
	if c.chain != 0 {
		chain = c.chain
	}
	return Verification{Answer: Answer{Verdict: c.verdict, Standing: StandingContract}, Chain: chain, Number: 7}, c.err
}

var (
	account = common.HexToAddress("0x00000000000000000000000000000000c0ffee00")
	foundry = common.HexToAddress("0x00000000000000000000000000000000fac70000")
)

func TestAContractIsAskedLastAndOnlyItsYesCounts(t *testing.T) {
	s := newSignin(t)
	own := Question{Chain: 1, Account: s.wallet.Address(), Hash: textDigest(s.raw), Sig: s.sig}
	of := func(a common.Address, sig []byte) Question { q := own; q.Account, q.Sig = a, sig; return q }
	for _, tt := range []struct {
		rule  string
		c     *teller // nil: nobody can be asked
		q     Question
		code  Code
		asked int
	}{
		{"the account's key needs nobody", &teller{verdict: WrongAnswer}, own, "", 0},
		{"nor a chain that answers", &teller{err: ErrUnavailable}, own, "", 0},
		{"nor one at all", nil, own, "", 0},
		{"a contract's yes", &teller{verdict: Accepted}, of(account, s.sig), "", 1},
		{"a contract's yes to nothing at all", &teller{verdict: Accepted}, of(account, nil), "", 1},
		{"a contract's no", &teller{verdict: WrongAnswer}, of(account, s.sig), CodeSigContract, 1},
		{"a contract's failure", &teller{verdict: Failed}, of(account, s.sig), CodeSigContract, 1},
		{"a yes that speaks of another chain", &teller{verdict: Accepted, chain: 2}, of(account, s.sig), CodeSigContract, 1},
		{"no contract: what is wrong with the key's signature", &teller{verdict: NoCode}, of(account, s.sig), CodeSigSigner, 1},
		{"no contract: and with its length", &teller{verdict: NoCode}, of(account, nil), CodeSigSize, 1},
		{"a chain that does not answer", &teller{err: ErrUnavailable}, of(account, s.sig), CodeUnavailable, 1},
		{"a chain that does not answer, and says so in its own way", &teller{err: errors.New("x")}, of(account, s.sig), CodeUnavailable, 1},
		{"nobody is asked where nobody can be", nil, of(account, s.sig), CodeSigSigner, 0},
		{"nobody can be, and the length is a contract's", nil, of(account, nil), CodeSigSize, 0},
		{"nobody is asked about the zero address", &teller{verdict: Accepted}, of(common.Address{}, nil), CodeAddressReserved, 0},
		{"nor about a precompile", &teller{verdict: Accepted}, of(common.Address{18: 1, 19: 2}, nil), CodeAddressReserved, 0},
		{"nor with a signature without end", &teller{verdict: Accepted}, of(account, make([]byte, MaxContractSig+1)), CodeSigSize, 0},
		{"nor with a bad wrapper", &teller{verdict: Accepted}, of(account, magic6492), CodeSigWrapper, 0},
	} {
		var c Contracts
		if tt.c != nil {
			c = tt.c
		} else {
			tt.c = &teller{}
		}
		sig, v, err := Check(t.Context(), c, tt.q)
		if code(err) != tt.code || tt.c.asked != tt.asked {
			t.Errorf("%s: got %v after %d questions, want %q after %d", tt.rule, err, tt.c.asked, tt.code, tt.asked)
		}
		if (tt.code == CodeUnavailable) != errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v", tt.rule, err)
		}
		if err != nil && (sig != nil || v != nil) {
			t.Errorf("%s: refused, and returned all the same", tt.rule)
		}
		if err == nil && (!bytes.Equal(sig, tt.q.Sig) || (v != nil) != (tt.asked > 0)) {
			t.Errorf("%s: got %x, %v", tt.rule, sig, v)
		}
	}
}

func TestAContractWalletSignsIn(t *testing.T) {
	open := func(c *teller, sig []byte) (*Grant, error) {
		d := newDesk(t)
		d.c.Contracts = c
		r := d.request()
		r.Account = account
		ch, err := d.Challenge(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return d.Open(t.Context(), ch.Message, sig, channel)
	}
	for _, tt := range []struct {
		sig    []byte
		method string
	}{{nil, MethodEIP1271}, {[]byte("any"), MethodEIP1271}, {Wrap(foundry, []byte("deploy"), []byte("any")), MethodEIP6492}} {
		c := &teller{verdict: Accepted}
		g, err := open(c, tt.sig)
		if err != nil {
			t.Fatal(err)
		}
		if g.Method != tt.method || !bytes.Equal(g.Sig, tt.sig) || g.Verified == nil || g.Verified.Number != 7 {
			t.Errorf("got method %s, signature %x, %+v", g.Method, g.Sig, g.Verified)
		}
		if !c.last.Spends || c.last.Account != account || c.last.Chain != g.Chain || c.last.Hash != textDigest(g.Message) {
			t.Errorf("the question was %+v", c.last)
		}
		if want := fmt.Sprintf("eip155:%d:%s", g.Chain, account.Hex()); g.Identity() != want {
			t.Errorf("the grant is %s's, want %s", g.Identity(), want)
		}
		again, err := RereadAs(tt.method, g.Message, g.Sig)
		if err != nil {
			t.Fatal(err)
		}
		if again.Question().Hash != c.last.Hash || again.Identity() != g.Identity() || again.Verified != nil {
			t.Errorf("read again: %+v", again)
		}
		for _, method := range []string{MethodEOA, MethodEIP1271, MethodEIP6492, "", "eip9999"} {
			if _, err := RereadAs(method, g.Message, g.Sig); (err == nil) != (method == tt.method) {
				t.Errorf("a grant of %s, read as one of %q: got %v", tt.method, method, err)
			}
		}
	}
	if _, err := open(&teller{err: ErrUnavailable}, nil); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "no code") {
		t.Errorf("got %v", err)
	}
	if _, err := open(&teller{verdict: WrongAnswer}, nil); code(err) != CodeSigContract {
		t.Errorf("got %v", err)
	}
}

func TestIdentityOfAKeyIsOneAndOfAContractOneAChain(t *testing.T) {
	if a, b := Identity(MethodEOA, 1, account), Identity(MethodEOA, 2, account); a != b {
		t.Errorf("one key is %s and %s", a, b)
	}
	for _, m := range []string{MethodEIP1271, MethodEIP6492} {
		if a, b := Identity(m, 1, account), Identity(m, 2, account); a == b || a != "eip155:1:"+account.Hex() {
			t.Errorf("%s: contracts on two chains are %s and %s", m, a, b)
		}
	}
	if Identity(MethodEIP1271, 1, account) == Identity(MethodEOA, 1, account) {
		t.Error("a contract is taken for a key")
	}
}

func TestAWrapperHasOneForm(t *testing.T) {
	good := Wrap(foundry, []byte("deploy it"), bytes.Repeat([]byte{7}, 65))
	w, err := unwrapSignature(good)
	if err != nil || w.factory != foundry || string(w.prepare) != "deploy it" || len(w.sig) != 65 {
		t.Fatalf("got %+v, %v", w, err)
	}
	set := func(i int, v byte) []byte { b := bytes.Clone(good); b[i] = v; return b }
	for rule, sig := range map[string][]byte{
		"the magic value alone":                 magic6492,
		"an address of more than 20 bytes":      set(0, 1),
		"a first offset elsewhere":              set(63, 0x80),
		"a first offset beyond 64 bits":         set(32, 1),
		"a second offset elsewhere":             set(95, 0),
		"a second offset beyond the end":        set(94, 0xff),
		"a length beyond the end":               set(126, 0xff),
		"a length of 2^64 - 1":                  append(append(bytes.Clone(good[:120]), bytes.Repeat([]byte{0xff}, 8)...), good[128:]...),
		"dirt in the padding":                   set(159, 1),
		"something behind it":                   append(append(bytes.Clone(good[:len(good)-32]), make([]byte, 32)...), magic6492...),
		"the zero address for a factory":        Wrap(common.Address{}, nil, nil),
		"a precompile for a factory":            Wrap(common.Address{19: 4}, nil, nil),
		"two wrappers":                          Wrap(foundry, nil, good),
		"cut in the middle":                     append(bytes.Clone(good[:100]), magic6492...),
		"an odd number of bytes before the end": append([]byte{1}, good...),
	} {
		if _, err := unwrapSignature(sig); code(err) != CodeSigWrapper {
			t.Errorf("%s: got %v", rule, err)
		}
	}
	if w, err := unwrapSignature(good[:len(good)-1]); err != nil || w.factory != (common.Address{}) {
		t.Errorf("without the magic value it is a signature like any other: got %+v, %v", w, err)
	}
}

func TestTheAnswerIsReadStrictly(t *testing.T) {
	q := Question{Chain: 1, Account: account}
	answer := func(words ...uint64) []byte {
		var b []byte
		for _, n := range words {
			b = append(b, wordOf(n)...)
		}
		return b
	}
	if a, err := q.Read(answer(1, 1, 2, 8, 9, 10)); err != nil || a.Verdict != Accepted || a.Standing != StandingDelegated ||
		a.Code[31] != 8 || a.Owners[31] != 9 || a.Gas != 10 {
		t.Errorf("got %+v, %v", a, err)
	}
	high := answer(1, 1, 1, 0, 0, 0)
	high[0] = 1
	for rule, out := range map[string][]byte{
		"nothing": nil, "a word too few": answer(1, 1, 1, 0, 0), "a word too many": answer(1, 1, 1, 0, 0, 0, 0),
		"verdict 0": answer(0, 1, 1, 0, 0, 0), "verdict 6": answer(6, 1, 1, 0, 0, 0), "another chain": answer(1, 2, 1, 0, 0, 0),
		"standing 4": answer(1, 1, 4, 0, 0, 0), "a verdict beyond 64 bits": high,
	} {
		if a, err := q.Read(out); err == nil {
			t.Errorf("%s: got %+v", rule, a)
		}
	}
}

func TestContractSignaturesAreReadAsHex(t *testing.T) {
	for text, want := range map[string]Code{
		"0x": "", "0x00": "", "0x" + strings.Repeat("ab", MaxContractSig): "",
		"": CodeSigHex, "00": CodeSigHex, "0x0": CodeSigHex, "0xzz": CodeSigHex, "0x" + strings.Repeat("ab", MaxContractSig+1): CodeSigSize,
	} {
		if _, err := ParseContractSig(text); code(err) != want {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzWrapper: what is read as a wrapper is written the same, and nothing panics.
func FuzzWrapper(f *testing.F) {
	f.Add(Wrap(foundry, []byte("deploy"), []byte("sig")))
	f.Add(Wrap(foundry, nil, nil))
	f.Add(magic6492)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sig []byte) {
		w, err := unwrapSignature(sig)
		if err != nil {
			if c := code(err); c != CodeSigWrapper && c != CodeSigSize {
				t.Errorf("got %v", err)
			}
			return
		}
		back := w.sig
		if w.factory != (common.Address{}) {
			back = w.wrapSignature()
		}
		if !bytes.Equal(back, sig) {
			t.Errorf("two spellings of one wrapper: %x and %x", sig, back)
		}
	})
}

// FuzzAnswer: an endpoint's bytes give an answer or an error, and nothing else than a one gives a yes.
func FuzzAnswer(f *testing.F) {
	f.Add(append(append(wordOf(1), wordOf(1)...), make([]byte, 4*32)...))
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := Question{Chain: 1, Account: account}.Read(out)
		if err == nil && a.Verdict == Accepted && !bytes.Equal(out[:64], append(wordOf(1), wordOf(1)...)) {
			t.Errorf("a yes from %x", out)
		}
	})
}
