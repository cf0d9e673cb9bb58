package config

import (
	"slices"
	"testing"
)

func TestSecretFiles(t *testing.T) {
	c := Default()
	c.TLS = TLS{Cert: "cert.pem", Key: "tls.pem"}
	c.IPFS.Auth = "file:/a/kubo"
	c.Webhooks = []Webhook{{URL: "env:HOOK", Secret: "file:/a/hook"}, {URL: "file:/a/url", Secret: "file:/a/kubo"}}
	if got, want := c.SecretFiles(), []string{"/a/hook", "/a/kubo", "/a/url", "tls.pem"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
