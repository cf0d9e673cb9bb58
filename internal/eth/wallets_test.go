package eth_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
)

func chains(t testing.TB, list ...eth.Chain) *eth.Chains {
	t.Helper()
	s, err := eth.New(eth.Config{Chains: list})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func keyOf(name string) *ecdsa.PrivateKey {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("ethcall test: " + name)))
	if err != nil {
		panic(err)
	}
	return key
}

func addressOf(key *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(key.PublicKey) }

var hash = [32]byte(crypto.Keccak256([]byte("what is signed")))

func sign(t testing.TB, key *ecdsa.PrivateKey, hash [32]byte) []byte {
	t.Helper()
	sig, err := crypto.Sign(hash[:], key)
	if err != nil {
		t.Fatal(err)
	}
	sig[64] += 27
	return sig
}

// highS returns the other form of a signature, which an account's own key must not use.
func highS(sig []byte) []byte {
	n, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	out := bytes.Clone(sig)
	new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:64])).FillBytes(out[32:64])
	out[64] ^= 7 // 27 and 28
	return out
}

func codeOf(err error) auth.Code {
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return f.Code
	}
	return ""
}

// TestEveryKindOfAccountSigns has every kind of account, and every hostile contract, on one dev chain.
func TestEveryKindOfAccountSigns(t *testing.T) {
	w := walletstest.New(t)
	c := chains(t, eth.Chain{Chain: devchain.ID, URLs: []string{w.URL}})
	alice, bob, carol := keyOf("alice"), keyOf("bob"), keyOf("carol")
	wallet := w.Deploy("Wallet", addressOf(alice))
	three := []common.Address{addressOf(alice), addressOf(bob), addressOf(carol)}
	multi := w.Deploy("MultiWallet", three, big.NewInt(2))
	for _, k := range []*ecdsa.PrivateKey{alice, bob} {
		w.Fund(addressOf(k))
		w.Send(k, "MultiWallet", multi, "approve", hash)
	}
	bound := w.Deploy("BoundWallet", addressOf(alice))
	factory, later := w.Factory(addressOf(alice), [32]byte{1})
	usurper := w.Deploy("Usurper")
	delegated, stuck := keyOf("delegated"), keyOf("stuck")
	w.Delegate(delegated, wallet) // whose owner is nobody there: its storage is its own
	w.Delegate(stuck, w.Deploy("Reverts"))
	flips := w.Deploy("Flips")
	byAlice := sign(t, alice, hash)
	deploy := w.Pack("Factory", "deploy", addressOf(alice), [32]byte{1})

	two := [][]byte{byAlice, sign(t, bob, hash)}
	if bytes.Compare(three[0][:], three[1][:]) > 0 {
		two[0], two[1] = two[1], two[0]
	}
	hostile := func(name string) common.Address { return w.Deploy(name) }
	for _, tt := range []struct {
		rule     string
		account  common.Address
		sig      []byte
		code     auth.Code     // of the refusal
		standing auth.Standing // if a contract was asked and accepted
	}{
		{"an account signs with its key", addressOf(alice), byAlice, "", ""},
		{"another key is another account", addressOf(bob), byAlice, auth.CodeSigSigner, ""},
		{"a high s is no second signature of an account", addressOf(alice), highS(byAlice), auth.CodeSigHighS, ""},
		{"a contract accepts its owner", wallet, byAlice, "", auth.StandingContract},
		{"what is canonical in its signatures is the contract's affair", wallet, highS(byAlice), "", auth.StandingContract},
		{"a contract refuses another", wallet, sign(t, bob, hash), auth.CodeSigContract, ""},
		{"a contract refuses an empty signature", wallet, nil, auth.CodeSigContract, ""},
		{"owners sign together", multi, bytes.Join(two, nil), "", auth.StandingContract},
		{"one of two is not enough", multi, byAlice, auth.CodeSigContract, ""},
		{"owners have approved on the chain: the empty signature", multi, nil, "", auth.StandingContract},
		{"a wallet that binds signatures to itself refuses a bare one", bound, byAlice, auth.CodeSigContract, ""},
		{"a wallet is asked before it is deployed", later, auth.Wrap(factory, deploy, byAlice), "", auth.StandingPrepared},
		{"not deployed and not wrapped is a plain account", later, byAlice, auth.CodeSigSigner, ""},
		{"not deployed, signed by another", later, auth.Wrap(factory, deploy, sign(t, bob, hash)), auth.CodeSigContract, ""},
		{"a wrapper around a deployed wallet counts for nothing", wallet, auth.Wrap(factory, deploy, byAlice), "", auth.StandingContract},
		{"a delegated account signs with its key", addressOf(delegated), sign(t, delegated, hash), "", ""},
		{"a delegated account whose delegate reverts signs with its key", addressOf(stuck), sign(t, stuck, hash), "", ""},
		{"a delegate that reverts accepts nobody else", addressOf(stuck), byAlice, auth.CodeSigContract, ""},
		{"nobody signs for the zero address", common.Address{}, make([]byte, 65), auth.CodeAddressReserved, ""},
		{"nobody signs for a precompile", common.BigToAddress(big.NewInt(1)), byAlice, auth.CodeAddressReserved, ""},

		{"hostile: loops", hostile("Loops"), byAlice, auth.CodeSigContract, ""},
		{"hostile: reverts", hostile("Reverts"), byAlice, auth.CodeSigContract, ""},
		{"hostile: reverts with half a megabyte", hostile("RevertsHuge"), byAlice, auth.CodeSigContract, ""},
		{"hostile: answers half a megabyte", hostile("ReturnsHuge"), byAlice, auth.CodeSigContract, ""},
		{"hostile: magic in four bytes", hostile("FourBytes"), byAlice, auth.CodeSigContract, ""},
		{"hostile: magic with dirt behind it", hostile("Dirty"), byAlice, auth.CodeSigContract, ""},
		{"hostile: answers true", hostile("SaysTrue"), byAlice, auth.CodeSigContract, ""},
		{"hostile: writes while it is asked", hostile("Writes"), byAlice, auth.CodeSigContract, ""},
		{"hostile: destroys itself", hostile("Destroys"), byAlice, auth.CodeSigContract, ""},
		{"hostile: answers by its gas, which is always the same", hostile("Tells"), byAlice, auth.CodeSigContract, ""},
		{"hostile: a factory deploys another owner's wallet", later, auth.Wrap(usurper, deploy, byAlice), auth.CodeSigContract, ""},
		{"hostile: a factory loops", later, auth.Wrap(hostile("Loops"), deploy, byAlice), auth.CodeSigContract, ""},
		{"hostile: a factory reverts", later, auth.Wrap(hostile("Reverts"), deploy, byAlice), auth.CodeSigContract, ""},
		{"hostile: no factory", later, auth.Wrap(addressOf(bob), nil, byAlice), auth.CodeSigContract, ""},
		{"hostile: a wrapper with offsets that lead nowhere", later, garbled(auth.Wrap(factory, deploy, byAlice)), auth.CodeSigWrapper, ""},
		{"hostile: accepts anything, for now", flips, []byte("anything"), "", auth.StandingContract},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			q := auth.Question{Chain: devchain.ID, Account: tt.account, Hash: hash, Sig: tt.sig, Spends: true}
			begun := time.Now()
			_, v, err := auth.Check(t.Context(), c, q)
			if codeOf(err) != tt.code || tt.code == "" && err != nil {
				t.Fatalf("got %v, want code %q", err, tt.code)
			}
			if took := time.Since(begun); took > eth.Timeout {
				t.Errorf("it took %v", took)
			}
			var standing auth.Standing
			if v != nil {
				standing = v.Standing
				if v.Number == 0 || v.Agreed != 1 || v.Code == [32]byte{} || v.Gas == 0 {
					t.Errorf("the verification is not complete: %+v", v)
				}
			}
			if standing != tt.standing {
				t.Errorf("the account is %q, want %q", standing, tt.standing)
			}
		})
	}
	if code := w.Code(later); len(code) != 0 {
		t.Error("asking has deployed a wallet")
	}

	t.Run("a delegated account's delegate is asked", func(t *testing.T) {
		w.Delegate(delegated, flips)
		q := auth.Question{Chain: devchain.ID, Account: addressOf(delegated), Hash: hash, Sig: []byte{1}}
		_, v, err := auth.Check(t.Context(), c, q)
		if err != nil || v.Standing != auth.StandingDelegated {
			t.Fatalf("got %+v, %v", v, err)
		}
	})
	t.Run("a contract that flips is refused at the next question, and accepted at the old block", func(t *testing.T) {
		q := auth.Question{Chain: devchain.ID, Account: flips, Hash: hash, Sig: nil}
		_, before, err := auth.Check(t.Context(), c, q)
		if err != nil {
			t.Fatal(err)
		}
		w.Send(alice, "Flips", flips, "flip")
		if _, _, err := auth.Check(t.Context(), c, q); codeOf(err) != auth.CodeSigContract {
			t.Errorf("after: got %v", err)
		}
		client, err := eth.Dial(w.URL)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := client.AskAt(t.Context(), q, before.Block); err != nil || a != before.Answer {
			t.Errorf("at the old block: got %+v, %v, want %+v", a, err, before.Answer)
		}
	})
	t.Run("a changed owner is seen, also where the signature still holds", func(t *testing.T) {
		q := auth.Question{Chain: devchain.ID, Account: multi, Hash: hash}
		_, before, err := auth.Check(t.Context(), c, q)
		if err != nil || before.Owners == [32]byte{} {
			t.Fatalf("got %+v, %v", before, err)
		}
		w.Send(alice, "MultiWallet", multi, "replaceOwner", big.NewInt(2), common.Address{9})
		if _, after, err := auth.Check(t.Context(), c, q); err != nil || after.Owners == before.Owners {
			t.Errorf("after: got %+v, %v", after, err)
		}
	})
}

