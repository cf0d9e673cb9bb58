package wire

import "encoding/json"

// A Mandate is a delegation of ERC-7710 by which the wallet's account lets the agent's account pay: the struct of the
// Delegation Framework, and its chain.
type Mandate struct {
	Chain     uint64          `json:"chain"`
	Delegate  string          `json:"delegate" form:"address"`
	Delegator string          `json:"delegator" form:"address"`
	Authority string          `json:"authority" form:"hex" max:"66"`
	Caveats   []MandateCaveat `json:"caveats"`
	Salt      string          `json:"salt" form:"hex" max:"66"`
	Signature string          `json:"signature" form:"hex" max:"8194"` // 0x before it is signed
}

// A MandateCaveat is a condition that a contract keeps.
type MandateCaveat struct {
	Enforcer string `json:"enforcer" form:"address"`
	Terms    string `json:"terms" form:"hex" max:"8194"`
	Args     string `json:"args" form:"hex" max:"8194"`
}

// MandateAskParams ask for what the wallet would sign to let the agent pay from an account of its own.
type MandateAskParams struct {
	Token string `json:"token,omitempty" form:"name"` // its symbol; the grant's only one if absent
	// Account is the smart account that pays, which the wallet owns; the wallet itself if absent.
	Account string `json:"account,omitempty" form:"address"`
}

// A MandateAsk is what the wallet is asked to sign: what the session's grant allows, as far as a chain can keep it.
type MandateAsk struct {
	Mandate   Mandate         `json:"mandate"`
	Text      string          `json:"text" form:"text"` // what it allows
	TypedData json.RawMessage `json:"typed_data"`       // for eth_signTypedData_v4
	// Permission is the same for a wallet with wallet_requestExecutionPermissions (ERC-7715): its one parameter's entry.
	Permission json.RawMessage `json:"permission"`
	// Smart says that the account has code. One that has none lets nobody pay until it has (EIP-7702).
	Smart bool `json:"smart"`
}

// MandatePutParams hand over a mandate that was signed, or what a wallet returned for it.
type MandatePutParams struct {
	Mandate *Mandate `json:"mandate,omitempty"`
	Context string   `json:"context,omitempty" form:"hex" max:"32770"` // of the response of ERC-7715, on the server's chain
}

// A GivenMandate is one that a session has handed over.
type GivenMandate struct {
	Hash      string   `json:"hash" form:"hex" max:"66"` // by which the framework knows it
	Chain     uint64   `json:"chain"`
	Delegator string   `json:"delegator" form:"address"`
	Token     string   `json:"token" form:"name"`
	Text      string   `json:"text" form:"text"`              // where the chain alone would stop
	Notes     []string `json:"notes" form:"text"`             // how it differs from the grant, and what it still lacks
	Given     int64    `json:"given"`                         // ms UTC
	State     string   `json:"state" form:"name"`             // open, revoked or unknown
	Spent     string   `json:"spent" form:"text"`             // what the chain has counted
	Signed    bool     `json:"signed"`                        // by the wallet's own key; else only the chain can judge it
	Revoke    string   `json:"revoke" form:"hex" max:"32770"` // data for the framework's manager, to revoke it on the chain
	Manager   string   `json:"manager" form:"address"`
}

// GivenMandates are the session's, one a token.
type GivenMandates struct {
	Mandates []GivenMandate `json:"mandates"`
}

// MandateForgetParams name a mandate that the server forgets.
type MandateForgetParams struct {
	Hash string `json:"hash" form:"hex" max:"66"`
}
