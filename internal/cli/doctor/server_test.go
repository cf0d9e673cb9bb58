package doctor

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/config"
)

// A server with a certificate of its own is asked as one without: nobody need have signed for its address, but the
// certificate must be the one of the settings.
func TestTheServerIsAskedUnderItsOwnCertificate(t *testing.T) {
	answers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	plain, sealed := httptest.NewServer(answers), httptest.NewTLSServer(answers)
	defer plain.Close()
	defer sealed.Close()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	own := write("own.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sealed.Certificate().Raw}))
	for _, tt := range []struct {
		name, listen, cert string
		want               int
	}{
		{"no certificate", plain.Listener.Addr().String(), "", http.StatusOK},
		{"its own", sealed.Listener.Addr().String(), own, http.StatusOK},
		{"another", sealed.Listener.Addr().String(), write("other.pem", []byte("no certificate")), 0},
		{"a file that is not there", sealed.Listener.Addr().String(), filepath.Join(dir, "none.pem"), 0},
		{"a server that speaks no TLS", plain.Listener.Addr().String(), own, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, client := serverOf(&config.Config{Listen: tt.listen, TLS: config.TLS{Cert: tt.cert}})
			if got := readStatus(t.Context(), client, url+"/healthz"); got != tt.want {
				t.Errorf("got status %d, want %d", got, tt.want)
			}
		})
	}
}

// An endpoint of another chain answers, and is of no use: who asks whether anything needs a person is told.
func TestAttentionTellsAnEndpointOfAnotherChain(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`)
	}))
	defer other.Close()
	cfg := &config.Config{Chain: config.Chain{ID: 8453, RPC: []string{other.URL}}}
	l := &look{cfg: cfg}
	l.examineEndpoints(t.Context())
	if len(l.needs) != 1 || l.needs[0].Kind != needEndpoint || !strings.Contains(l.needs[0].Detail, "serves chain 1, and chain.id is 8453") {
		t.Errorf("got %+v, want that the endpoint is of another chain", l.needs)
	}
}
