// Package trouble says in one sentence what keeps an endpoint of a chain from answering, and what an operator does
// about it. Nothing of an endpoint's URL or of its own words is repeated, since both may hold keys.
package trouble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/ethereum/go-ethereum/rpc"
)

// A Trouble is what is wrong. Says goes on after the endpoint's name. Next is empty if nothing is there at all: what to
// do depends on the chain.
type Trouble struct{ Says, Next string }

// Of says what an error of a JSON-RPC client comes to.
func Of(err error) Trouble {
	if t, ok := ofNetwork(err); ok {
		return t
	}
	if e, ok := errors.AsType[rpc.HTTPError](err); ok {
		return ofStatus(e.StatusCode)
	}
	if e, ok := errors.AsType[rpc.Error](err); ok {
		return ofCode(e.ErrorCode(), strings.ToLower(e.Error()))
	}
	syntax, _ := errors.AsType[*json.SyntaxError](err)
	kind, _ := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax != nil || kind != nil || strings.Contains(err.Error(), "invalid character") {
		return Trouble{"answers with something else than JSON-RPC, such as a web page",
			"give the URL of the endpoint itself, with its path and key, not that of its web site"}
	}
	return Trouble{"does not answer", ""}
}

func ofNetwork(err error) (Trouble, bool) {
	name, _ := errors.AsType[*net.DNSError](err)
	record, _ := errors.AsType[tls.RecordHeaderError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	invalid, bad := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case name != nil && name.IsNotFound:
		return Trouble{"has a host name that nobody knows", "correct the host in chain.rpc"}, true
	case name != nil:
		return Trouble{"has a host name that could not be looked up", "look at this machine's DNS; it may pass"}, true
	case bad && invalid.Reason == x509.Expired:
		return Trouble{"has a certificate whose time is over, or has not begun",
			"look at this machine's clock; if it is right, the endpoint's operator has to renew it"}, true
	case other:
		return Trouble{"has a certificate of another host", "use the host name that its certificate is for"}, true
	case unknown:
		return Trouble{"has a certificate of an authority that this machine does not know",
			"install the authority's certificate on this machine (SSL_CERT_FILE), or use another endpoint"}, true
	case bad:
		return Trouble{"has a certificate that does not hold", "use another endpoint, or have its operator mend it"}, true
	case record.Msg != "" || strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return Trouble{"speaks no TLS there", "write http:// in the place of https://, or give its TLS port"}, true
	case strings.Contains(err.Error(), "tls: "):
		return Trouble{"cannot agree with this machine on TLS", "use another endpoint; it may want a client's certificate"},
			true
	case errors.Is(err, syscall.ECONNREFUSED):
		return Trouble{"refuses the connection: nothing listens there", ""}, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Trouble{"is on a network that this machine does not reach", "look at this machine's network and firewall"},
			true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return Trouble{"does not answer in time", "look whether it is up and a firewall lets it through, or add another " +
			"endpoint to chain.rpc"}, true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Trouble{"breaks the connection off", "look at its log or its proxy's, or use another endpoint"}, true
	}
	return Trouble{}, false
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func ofStatus(status int) Trouble {
	says := fmt.Sprintf(" (HTTP %d)", status)
	switch {
	case status == http.StatusUnauthorized:
		return Trouble{"wants a key" + says, "put the endpoint's key into its URL, as its operator says"}
	case status == http.StatusForbidden:
		return Trouble{"does not let this server in" + says,
			"look whether its key is right and still good, and which addresses and chains it is for"}
	case status == http.StatusPaymentRequired:
		return Trouble{"wants to be paid" + says, "look at the account with the endpoint's operator"}
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone:
		return Trouble{"has no JSON-RPC at this path" + says, "give the URL with its whole path, which often holds the key"}
	case status == http.StatusTooManyRequests:
		return Trouble{"answers no more requests for now" + says,
			"wait, take a larger plan, or add another endpoint to chain.rpc"}
	case status >= 300 && status < 400:
		return Trouble{"sends requests elsewhere" + says, "give the address that it leads to; redirects are not followed"}
	case status >= 500:
		return Trouble{"is in trouble itself" + says, "wait, or add another endpoint to chain.rpc"}
	}
	return Trouble{"does not take the request" + says, "look whether the URL is that of a JSON-RPC endpoint"}
}

func ofCode(code int, says string) Trouble {
	has := func(list ...string) bool {
		for _, s := range list {
			if strings.Contains(says, s) {
				return true
			}
		}
		return false
	}
	what := fmt.Sprintf(" (JSON-RPC error %d)", code)
	switch {
	case code == -32005 || code == -32029 || code == 429 || has("rate limit", "too many request", "quota", "exceeded"):
		return Trouble{"answers no more requests for now" + what,
			"wait, take a larger plan, or add another endpoint to chain.rpc"}
	case has("unauthorized", "api key", "apikey", "authenticate", "forbidden", "project id"):
		return Trouble{"wants a key, or does not take this one" + what, "put the right key into its URL"}
	case code == -32601 || has("method not found", "does not exist"):
		return Trouble{"does not have the method that is asked" + what, "use an endpoint of a full node"}
	case has("sync", "not ready", "header not found", "missing trie node"):
		return Trouble{"does not have the chain's state yet" + what, "wait until the node has caught up"}
	}
	return Trouble{"answers with an error" + what, "look at its log, or use another endpoint"}
}
