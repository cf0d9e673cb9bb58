package auth

// What somebody does about a refusal.
const (
	nextMessage = "ask for a new message and sign that one as it is"
	nextPage    = "open the page that the message names, and sign in there"
	nextLimit   = "change this limit and ask for a new message"
	nextSign    = "sign again, and send what the wallet gives as it is: 0x and hex digits"
	nextForm    = "take the message as the server gives it, and sign that one as it is"
	nextKey     = "make a new session key (Ed25519, P-256 or secp256k1) and ask for a new message"
	nextLife    = "ask for a permission that ends within 24 hours"
	nextTell    = "try once more, and tell the operator if it happens again"
	nextParts   = "look at what was given for this, and correct it"
)

// Next returns what to do about a refusal with this code, as the end of a sentence: no capital, no full stop. What this
// package does not know is the operator's affair.
func (c Code) Next() string {
	if s := nexts[c]; s != "" {
		return s
	}
	return "ask the operator"
}

var nexts = map[Code]string{
	CodeSize: nextMessage, CodeASCII: nextMessage, CodeLine: nextMessage, CodeSchemeForm: nextMessage,
	CodeDomainForm: nextMessage, CodeAddressForm: nextMessage, CodeAddressChecksum: nextMessage,
	CodeStatementChar: nextMessage, CodeURIForm: nextMessage, CodeVersion: nextMessage, CodeChainForm: nextMessage,
	CodeChainRange: nextMessage, CodeNonceForm: nextMessage, CodeTimeForm: nextMessage, CodeRequestIDForm: nextMessage,
	CodeResourceForm: nextMessage, CodeResourceCount: nextMessage,

	CodeSecondRefuses: nextTell, CodeSecondDiffers: nextTell, CodeSecondPanics: nextTell, CodeExpect: nextTell,

	CodeScheme: nextPage, CodeDomain: nextPage,
	CodeAccount: "choose the wallet that the message names; if it is not served here, ask the operator " +
		"to let it in",
	CodeAddressReserved: "sign in with a wallet of your own",
	CodeURI:             nextMessage, CodeNonce: nextMessage, CodeRequestID: nextMessage, CodeAgent: nextMessage,
	CodeRules:         nextMessage,
	CodeChain:         "choose a chain in your wallet that the permission names, and ask for a new message",
	CodeExpiryMissing: nextLife, CodeTimeOrder: nextLife, CodeTimeLife: nextLife,
	CodeIssued: nextMessage, CodeEarly: "wait until then, or set the clock right", CodeExpired: nextMessage,

	CodeResources: nextMessage, CodeRecapMissing: nextMessage, CodeRecapPlace: nextMessage, CodeRecapCount: nextMessage,
	CodeRecapBase64: nextMessage, CodeRecapJSON: nextMessage, CodeRecapUnknown: nextMessage,
	CodeRecapCanonical: nextMessage, CodeStatement: nextMessage,
	CodeCaveats: nextLimit, CodeSentence: "name fewer recipients, hosts, models or chains, and ask for a new message",
	CodeKeyForm: nextKey, CodeKeyCodec: nextKey,

	CodeSigHex: nextSign, CodeSigSize: nextSign, CodeSigV: nextSign, CodeSigRange: nextSign, CodeSigHighS: nextSign,
	CodeSigRecover: nextSign, CodeSigMethod: nextSign, CodeSigWrapper: nextSign,
	CodeSigSigner:   "sign with the account that the message names, the text as it is",
	CodeSigContract: "have the wallet's owners sign or approve it, and try again",
	CodeUnavailable: "try again later",

	CodeNonceUsed: nextMessage, CodeAltered: nextMessage,
	CodeApprovalForm: nextForm, CodeApprovalLate: "ask the agent again; nothing was done",
	CodeApprovalElse: "sign with the account that signed the permission, on its page",

	CodeBindingForm: nextParts, CodeAssertionForm: nextParts,
}
