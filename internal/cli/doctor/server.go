package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"

	"github.com/writ-run/writ/internal/config"
)

// serverOf returns the address of the settings' server and who asks it. A server with a certificate of its own is asked
// by its own address, for which nobody has signed: what is trusted then is the certificate in the settings' file, and
// whoever has signed it, under the name that it is for.
func serverOf(cfg *config.Config) (url string, client *http.Client) {
	if cfg.TLS.Cert == "" {
		return "http://" + cfg.Listen, http.DefaultClient
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if chain, err := os.ReadFile(cfg.TLS.Cert); err == nil {
		trust.RootCAs, trust.ServerName = readCertificates(chain)
	}
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}
	return "https://" + cfg.Listen, &http.Client{Transport: transport}
}

// readCertificates returns the certificates of PEM text beside those that this machine trusts, and a name that the
// first of them is for. Without a name the address that is asked must be among the certificate's.
func readCertificates(text []byte) (roots *x509.CertPool, name string) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	first := true
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // the server says so when it starts
		}
		roots.AddCert(cert)
		if first && len(cert.DNSNames) > 0 {
			name = cert.DNSNames[0]
		}
		first = false
	}
	return roots, name
}

// readStatus returns the HTTP status of a page, or 0.
func readStatus(ctx context.Context, client *http.Client, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
