package loop

import (
	"errors"
	"fmt"

	"github.com/writ-run/writ/provenance"
)

// A dApp's rules stand between the operator's and the wallet's. The record of a dApp's set names the operator's set
// that it stands under, and the CID that the wallet signs is that of the dApp's set: neither can be dropped or
// exchanged afterwards. Which page it was is what the wallet's message says, its scheme and domain.

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
	failf := func(format string, args ...any) error { return fmt.Errorf(format+": %w", append(args, ErrOrigin)...) }
	if c.Rules.Under.Defined() {
		return failf("policy set %q, which is a dApp's, stands in the operator's place", c.Rules.Name)
	}
	if c.Dapp == nil {
		return nil
	}
	b, err := provenance.Encode(c.Rules)
	if err != nil {
		return fmt.Errorf("policy set: %w", err)
	}
	switch d := c.Dapp; {
	case d.Under != b.CID:
		return failf("policy set %q stands under %s, not under %s", d.Name, d.Under, b.CID)
	case d.Origin != c.Grant.Origin():
		return failf("policy set %q is for %s, and the wallet signed for %s", d.Name, d.Origin, c.Grant.Origin())
	}
	return nil
}
