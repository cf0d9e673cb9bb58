package cli

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// ListenTLS makes a listener speak TLS 1.2 or later with the certificate in two PEM files. It looks at the files at
// most once in ten seconds and takes a new certificate when they have changed; one that cannot be read leaves the old.
func ListenTLS(ln net.Listener, certFile, keyFile string) (net.Listener, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.loadPair(time.Now()); err != nil {
		return nil, fmt.Errorf("read the certificate in %s and %s: %w", certFile, keyFile, err)
	}
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.current,
	}), nil
}

// lookAgain is how long a certificate is used before its files are looked at again.
const lookAgain = 10 * time.Second

type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex // guards the rest
	pair    *tls.Certificate
	changed [2]time.Time // of the files
	looked  time.Time
}

func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > lookAgain {
		_ = c.loadPair(now) // whoever writes the files may be at it; the old one serves until both fit
	}
	return c.pair, nil
}

// loadPair reads the files if they have changed.
func (c *certificate) loadPair(now time.Time) error {
	c.looked = now
	var changed [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		changed[i] = info.ModTime()
	}
	if c.pair != nil && changed == c.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.pair, c.changed = &pair, changed
	return nil
}
