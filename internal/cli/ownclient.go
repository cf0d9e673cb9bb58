package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
)

// OwnClient returns who asks the server on this machine that has its certificate in a file; the usual client for no
// file. It is asked by its own address, for which nobody has signed: what is trusted is the certificate in the file,
// and whoever has signed it, under the name that it is for.
func OwnClient(certFile string) *http.Client {
	if certFile == "" {
		return http.DefaultClient
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if chain, err := os.ReadFile(certFile); err == nil {
		trust.RootCAs, trust.ServerName = readCertificates(chain)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
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
