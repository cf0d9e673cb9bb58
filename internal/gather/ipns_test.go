package gather_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/writ-run/writ/internal/gather"
)

// A name is one of IPNS, and what publishes it.
type name struct {
	t   *testing.T
	key crypto.PrivKey
	ipns.Name
}

func newName(t *testing.T) name {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return name{t, key, ipns.NameFromPeer(id)}
}

// publish makes a record that points to a path for some time.
func (n name) publish(to string, sequence uint64, lasts time.Duration) []byte {
	n.t.Helper()
	at, err := path.NewPath(to)
	if err != nil {
		n.t.Fatal(err)
	}
	rec, err := ipns.NewRecord(n.key, at, sequence, time.Now().Add(lasts), time.Minute)
	if err != nil {
		n.t.Fatal(err)
	}
	data, err := ipns.MarshalRecord(rec)
	if err != nil {
		n.t.Fatal(err)
	}
	return data
}

// A record of IPNS is what the key of its name has signed, or nothing is followed.
func TestARecordIsSignedByItsName(t *testing.T) {
	n, other := newName(t), newName(t)
	const root = "bafkreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
	var answer []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ipns/"+n.String() || r.URL.Query().Get("format") != "ipns-record" ||
			r.Header.Get("Accept") != "application/vnd.ipfs.ipns-record" {
			http.NotFound(w, r)
			return
		}
		w.Write(answer)
	}))
	defer s.Close()
	g := gather.Getter{Gateway: s.URL}
	answer = n.publish("/ipfs/"+root, 7, time.Hour)
	p, err := g.IPNS(t.Context(), "ipns://"+n.String())
	if err != nil || p.Root.String() != root || p.Sequence != 7 || p.Name != n.String() || time.Until(p.Until) < 50*time.Minute {
		t.Errorf("got %+v, %v", p, err)
	}
	if p, err = g.IPNS(t.Context(), "ipns://"+n.Peer().String()); err != nil || p.Name != n.String() {
		t.Errorf("in its other spelling: %+v, %v", p, err)
	}
	changed := []byte(strings.Replace(string(answer), root, "bafkreig"+strings.Repeat("a", len(root)-8), 1))
	for what, test := range map[string]struct {
		data []byte
		want string
	}{
		"another name's":        {other.publish("/ipfs/"+root, 8, time.Hour), "not signed by the key"},
		"one that was changed":  {changed, "not signed by the key"},
		"one that has ended":    {n.publish("/ipfs/"+root, 8, -time.Minute), "must be published anew"},
		"one to another name":   {n.publish("/ipns/"+other.String(), 8, time.Hour), "only /ipfs/CID is followed"},
		"one to a part":         {n.publish("/ipfs/"+root+"/docs", 8, time.Hour), "only /ipfs/CID is followed"},
		"a page":                {[]byte("<h1>Hello"), "no record of IPNS"},
		"what is far too large": {make([]byte, 20<<10), "more than"},
	} {
		answer = test.data
		if p, err := g.IPNS(t.Context(), "ipns://"+n.String()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
	}
	if _, err := g.IPNS(t.Context(), "ipns://docs.example.com"); err == nil || !strings.Contains(err.Error(), "DNSLink") {
		t.Errorf("a domain: %v", err)
	}
}
