package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// ListenTLS makes a listener speak TLS 1.2 or later with the certificate in two PEM files. It looks at the files at
// most once in ten seconds and takes a new certificate when they have changed; one that cannot be read leaves the old.
// The log says either, once for each change.
func ListenTLS(ln net.Listener, certFile, keyFile string, log *slog.Logger) (net.Listener, error) {
	c, err := readCertificate(certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.current,
	}), nil
}

// readCertificate reads two PEM files for the first time.
func readCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.loadPair(time.Now()); err != nil {
		return nil, Usage("tls: no certificate with its key is in %s and %s: %s", certFile, keyFile, err)
	}
	return c, nil
}

// lookAgain is how long a certificate is used before its files are looked at again.
const lookAgain = 10 * time.Second

type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards the rest
	pair    *tls.Certificate
	changed [2]time.Time // of the files that pair was read from
	seen    [2]time.Time // of the files when they were looked at last
	looked  time.Time
	told    string // of what cannot be read now
}

func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) > lookAgain {
		c.renew(now)
	}
	return c.pair, nil
}

// renew takes a new certificate if there is one. Whoever writes the files may be at it, so the old one serves until
// both fit.
func (c *certificate) renew(now time.Time) {
	before := c.pair
	err := c.loadPair(now)
	says := ""
	if err != nil {
		says = fmt.Sprint(err, c.seen)
	}
	switch {
	case says != "" && says != c.told:
		c.log.Warn("the new TLS certificate cannot be read; the old one is still served",
			"cert", c.certFile, "key", c.keyFile, "err", err)
	case before != nil && c.pair != before:
		until := time.Time{}
		if c.pair.Leaf != nil {
			until = c.pair.Leaf.NotAfter
		}
		c.log.Info("a new TLS certificate is served", "cert", c.certFile, "until", until)
	}
	c.told = says
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
	c.seen = changed
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
