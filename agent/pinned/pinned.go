// Package pinned holds the records that a run is made of to what the wallet signed: one version of the agent under one
// version of the rules. A change of the config is not the wallet's.
//
// A dApp's rules stand between the operator's and the wallet's. The record of a dApp's set names the operator's set
// that it stands under, and the CID that the wallet signs is that of the dApp's set: neither can be dropped or
// exchanged afterwards. Which page it was is what the wallet's message says, its scheme and domain.
package pinned

import (
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// ErrVersion says that an agent or a policy set is not the version that the wallet signed.
var ErrVersion = errors.New("it is not the version that the wallet signed; sign in again")

// ErrOrigin says that a dApp's policy set is not that of the page where the wallet signed, or does not stand under the
// operator's set that goes with it.
var ErrOrigin = errors.New("it is not the dApp's set that goes with the grant")

// Records are those that a run is made of.
type Records struct {
	Grant       *auth.Grant
	Agent       *provenance.Agent
	Rules       *provenance.PolicySet // the operator's
	Dapp        *provenance.PolicySet // a dApp's, which stands under Rules; nil if the grant names none
	Delegations []authority.Delegated
	Callers     []*provenance.Agent // whom all Delegations but the last are for
}

// Check holds the records to the grant. It returns the names of the agents above a sub-agent, sorted; an agent's own
// name is not among them.
func (r *Records) Check() (callers []string, err error) {
	if err := r.checkSigned(); err != nil {
		return nil, err
	}
	if err := r.checkDapp(); err != nil {
		return nil, err
	}
	return r.callerNames()
}

// signedRules returns the record whose CID the wallet signs: the dApp's set, or the operator's if there is none.
func (r *Records) signedRules() provenance.Record {
	if r.Dapp != nil {
		return r.Dapp
	}
	return r.Rules
}

func (r *Records) checkSigned() error {
	agent := r.Grant.AgentCID
	if n := len(r.Delegations); n > 0 {
		agent = r.Delegations[n-1].Agent
	} else if r.Grant.Agent != r.Agent.Name {
		return fmt.Errorf("the grant is for agent %q, not %q", r.Grant.Agent, r.Agent.Name)
	}
	for _, signed := range []struct {
		what string
		rec  provenance.Record
		want provenance.Link
	}{{"agent", r.Agent, agent}, {"policy set", r.signedRules(), r.Grant.RulesCID}} {
		b, err := provenance.Encode(signed.rec)
		if err != nil {
			return fmt.Errorf("%s: %w", signed.what, err)
		}
		if b.CID != signed.want {
			return fmt.Errorf("%s %s: %w", signed.what, b.CID, ErrVersion)
		}
	}
	return nil
}

// checkDapp holds the dApp's set to the grant and to the operator's set.
func (r *Records) checkDapp() error {
	failf := func(format string, args ...any) error { return fmt.Errorf(format+": %w", append(args, ErrOrigin)...) }
	if r.Rules.Under.Defined() {
		return failf("policy set %q, which is a dApp's, stands in the operator's place", r.Rules.Name)
	}
	if r.Dapp == nil {
		return nil
	}
	b, err := provenance.Encode(r.Rules)
	if err != nil {
		return fmt.Errorf("policy set: %w", err)
	}
	switch d := r.Dapp; {
	case d.Under != b.CID:
		return failf("policy set %q stands under %s, not under %s", d.Name, d.Under, b.CID)
	case d.Origin != r.Grant.Origin():
		return failf("policy set %q is for %s, and the wallet signed for %s", d.Name, d.Origin, r.Grant.Origin())
	}
	return nil
}

func (r *Records) callerNames() ([]string, error) {
	if len(r.Callers) != max(len(r.Delegations)-1, 0) {
		return nil, errors.New("the records of the agents that called are not all there")
	}
	if len(r.Delegations) == 0 {
		return nil, nil
	}
	names := []string{r.Grant.Agent}
	for i, a := range r.Callers {
		b, err := provenance.Encode(a)
		if err != nil {
			return nil, fmt.Errorf("an agent that called: %w", err)
		}
		if b.CID != r.Delegations[i].Agent {
			return nil, fmt.Errorf("agent %s called, and it is not the one of delegation %s", b.CID, r.Delegations[i].CID)
		}
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == r.Agent.Name }), nil
}
