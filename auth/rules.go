package auth

import "strings"

// Rule returns the rule that a refusal with this code rests on, and where it stands: for the codes of a message the
// section of EIP-4361 and the line of its grammar. It is empty for a code that does not exist.
func (c Code) Rule() string { return rules[c] }

var rules = map[Code]string{
	CodeSize:  "a bound of ours, since EIP-4361 sets none: a message has at most 8192 bytes",
	CodeASCII: "EIP-4361, ABNF: every terminal is printable ASCII, and lines end with LF alone",
	CodeLine: "EIP-4361, ABNF, sign-in-with-ethereum: these lines in this order, the optional ones left out " +
		"whole",
	CodeSchemeForm: "EIP-4361, ABNF: scheme = ALPHA *( ALPHA / DIGIT / \"+\" / \"-\" / \".\" )",
	CodeDomainForm: "EIP-4361, ABNF: domain = authority of RFC 3986, section 3.2; and a host is needed, and a " +
		"port that exists",
	CodeAddressForm:     "EIP-4361, ABNF: address = \"0x\" 40*40HEXDIG",
	CodeAddressChecksum: "EIP-4361, Message Fields, address: capitals as in ERC-55",
	CodeStatementChar: "EIP-4361, ABNF: statement = *( reserved / unreserved / \" \" ), the characters of RFC 3986, " +
		"section 2",
	CodeURIForm:   "EIP-4361, ABNF: uri = URI of RFC 3986, section 3, so with a scheme",
	CodeVersion:   "EIP-4361, ABNF: version = \"1\"",
	CodeChainForm: "EIP-4361, ABNF: chain-id = 1*DIGIT; and one number has one spelling, without leading zeros",
	CodeChainRange: "EIP-4361, ABNF: chain-id is one of EIP-155, so not 0; and it is one that JavaScript reads " +
		"exactly",
	CodeNonceForm: "EIP-4361, ABNF: nonce = 8*( ALPHA / DIGIT ); and at most 128 of them",
	CodeTimeForm: "EIP-4361, ABNF: date-time of RFC 3339, section 5.6; and at most nine digits of a second's " +
		"fraction",
	CodeRequestIDForm: "EIP-4361, ABNF: request-id = *pchar of RFC 3986, appendix A; and at most 128 characters",
	CodeResourceForm:  "EIP-4361, ABNF: resource = \"- \" URI of RFC 3986, section 3",
	CodeResourceCount: "a bound of ours, since EIP-4361 sets none: a message has at most 16 resources",

	CodeSecondRefuses: "a rule of ours: a second reader, siwe-go, must read the same",
	CodeSecondDiffers: "a rule of ours: a second reader, siwe-go, must read the same",
	CodeSecondPanics:  "a rule of ours: a second reader, siwe-go, must read the same",

	CodeExpect: "EIP-4361, Verifying a signed Message: it is checked against expected values, so the verifier " +
		"must have some",
	CodeScheme:          "EIP-4361, Specifying the Request Origin: the scheme is the origin's",
	CodeDomain:          "EIP-4361, Specifying the Request Origin: the domain is the origin's",
	CodeAccount:         "EIP-4361, Verifying a signed Message: the address is the one expected",
	CodeAddressReserved: "a rule of ours: nobody has the key of the zero address or of a precompile",
	CodeURI:             "EIP-4361, Verifying a signed Message: the URI is the one expected",
	CodeChain:           "EIP-4361, Message Fields, chain-id: the chain to which the session is bound",
	CodeNonce:           "EIP-4361, Message Fields, nonce: the one that was given out for this message",
	CodeRequestID:       "EIP-4361, Verifying a signed Message: the request ID is the one expected",
	CodeAgent:           "a rule of ours: the agent is the one asked for, in the version asked for",
	CodeRules:           "a rule of ours: the policy set is the one in force",
	CodeExpiryMissing:   "a rule of ours: a grant says when it ends",
	CodeTimeOrder:       "a rule of ours: a grant begins before it ends",
	CodeTimeLife:        "a rule of ours: a grant lives for at most 24 hours",
	CodeIssued: "EIP-4361, Message Fields, issued-at: when the message was generated, not later than now; for " +
		"a grant, not long ago",
	CodeEarly:   "EIP-4361, Message Fields, not-before: when the message will become valid",
	CodeExpired: "EIP-4361, Message Fields, expiration-time: when the message is no longer valid",

	CodeResources:      "a rule of ours: the resources of a grant are its agent, its policy set and its ReCap",
	CodeRecapMissing:   "ERC-5573: the ReCap is a resource that begins with urn:recap:",
	CodeRecapPlace:     "ERC-5573: the ReCap is the last resource",
	CodeRecapCount:     "a rule of ours: a grant has one ReCap",
	CodeRecapBase64:    "ERC-5573: base64url of RFC 4648, section 5, without padding; and no bits left over",
	CodeRecapJSON:      "ERC-5573: the ReCap is a JSON object of this shape",
	CodeRecapUnknown:   "a rule of ours: what is not understood is not granted",
	CodeRecapCanonical: "ERC-5573: JSON in the canonical form of RFC 8785; and what is empty is left out",
	CodeCaveats:        "a rule of ours: every limit is there, within its bounds, in order",
	CodeSentence:       "a rule of ours: the limits fit a sentence of 700 characters",
	CodeStatement:      "ERC-5573: the statement is the one generated from the ReCap; ours begins with the limits",
	CodeKeyForm:        "did:key: base58btc over multicodec and key, of the key's length; a proper key, in one spelling",
	CodeKeyCodec: "a rule of ours: the multicodec of a did:key is that of Ed25519 (ed01), P-256 (8024) or " +
		"secp256k1 (e701)",

	CodeSigHex: "EIP-4361, Signing and Verifying: a signature is 0x and hex digits",
	CodeSigSize: "ERC-191 and EIP-4361, Signing and Verifying: an account's signature has 65 bytes, a session " +
		"key's 64",
	CodeSigV:        "a rule of ours: v is 27 or 28, or 0 or 1 as hardware wallets send it",
	CodeSigRange:    "ECDSA: r and s are above 0 and below the order of the curve",
	CodeSigHighS:    "EIP-2: s is in the lower half of the order of the curve",
	CodeSigRecover:  "ECDSA: r is the x of a point of the curve",
	CodeSigSigner:   "EIP-4361, Signing and Verifying: the address that ERC-191 recovers is the one in the message",
	CodeSigMethod:   "a rule of ours: a record names a method that is known",
	CodeSigWrapper:  "EIP-6492: factory, its call data and the inner signature, ABI-encoded before the magic bytes",
	CodeSigContract: "ERC-1271: isValidSignature answers the magic value, in 32 bytes, to a STATICCALL",
	CodeUnavailable: "EIP-4361, Signing and Verifying: a contract account is resolved on its chain, so that must be " +
		"reachable",

	CodeNonceUsed:    "EIP-4361, Message Fields, nonce: it prevents replay, so it is good once",
	CodeAltered:      "a rule of ours: the message is byte for byte the one that was issued",
	CodeApprovalForm: "EIP-712: a message of exactly these fields, in their canonical spelling",
	CodeApprovalLate: "EIP-712, notAfter of this message: when the approval is over",
	CodeApprovalElse: "EIP-712, domain of this message: account, chain, origin and tool are the grant's",
}

// Line returns in which line of the message's text a field stands, from 1. The field is named as in a [Fault]. It is
// 0 if the message has no such field.
func (m *Message) Line(field string) int {
	switch field {
	case "scheme", "domain":
		return 1
	case "address":
		return 2
	case "statement":
		if m.Statement == nil {
			return 0
		}
		return 4
	case "key":
		field = "URI"
	case "agent", "recipients", "chains": // of the ReCap
		field = "ReCap"
	}
	lines := strings.Split(m.String(), "\n")
	for i := 4; i < len(lines); i++ { // what stands before it is free text
		if strings.HasPrefix(lines[i], field+":") || field == "ReCap" && strings.HasPrefix(lines[i], "- "+recapPrefix) {
			return i + 1
		}
	}
	return 0
}

// addLine adds the line to a fault that names a field only.
func (m *Message) addLine(err error) error {
	if f, ok := err.(*Fault); ok && f.Line == 0 {
		if f.Line = m.Line(f.Field); f.Line > 0 {
			f.Column = 1
		}
	}
	return err
}
