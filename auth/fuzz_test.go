package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ipfs/go-cid"
)

// abnf is the grammar of EIP-4361 written down a second time, as a pattern: what a careful reader of the EIP would
// type who knows nothing of this package's parser. IPv6 addresses are taken as any letters in brackets.
var abnf = func() *regexp.Regexp {
	const (
		pct       = `%[0-9A-Fa-f]{2}`
		name      = `A-Za-z0-9\-._~!$&'()*+,;=`
		authority = `(?:(?:[` + name + `:]|` + pct + `)*@)?(?:\[[0-9A-Fa-f:.]+\]|(?:[` + name + `]|` + pct + `)*)(?::[0-9]*)?`
		path      = `(?:[` + name + `:@/]|` + pct + `)*`
		scheme    = `[A-Za-z][A-Za-z0-9+\-.]*`
		uri       = scheme + `:(?://` + authority + `(?:/` + path + `)?|` + path + `)(?:\?(?:[` + name + `:@/?]|` + pct + `)*)?(?:#(?:[` + name + `:@/?]|` + pct + `)*)?`
		when      = `[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+\-][0-9]{2}:[0-9]{2})`
	)
	return regexp.MustCompile(`^(?:` + scheme + `://)?` + authority + ` wants you to sign in with your Ethereum account:\n` +
		`0x[0-9A-Fa-f]{40}\n\n(?:[` + name + `:/?#\[\]@ ]*\n)?\nURI: ` + uri + `\nVersion: 1\nChain ID: [0-9]+\nNonce: [A-Za-z0-9]{8,}\n` +
		`Issued At: ` + when + `(?:\nExpiration Time: ` + when + `)?(?:\nNot Before: ` + when + `)?` +
		`(?:\nRequest ID: (?:[` + name + `:@]|` + pct + `)*)?(?:\nResources:(?:\n- ` + uri + `)*)?$`)
}()

// beyond are the reasons for which Parse may refuse what the pattern accepts: rules that no pattern can hold, and our
// own bounds.
var beyond = map[Code]bool{
	CodeSize: true, CodeAddressChecksum: true, CodeChainForm: true, CodeChainRange: true, CodeTimeForm: true,
	CodeDomainForm: true, CodeURIForm: true, CodeResourceForm: true, CodeNonceForm: true, CodeRequestIDForm: true, CodeResourceCount: true,
}

func checkParse(t *testing.T, raw []byte) {
	m, err := Parse(raw)
	if err != nil {
		if !beyond[code(err)] && len(raw) <= MaxMessage && abnf.Match(raw) {
			t.Errorf("the grammar allows what Parse refuses with %v:\n%q", err, raw)
		}
		return
	}
	if got := m.String(); got != string(raw) {
		t.Errorf("written again it is another text:\n%q\n%q", raw, got)
	}
	if !abnf.Match(raw) {
		t.Errorf("the grammar does not allow what Parse accepts:\n%q", raw)
	}
	// Outside of what siwe-go is known not to cope with, two readers that were written apart must agree.
	if err := askSecondReader(m, raw); err != nil && beyondSecond(m) == "" || code(err) == CodeSecondPanics {
		t.Errorf("siwe-go disagrees: %v\n%q", err, raw)
	}
}

func FuzzSIWE(f *testing.F) {
	for _, file := range []string{"parse.json", "signin.json"} {
		data, err := os.ReadFile("testdata/vectors/" + file)
		if err != nil {
			f.Fatal(err)
		}
		var list []vector
		if err := json.Unmarshal(data, &list); err != nil {
			f.Fatal(err)
		}
		for _, v := range list {
			f.Add([]byte(v.Raw))
		}
	}
	f.Fuzz(checkParse)
}

func FuzzRecap(f *testing.F) {
	s := newSignin(f)
	uri := s.raw[bytes.Index(s.raw, []byte(recapPrefix)):]
	f.Add(string(uri))
	f.Add(recapPrefix + "e30")
	f.Add(recapPrefix)
	f.Fuzz(func(t *testing.T, uri string) {
		r, err := parseRecap(uri)
		if err != nil {
			if code(err) == "other" {
				t.Errorf("%q: an error without a code: %v", uri, err)
			}
			return
		}
		if again := r.encodeURI(); again != uri {
			t.Errorf("two spellings of one ReCap: %q and %q", uri, again)
		}
		if s := r.wholeStatement(r.limitsSentence(noon)); !allBytes(s, isStatement) {
			t.Errorf("the statement of %q cannot be signed: %q", uri, s)
		}
	})
}

func FuzzSignature(f *testing.F) {
	s := newSignin(f)
	f.Add("0x"+hex.EncodeToString(s.sig), []byte("text"))
	f.Add("0x", s.raw)
	f.Fuzz(func(t *testing.T, text string, message []byte) {
		sig, err := ParseSig(text)
		if err != nil {
			return
		}
		c, err := canonicalSignature(sig)
		if err != nil {
			return
		}
		if again, err := canonicalSignature(c[:]); err != nil || again != c {
			t.Errorf("%x is not canonical after all: %v", c, err)
		}
		digest := textDigest(message)
		who, err := recoverSigner(digest, c)
		if err != nil {
			return
		}
		flat := c
		flat[64] -= 27
		pub, err := crypto.Ecrecover(digest[:], flat[:])
		if err != nil || !crypto.VerifySignature(pub, digest[:], c[:64]) || common.BytesToAddress(crypto.Keccak256(pub[1:])[12:]) != who {
			t.Errorf("%x is by %s, and yet it does not verify", c, who)
		}
	})
}

func FuzzFrame(f *testing.F) {
	frame := testFrame()
	f.Add(frame.Session.Bytes(), frame.Channel[:], frame.Seq, frame.Method, frame.Params, make([]byte, 64))
	f.Add([]byte(nil), []byte(nil), uint64(0), "", []byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, session, channel []byte, seq uint64, method string, params, sig []byte) {
		frame := Frame{Seq: seq, Method: method, Params: params}
		copy(frame.Channel[:], channel)
		if _, c, err := cid.CidFromBytes(session); err == nil {
			frame.Session = c
		}
		// The fields can be taken apart again, so two frames cannot have the same bytes.
		b := frame.Bytes()
		var parts []string
		for len(b) > 0 {
			n := binary.BigEndian.Uint32(b)
			parts = append(parts, string(b[4:4+n]))
			b = b[4+n:]
		}
		digest := sha256.Sum256(params)
		want := []string{"writ/frame/1", frame.Session.KeyString(), string(frame.Channel[:]),
			string(binary.BigEndian.AppendUint64(nil, seq)), method, string(digest[:])}
		if strings.Join(parts, "\x00") != strings.Join(want, "\x00") || len(parts) != len(want) {
			t.Errorf("got %q, want %q", parts, want)
		}
		for _, kind := range kinds {
			if frame.Verify(testKey(t, kind, 3).Public(), sig) == nil {
				t.Errorf("%s: %x is accepted", kind, sig)
			}
		}
	})
}

func FuzzApproval(f *testing.F) {
	data, err := testApproval(f).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseApproval(data)
		if err != nil {
			return
		}
		if again, err := a.MarshalJSON(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("two spellings of one approval: %s and %s, %v", data, again, err)
		}
		if _, err := a.Digest(); err != nil {
			t.Errorf("%s cannot be signed: %v", data, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, kind := range kinds {
		f.Add(testKey(f, kind, 3).Public().String())
	}
	f.Fuzz(func(t *testing.T, did string) {
		if k, err := ParsePublicKey(did); err == nil && k.String() != did {
			t.Errorf("two spellings of one key: %q and %q", did, k)
		}
	})
}
