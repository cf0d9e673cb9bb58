package config

import (
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/policies/label"
)

// A Follow is a place of which the server makes a collection of documents.
type Follow struct {
	Source string        `yaml:"source" about:"what policies call the collection, e.g. handbook"`
	Place  string        `yaml:"place" path:"place" about:"a folder, a file, a CAR file, a CID as ipfs://CID, a name as ipns://NAME, or a web address"`
	Every  time.Duration `yaml:"every" about:"how often it is read, 1s or more; 10m if 0"`

	Everyone bool     `yaml:"everyone" about:"every wallet may have agents read it; otherwise those of wallets and agent"`
	Wallets  []string `yaml:"wallets" about:"addresses that may; with its chain for a contract, eip155:1:0x..."`
	Agent    string   `yaml:"agent" about:"only by this agent"`

	Integrity string `yaml:"integrity" about:"who could have written it: operator, user, tool or untrusted; untrusted if empty"`
	Secrecy   string `yaml:"secrecy" about:"who may see it: public, session, wallet or secret; session if empty"`

	Gateway string `yaml:"gateway" about:"IPFS gateway by which a CID or a name is got, a base URL; http://127.0.0.1:8080 if empty"`
	Private bool   `yaml:"private" about:"a web address may be http, or lead into a private network"`
}

// maxFollowed is how many places a server follows at most.
const maxFollowed = 32

// isElsewhere says whether a place is not in the file system.
func isElsewhere(place string) bool {
	_, err := cid.Decode(place)
	return strings.Contains(place, "://") || err == nil
}

// checkFollowed checks which places the server follows, and for whom.
func (c *Config) checkFollowed() error {
	const at = "library.follow"
	switch n := len(c.Library.Follow); {
	case n > 0 && !c.Library.On:
		return c.badSetting(at, "is not heeded while library.on is not set")
	case n > maxFollowed:
		return c.badSetting(at, "names %d places; at most %d are followed", n, maxFollowed)
	}
	sources := map[string]bool{}
	for i, f := range c.Library.Follow {
		bad := func(format string, args ...any) error {
			return c.badSetting(at, "source %s: "+format, append([]any{f.Source}, args...)...)
		}
		if f.Source == "" || strings.Trim(f.Source, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || f.Place == "" {
			return c.badSetting(at, "entry %d needs a source, of lower-case letters, digits, '-' and '_', and a place", i+1)
		}
		if sources[f.Source] {
			return bad("stands twice; a collection is made of one place")
		}
		sources[f.Source] = true
		if f.Every != 0 && (f.Every < time.Second || f.Every > 30*24*time.Hour) {
			return bad("every: %s is not between 1s and 720h", f.Every)
		}
		if f.Everyone == (len(f.Wallets) > 0 || f.Agent != "") {
			return bad("say who may read it: everyone: true, or some of wallets and agent")
		}
		for _, w := range f.Wallets {
			if !common.IsHexAddress(w) && !isContract(w) || hasWrongChecksum(w[strings.LastIndexByte(w, ':')+1:]) {
				return bad("wallets: %q is not an address, or mistyped; write 0x and 40 hex digits, for a contract wallet "+
					"eip155:CHAIN: before it", w)
			}
		}
		if _, err := label.ParseIntegrity(f.Integrity); f.Integrity != "" && err != nil {
			return bad("%v", err)
		}
		if _, err := label.ParseSecrecy(f.Secrecy); f.Secrecy != "" && err != nil {
			return bad("%v", err)
		}
		if f.Gateway != "" {
			if err := isEndpoint(f.Gateway); err != nil {
				return bad("gateway: %v", err)
			}
		}
		scheme, _, elsewhere := strings.Cut(f.Place, "://")
		switch {
		case elsewhere && (scheme == "http" || scheme == "https"):
			if err := isEndpoint(f.Place); err != nil {
				return bad("place: %v", err)
			}
		case elsewhere && scheme != "ipfs" && scheme != "ipns":
			return bad("place: %s:// is not read; give a folder, a file, ipfs://CID, ipns://NAME or a web address", scheme)
		}
	}
	return nil
}
