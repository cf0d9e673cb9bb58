package wire

// An Amount is a count of an asset's smallest units: {"asset":"USDC","decimals":6,"units":"5000000"} is 5 USDC.
type Amount struct {
	Asset    string `json:"asset" form:"name" max:"16"`
	Decimals uint64 `json:"decimals" max:"36"`
	Units    string `json:"units" form:"units"`
}

// Limits are the caveats of a grant: what the wallet allows at most. In a challenge each one that is present replaces
// the agent's default, than which it must not be wider, nor empty; the message that the wallet signs names all of them,
// and the operator's policies hold besides.
type Limits struct {
	MaxTotal     []Amount `json:"max_total,omitempty" max:"16"`    // one an asset, over the session's life
	MaxPerCall   []Amount `json:"max_per_call,omitempty" max:"16"` // one an asset
	ApproveAbove []Amount `json:"approve_above,omitempty" max:"16"`
	MaxCalls     uint64   `json:"max_calls,omitempty"`     // tool calls
	MaxTokens    uint64   `json:"max_tokens,omitempty"`    // of models, input and output
	MaxCost      int64    `json:"max_cost_nano,omitempty"` // of models, nano-USD
	Recipients   []string `json:"recipients,omitempty" form:"address" max:"64"`
	Hosts        []string `json:"hosts,omitempty" form:"name" max:"64"`
	Models       []string `json:"models,omitempty" form:"name" max:"64"`
	Chains       []uint64 `json:"chains,omitempty" max:"16"` // EIP-155 ids
	// Things are the only things of collections that may be sent: erc721:, the collection's address, "/", the number.
	Things   []string `json:"things,omitempty" form:"text" max:"8"`
	Tainted  bool     `json:"approve_if_tainted,omitempty"`
	MaxDepth uint64   `json:"max_depth,omitempty" max:"4"`
	// From are the networks, as 192.0.2.0/24, and the origins of pages from which the session may be used.
	From []string `json:"from,omitempty" form:"text" max:"8"`
}

// ChallengeParams ask for a message to sign.
type ChallengeParams struct {
	Account string   `json:"account" form:"address"` // the wallet
	Chain   uint64   `json:"chain"`                  // EIP-155 id
	Key     string   `json:"key" form:"did"`         // the session key that the wallet shall name in the message
	Agent   string   `json:"agent" form:"name"`
	Tools   []string `json:"tools,omitempty" form:"name" max:"64"` // fewer than the agent's; all of them if absent
	Limits  *Limits  `json:"limits,omitempty"`                     // the agent's defaults if absent
	Life    uint64   `json:"life,omitempty" max:"86400"`           // seconds; an hour if absent
	// URI says what the message's URI shall be: "key", the session key, if absent; or "origin", for wallet kits that write
	// the page's origin there. Then the key stands in the ReCap, and its fingerprint in the statement.
	URI string `json:"uri,omitempty" form:"name"`
}

// A Challenge is a message for the wallet to sign, good for one session on this channel.
type Challenge struct {
	Message   string `json:"message" form:"text" max:"8192"` // EIP-4361, to be signed byte for byte
	Nonce     string `json:"nonce" form:"name"`
	RequestID string `json:"request_id" form:"text" max:"128"`
	Expires   int64  `json:"expires"` // of the challenge, ms UTC
}

// OpenParams open a session on this channel: with Message and Signature a new one, with Session one that is open
// already. Signed by the session key: for a new session as a frame without a session, since none is there yet.
type OpenParams struct {
	Message   string `json:"message,omitempty" form:"text" max:"8192"`
	Signature string `json:"signature,omitempty" form:"hex" max:"16386"` // the wallet's, over Message
	Session   string `json:"session,omitempty" form:"cid"`
	// Device is what a new session's client calls itself, for the owner to tell sessions apart.
	Device string `json:"device,omitempty" form:"text" max:"64"`
}

// KeyDevice is what a session calls itself that is an API key: it reaches only what it has opened itself.
const KeyDevice = "writ API key"

// A Session is a grant in use.
type Session struct {
	ID      string `json:"session" form:"cid"`
	Account string `json:"account" form:"address"`
	Agent   string `json:"agent" form:"name"`
	Opened  int64  `json:"opened"`            // ms UTC
	Expires int64  `json:"expires"`           // ms UTC
	Idle    int64  `json:"idle"`              // ms UTC: when it ends unless its key signs a request before
	Revoked int64  `json:"revoked,omitempty"` // ms UTC
	// Revocation is the record of who ended it.
	Revocation string `json:"revocation,omitempty" form:"cid"`
	Epoch      string `json:"epoch,omitempty" form:"text" max:"128"`
	// The rest is in session.list only.
	Limits *Limits  `json:"limits,omitempty"`
	Tools  []string `json:"tools,omitempty" form:"name"`
	Uses   []Use    `json:"uses,omitempty"`
	Used   int64    `json:"used,omitempty"`                        // ms UTC: when its key last signed a request
	Origin string   `json:"origin,omitempty" form:"text"`          // the page for which the wallet signed
	Key    string   `json:"key,omitempty" form:"did"`              // the session key
	Device string   `json:"device,omitempty" form:"text" max:"64"` // what the client that opened it calls itself
}

// A Use is what a session has used of a limit that counts over its life: "calls", "tokens", "cost" (of models, USD),
// and "max_total_" with each asset. What is reserved is neither spent nor left.
type Use struct {
	Name     string `json:"name" form:"name"`
	Cap      Amount `json:"cap"`
	Spent    Amount `json:"spent"`
	Reserved Amount `json:"reserved"`
}

// RevokeParams end a session. Either the request is signed by a session key of the same wallet; or Message and
// Signature prove it, and then no session need be open here. Message is the canonical JSON of an EIP-712 Revocation of
// this session, or the text "End session ..." that docs/record.md gives, and Signature the wallet's over it; with
// Operator it is that text, and the signature is the operator's. With Delegation only that ends, the runs of a
// sub-agent and of those that it called, and the text is "End delegation ...".
type RevokeParams struct {
	Session    string `json:"session" form:"cid"`
	Delegation string `json:"delegation,omitempty" form:"cid"`
	Reason     string `json:"reason,omitempty" form:"text" max:"200"`
	Message    string `json:"message,omitempty" form:"text" max:"4096"`
	Signature  string `json:"signature,omitempty" form:"hex" max:"16386"`
	Operator   bool   `json:"operator,omitempty"`
}

// Sessions lists the wallet's sessions, newest first.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

// SessionRevoked says that this socket's session is over; the socket is then closed.
type SessionRevoked struct {
	Session string `json:"session" form:"cid"`
	Why     string `json:"why" form:"name"` // "revoked" or "expired"
}

// An Agent is one that this server runs.
type Agent struct {
	Name   string   `json:"name" form:"name"`
	About  string   `json:"about,omitempty" form:"text"`
	CID    string   `json:"cid" form:"cid"`
	Rules  string   `json:"rules" form:"cid"` // the operator's policy set
	Tools  []string `json:"tools" form:"name"`
	Limits Limits   `json:"limits"` // the defaults of a grant
}

// Agents lists them.
type Agents struct {
	Agents []Agent `json:"agents"`
}

// None is the params of a method that takes none, and the result of one that has none.
type None struct{}
