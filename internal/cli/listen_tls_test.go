package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate writes a certificate of its own for localhost, with a name to tell it by.
func writeCertificate(t *testing.T, dir, name string, age time.Duration) (certFile, keyFile string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestACertificateIsReadAgainWhenItHasChanged(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, "first", time.Hour)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := ListenTLS(ln, certFile, filepath.Join(dir, "none.pem"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a key that is not there was taken")
	}
	secure, err := ListenTLS(ln, certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ended by the listener's end
		for {
			c, err := secure.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	served := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // its name is what is asked
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("got the certificate %q", got)
	}

	var log bytes.Buffer
	c := &certificate{certFile: certFile, keyFile: keyFile, log: slog.New(slog.NewTextHandler(&log, nil))}
	named := func(now time.Time) string {
		t.Helper()
		c.mu.Lock()
		c.looked = now.Add(-2 * lookAgain)
		c.mu.Unlock()
		pair, err := c.current(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	if got := named(time.Now()); got != "first" {
		t.Errorf("got the certificate %q", got)
	}
	writeCertificate(t, dir, "second", time.Minute)
	if got := named(time.Now()); got != "second" {
		t.Errorf("after a change: got the certificate %q", got)
	}
	if err := os.WriteFile(certFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := named(time.Now()); got != "second" {
		t.Errorf("while it is being written: got the certificate %q", got)
	}
	// An operator hears of either, once for each change.
	for range 3 {
		named(time.Now())
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("a certificate that cannot be read is told %d times, want once:\n%s", n, &log)
	}
	if n := strings.Count(log.String(), "level=INFO"); n != 1 {
		t.Errorf("a new certificate is told %d times, want once:\n%s", n, &log)
	}
	writeCertificate(t, dir, "third", time.Second)
	if got := named(time.Now()); got != "third" || strings.Count(log.String(), "level=INFO") != 2 {
		t.Errorf("got the certificate %q, and in the log:\n%s", got, &log)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		named(time.Now())
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("a key that is gone: %d warnings by now, want 2:\n%s", n, &log)
	}
}