// TestWhatAProxyLeadsToIsPartOfAWallet: each upgrade is seen, whatever the new code says, and nothing else is.
func TestWhatAProxyLeadsToIsPartOfAWallet(t *testing.T) {
	for i, name := range []string{"eip1967.proxy.implementation", "eip1967.proxy.beacon"} {
		slot := new(big.Int).Sub(new(big.Int).SetBytes(crypto.Keccak256([]byte(name))), big.NewInt(1))
		if common.Hash(auth.ProxySlots[i]) != common.BigToHash(slot) {
			t.Errorf("slot %d is not that of %s", i, name)
		}
	}
	for i, name := range []string{"PROXIABLE", "org.zeppelinos.proxy.implementation", "fallback_manager.handler.address"} {
		if auth.ProxySlots[i+2] != [32]byte(crypto.Keccak256([]byte(name))) {
			t.Errorf("slot %d is not that of %s", i+2, name)
		}
	}
	w := walletstest.New(t)
	c := chains(t, eth.Chain{Chain: devchain.ID, URLs: []string{w.URL}})
	alice := keyOf("alice")
	w.Fund(addressOf(alice))
	first, next := w.Deploy("Wallet", addressOf(alice)), w.Deploy("Accepts")
	beacon, otherBeacon := w.Deploy("Beacon", first), w.Deploy("Beacon", first)
	proxy := w.Deploy("Proxy", addressOf(alice), first)
	behind := w.Deploy("BeaconProxy", addressOf(alice), beacon)
	handlers := []common.Address{w.Deploy("Accepts"), next}
	safe := w.Deploy("SafeLike", first, handlers[0], []common.Address{addressOf(alice)})
	delegated := keyOf("delegated")
	w.Fund(addressOf(delegated))
	w.Delegate(delegated, w.Deploy("Proxy", addressOf(alice), first))
	w.Send(alice, "Proxy", addressOf(delegated), "set", auth.ProxySlots[0], next)

	for _, tt := range []struct {
		rule    string
		account common.Address
		same    bool
		change  func()
	}{
		{"a plain wallet", first, true, func() {}},
		{"a transfer to a proxy", proxy, true, func() { w.Fund(addressOf(alice)) }},
		{"an implementation", proxy, false, func() { w.Send(alice, "Proxy", proxy, "set", auth.ProxySlots[0], next) }},
		{"that of ERC-1822", proxy, false, func() { w.Send(alice, "Proxy", proxy, "set", auth.ProxySlots[2], next) }},
		{"a beacon's implementation", behind, false, func() { w.Send(alice, "Beacon", beacon, "upgradeTo", next) }},
		{"another beacon", behind, false, func() { w.Send(alice, "BeaconProxy", behind, "set", auth.ProxySlots[1], otherBeacon) }},
		{"a Safe's implementation", safe, false, func() { w.Send(alice, "SafeLike", safe, "changeMasterCopy", next) }},
		{"a Safe's handler", safe, false, func() { w.Send(alice, "SafeLike", safe, "setFallbackHandler", next) }},
		{"a delegated account's proxy", addressOf(delegated), false, func() {
			w.Send(alice, "Proxy", addressOf(delegated), "set", auth.ProxySlots[0], handlers[0])
		}},
	} {
		q := auth.Question{Chain: devchain.ID, Account: tt.account, Hash: hash, Sig: sign(t, alice, hash)}
		before, err := c.Ask(t.Context(), q)
		if err != nil || before.Verdict != auth.Accepted {
			t.Fatalf("%s: got %+v, %v", tt.rule, before, err)
		}
		tt.change()
		after, err := c.Ask(t.Context(), q)
		if err != nil || bytes.Equal(after.State(), before.State()) != tt.same {
			t.Errorf("%s: got %+v, %v, then %+v; want the same: %t", tt.rule, before, err, after, tt.same)
		}
	}
	if v, err := c.Ask(t.Context(), auth.Question{Chain: devchain.ID, Account: first, Hash: hash}); err != nil ||
		v.Proxy != [32]byte{} {
		t.Errorf("a wallet that is no proxy: got %+v, %v", v, err)
	}
}

// garbled lets the first offset of a wrapper lead outside of it.
func garbled(sig []byte) []byte {
	sig[32] = 0xff
	return sig
}

// BenchmarkAsk measures what one question costs the whole process, dev chain included. A contract that loops for ever
// costs no more than its gas.
func BenchmarkAsk(b *testing.B) {
	w := walletstest.New(b)
	c := chains(b, eth.Chain{Chain: devchain.ID, URLs: []string{w.URL}})
	alice := keyOf("alice")
	for _, x := range []struct {
		name    string
		account common.Address
	}{
		{"wallet", w.Deploy("Wallet", addressOf(alice))}, {"loops", w.Deploy("Loops")}, {"returns half a megabyte", w.Deploy("ReturnsHuge")},
	} {
		q := auth.Question{Chain: devchain.ID, Account: x.account, Hash: hash, Sig: sign(b, alice, hash)}
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.Ask(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
