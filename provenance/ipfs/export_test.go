package ipfs

import "net/http"

// NewKuboFor is NewKubo with the wire of a test.
func NewKuboFor(api, auth string, wire http.RoundTripper) (*Kubo, error) {
	k, err := NewKubo(api, auth)
	if err == nil {
		k.client.Transport = wire
	}
	return k, err
}
