package ipfs_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

func startNode(t testing.TB, s ipfs.Source, listen ...string) *ipfs.Node {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ipfs.NewNode(t.Context(), ipfs.NodeConfig{Source: s, Key: key, Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestANodeServesByBitswapAndAnotherExportsTheSameFile(t *testing.T) {
	s, root := history(t, 20)
	here := startNode(t, s, "/ip4/127.0.0.1/tcp/0")
	there := startNode(t, source{})
	if err := there.Connect(t.Context(), here.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var want, got bytes.Buffer
	if _, err := provenance.Export(&want, root,
		func(c provenance.Link) ([]byte, error) { return s.Block(ctx, c) }); err != nil {
		t.Fatal(err)
	}
	if _, err := provenance.Export(&got, root,
		func(c provenance.Link) ([]byte, error) { return there.Block(ctx, c) }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("the fetched history has %d bytes, want %d", got.Len(), want.Len())
	}
	// What was fetched is kept nowhere, and what nobody has is waited for no longer than the asker wants.
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := there.Block(short, provenance.NewRaw([]byte("nobody has this")).CID); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("a block that nobody has: got %v", err)
	}
}

func TestANodeWithoutAddressIsNotReachable(t *testing.T) {
	if addrs := startNode(t, source{}).Addrs(); len(addrs) != 0 {
		t.Errorf("it listens at %v", addrs)
	}
}

func TestAPeerThatLiesIsNotBelieved(t *testing.T) {
	s, root := history(t, 1)
	liar := source{root: append([]byte(nil), s[root]...)}
	liar[root][10] ^= 1
	here, there := startNode(t, liar, "/ip4/127.0.0.1/tcp/0"), startNode(t, source{})
	if err := there.Connect(t.Context(), here.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if data, err := there.Block(ctx, root); err == nil {
		t.Errorf("%d bytes of a block that was changed", len(data))
	}
}

func TestNodeConfigIsChecked(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, test := range []struct {
		name, want string
		cfg        ipfs.NodeConfig
	}{
		{"no source", "Source is missing", ipfs.NodeConfig{Key: key}},
		{"no key", "Key must be", ipfs.NodeConfig{Source: source{}}},
		{"no address", `"localhost:4001" is no address to listen on`,
			ipfs.NodeConfig{Source: source{}, Key: key, Listen: []string{"localhost:4001"}}},
		{"no peer", `"12D3" is no peer`, ipfs.NodeConfig{Source: source{}, Key: key, Peers: []string{"12D3"}}},
		{"a peer without identity", "is no peer",
			ipfs.NodeConfig{Source: source{}, Key: key, Peers: []string{"/ip4/127.0.0.1/tcp/1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := ipfs.NewNode(t.Context(), test.cfg)
			if err == nil {
				n.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
