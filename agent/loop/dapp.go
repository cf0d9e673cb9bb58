package loop

import (
	"errors"
	"fmt"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A dApp's rules stand between the operator's and the wallet's. The record of a dApp's set names the operator's set that
// it stands under, and the CID that the wallet signs is that of the dApp's set: neither can be dropped or exchanged
// afterwards. Which page it was is what the wallet's message says, its scheme and domain.

// ErrOrigin says that a dApp's policy set is not that of the page where the wallet signed, or does not stand under the
// operator's set that goes with it.
var ErrOrigin = errors.New("it is not the dApp's set that goes with the grant")

// signedRules returns the record whose CID the wallet signs: the dApp's set, or the operator's if there is none.
func (c *Config) signedRules() provenance.Record {
	if c.Dapp != nil {
		return c.Dapp
	}
	return c.Rules
}

// checkDapp holds the dApp's set to the grant and to the operator's set.
func (c *Config) checkDapp() error {
	if c.Rules.Under.Defined() {
		return fmt.Errorf("policy set %q, which is a dApp's, stands in the operator's place: %w", c.Rules.Name, ErrOrigin)
	}
	if c.Dapp == nil {
		return nil
	}
	b, err := provenance.Encode(c.Rules)
	if err != nil {
		return fmt.Errorf("policy set: %w", err)
	}
	switch {
	case c.Dapp.Under != b.CID:
		return fmt.Errorf("policy set %q stands under %s, not under %s: %w", c.Dapp.Name, c.Dapp.Under, b.CID, ErrOrigin)
	case c.Dapp.Origin != c.Grant.Origin():
		return fmt.Errorf("policy set %q is for %s, and the wallet signed for %s: %w", c.Dapp.Name, c.Dapp.Origin, c.Grant.Origin(), ErrOrigin)
	}
	return nil
}

// LoadDapp loads a recorded dApp's set, under the bounds of a set that is not the operator's.
func LoadDapp(rec *provenance.PolicySet, blocks map[provenance.Link][]byte, tools []policies.ToolType) (*policies.Set, error) {
	return load([]byte(rec.Source), policies.Options{
		Layer: LayerDapp, Untrusted: true, Tools: tools, Partial: true, Parts: PartsOf(rec, blocks),
	})
}
