package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
)

func BenchmarkParse(b *testing.B) {
	s := newSignin(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(s.raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSecond(b *testing.B) {
	s := newSignin(b)
	m, err := Parse(s.raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := askSecondReader(m, s.raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEcrecoverFloor is the least that any sign-in of an account costs.
func BenchmarkEcrecoverFloor(b *testing.B) {
	s := newSignin(b)
	digest, sig := textDigest(s.raw), bytes.Clone(s.sig)
	sig[64] -= 27
	for b.Loop() {
		if _, err := crypto.Ecrecover(digest[:], sig); err != nil {
			b.Fatal(err)
		}
	}
}

// always is a Nonces that never forgets, to be measured without a store.
type always []byte

func (a always) PutNonce(context.Context, string, []byte, time.Time) error { return nil }
func (a always) TakeNonce(context.Context, string, time.Time) ([]byte, error) {
	return a, nil
}

// BenchmarkSignIn is Desk.Open: all that a server does for a signed message that it wrote, but for the store. To keep
// the message for the next time is part of what is measured.
func BenchmarkSignIn(b *testing.B) {
	d := newDesk(b)
	c, sig := d.challenge(b)
	d.c.Nonces = always(d.nonces.data[nonceSlot(c.Nonce, channel)])
	kept := d.takeWritten(c.Message)
	b.ReportAllocs()
	for b.Loop() {
		g := *kept.grant
		d.rememberWritten(c.Message, &written{&g, kept.hash})
		if _, err := d.Open(context.Background(), c.Message, sig, channel); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignInElsewhere is the same for a message that another node wrote, or this one long ago: it is read anew.
func BenchmarkSignInElsewhere(b *testing.B) {
	d := newDesk(b)
	c, sig := d.challenge(b)
	d.c.Nonces = always(d.nonces.data[nonceSlot(c.Nonce, channel)])
	d.takeWritten(c.Message)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Open(context.Background(), c.Message, sig, channel); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	s := newSignin(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(s.raw, s.sig, s.want); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReread(b *testing.B) {
	s := newSignin(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Reread(s.raw, s.sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	d := newDesk(b)
	d.c.Nonces = always(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Challenge(context.Background(), d.request()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, kind := range kinds {
		k, f := testKey(b, kind, 3), testFrame()
		sig, err := k.SignFrame(f)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Verify(k.Public(), sig); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFrameFloor is the bare check of a signature over bytes that are there already.
func BenchmarkFrameFloor(b *testing.B) {
	text := testFrame().Bytes()
	digest := sha256.Sum256(text)
	for _, kind := range kinds {
		k := testKey(b, kind, 3)
		sig, err := k.Sign(text)
		if err != nil {
			b.Fatal(err)
		}
		check := func() bool { return ed25519.Verify(k.public.raw[:32], text, sig) }
		switch kind {
		case P256:
			pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.public.raw[:])
			if err != nil {
				b.Fatal(err)
			}
			r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
			check = func() bool { return ecdsa.Verify(pub, digest[:], r, s) }
		case Secp256k1:
			check = func() bool { return crypto.VerifySignature(k.public.raw[:], digest[:], sig) }
		}
		b.Run(string(kind), func(b *testing.B) {
			for b.Loop() {
				if !check() {
					b.Fatal("not accepted")
				}
			}
		})
	}
}

func BenchmarkRefuseOneMegabyte(b *testing.B) {
	raw := bytes.Repeat([]byte("a"), 1<<20)
	for b.Loop() {
		if _, err := Parse(raw); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkApproval(b *testing.B) {
	a := testApproval(b)
	sig, err := testWallet(b, 1).SignTyped(a)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Verify(sig, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParsePlain reads a message of common size: 15 lines, two resources.
func BenchmarkParsePlain(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]byte(plain)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParseFloor is the one hash that a message cannot be read without: EIP-55's over the address.
func BenchmarkParseFloor(b *testing.B) {
	lower := []byte("2c7536e3605d9c16a7a3d7b1898e529396a65c23")
	for b.Loop() {
		crypto.Keccak256Hash(lower)
	}
}
