package collect

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
)

// A gateway that shows an older record of a name has the collection not go back.
func TestANameThatGoesBackKeepsWhatItHad(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"Pay Bob five.", "Pay Bob six."}
	shown, sequence := 1, uint64(2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := merkledag.NewRawNode([]byte(texts[shown]))
		c := block.Cid()
		if strings.HasPrefix(r.URL.Path, "/ipns/") {
			rec, err := ipns.NewRecord(key, path.FromCid(c), sequence, time.Now().Add(time.Hour), time.Minute)
			if err != nil {
				t.Error(err)
			}
			data, err := ipns.MarshalRecord(rec)
			if err != nil {
				t.Error(err)
			}
			w.Write(data)
			return
		}
		head := []byte("\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + c.KeyString() + "\x67version\x01")
		w.Write(append(binary.AppendUvarint(nil, uint64(len(head))), head...))
		body := append(c.Bytes(), block.RawData()...)
		w.Write(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
	}))
	defer s.Close()
	l := openLibrary(t)
	f := Followed{Place: Place{
		Name: "ipns://" + ipns.NameFromPeer(id).String(), From: gather.Getter{Gateway: s.URL},
		As: library.Document{Source: "a", Readers: []library.Reader{{}}},
	}}
	newer := merkledag.NewRawNode([]byte(texts[1])).Cid().String()
	if done, err := f.Sync(t.Context(), l, maxRead); err != nil || len(done.Added) != 1 || done.Added[0].Name != newer {
		t.Fatalf("got %+v, %v", done, err)
	}
	shown, sequence = 0, 1
	if done, err := f.Sync(t.Context(), l, maxRead); err == nil || !strings.Contains(err.Error(), "number 1, is older than one") {
		t.Errorf("an older record: %+v, %v", done, err)
	}
	if names, fault := namesOf(t, l, "a"); names != newer || !strings.Contains(fault, "older") {
		t.Errorf("it has %s, and says %q", names, fault)
	}
	sequence = 3
	if done, err := f.Sync(t.Context(), l, maxRead); err != nil || len(done.Added) != 1 || len(done.Removed) != 1 {
		t.Errorf("published anew: %+v, %v", done, err)
	}
}
