// Package x402 reads offers of the payment protocol x402 (https://x402.org, versions 1 and 2), makes what pays one, and
// checks what a record says of a payment.
//
// A server that wants to be paid answers 402 with an [Offer]. Of its terms only those of scheme exact are read, in
// which the payer signs an [Authorization] of EIP-3009: anybody may then have the token move just that amount to just
// that recipient, once, until it expires. What was paid is what the chain shows: see [Payment].
//
// All of it is pure: an auditor reads and computes the same.
package x402

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/tools"
)

// Bounds of what a server may send.
const (
	MaxOffer   = 32 << 10 // bytes of an offer's JSON
	maxTerms   = 16
	maxName    = 64 // of a token's domain
	maxSeconds = 365 * 24 * 3600
	maxSettled = 16 << 10
)

// Headers of the protocol's two versions.
const (
	headerOffer2, headerPay2, headerSettled2 = "PAYMENT-REQUIRED", "PAYMENT-SIGNATURE", "PAYMENT-RESPONSE"
	headerPay1, headerSettled1               = "X-PAYMENT", "X-PAYMENT-RESPONSE"
)

// ErrNoOffer says that an answer has no offer that can be read.
var ErrNoOffer = errors.New("it offers nothing that can be read")

// A Header is that of an answer: an http.Header is one.
type Header interface{ Get(key string) string }

// An Offer is what a server wants for a resource: one of its terms is to be met.
type Offer struct {
	Version int
	Terms   []Terms
	// Refused says of each of the server's other terms why it cannot be met here.
	Refused []string

	resource json.RawMessage // as the server describes it; only of version 2
}

// Terms are what a server wants: so much of an asset, for somebody.
type Terms struct {
	Version int
	Network string // as offered
	Chain   uint64 // EIP-155 id
	Amount  *uint256.Int
	Asset   common.Address
	PayTo   common.Address
	Seconds int64 // how long the payment may take at most
	// Name and Release are those of the token's domain of EIP-712, as the server says.
	Name, Release string
	Raw           json.RawMessage // as offered, in canonical spelling
}

// offerJSON and termsJSON have both versions' members; unknown ones are let be.
type offerJSON struct {
	Version  int               `json:"x402Version"`
	Accepts  []json.RawMessage `json:"accepts"`
	Resource json.RawMessage   `json:"resource"`
}

type termsJSON struct {
	Scheme  string      `json:"scheme"`
	Network string      `json:"network"`
	Amount  string      `json:"amount"`            // version 2
	Most    string      `json:"maxAmountRequired"` // version 1
	Asset   string      `json:"asset"`
	PayTo   string      `json:"payTo"`
	Seconds json.Number `json:"maxTimeoutSeconds"`
	Extra   struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Method  string `json:"assetTransferMethod"`
	} `json:"extra"`
}

// ReadOffer reads the offer of an answer of status 402: of version 2 it is a header, of version 1 the body.
func ReadOffer(header Header, body []byte) (*Offer, error) {
	raw, version := body, 1
	if h := header.Get(headerOffer2); h != "" {
		var err error
		if raw, err = decodeHeader(h, MaxOffer); err != nil {
			return nil, fmt.Errorf("%w: the header %s %w", ErrNoOffer, headerOffer2, err)
		}
		version = 2
	}
	var o offerJSON
	switch err := readJSON(raw, MaxOffer, &o); {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoOffer, err)
	case checkSpelling(raw, "x402Version", "accepts", "resource") != nil:
		return nil, fmt.Errorf("%w: a member has another spelling than the protocol's", ErrNoOffer)
	case o.Version != version:
		return nil, fmt.Errorf("%w: version %d of x402 stands where %d does", ErrNoOffer, o.Version, version)
	case len(o.Accepts) == 0 || len(o.Accepts) > maxTerms:
		return nil, fmt.Errorf("%w: it has %d terms, and 1 to %d are read", ErrNoOffer, len(o.Accepts), maxTerms)
	}
	out := &Offer{Version: version}
	if version == 2 {
		out.resource = o.Resource
	}
	for i, raw := range o.Accepts {
		t, err := readTerms(version, raw)
		if err != nil {
			out.Refused = append(out.Refused, fmt.Sprintf("terms %d: %v", i+1, err))
			continue
		}
		out.Terms = append(out.Terms, *t)
	}
	return out, nil
}

// decodeHeader decodes the Base64 of a header, of either alphabet.
func decodeHeader(h string, limit int) ([]byte, error) {
	if len(h) > base64.StdEncoding.EncodedLen(limit) {
		return nil, fmt.Errorf("has %d bytes, and at most %d are read", len(h), limit)
	}
	h = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(h, "="))
	raw, err := base64.RawStdEncoding.Strict().DecodeString(h)
	if err != nil {
		return nil, errors.New("is not Base64")
	}
	return raw, nil
}

// readJSON reads an object in which no member stands twice, neither in the same letters nor in others.
func readJSON(raw []byte, limit int, to any) error {
	if len(raw) > limit {
		return fmt.Errorf("it has %d bytes, and at most %d are read", len(raw), limit)
	}
	if err := strictjson.CheckDoubled(raw); err != nil {
		return errors.New("it is not JSON, or a member stands twice")
	}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) && json.Unmarshal(raw, to) == nil {
		return nil
	}
	return errors.New("it is not of the protocol's form")
}

// readTerms reads one of an offer's terms. Its errors are this program's words, with nothing of the server's in them.
func readTerms(version int, raw json.RawMessage) (*Terms, error) {
	canonical, err := tools.CanonicalJSON(raw)
	if err != nil {
		return nil, errors.New("they are not JSON in one reading")
	}
	if err := checkLetters(canonical); err != nil {
		return nil, err
	}
	var j termsJSON
	if json.Unmarshal(canonical, &j) != nil {
		return nil, errors.New("they are not of the protocol's form")
	}
	t := &Terms{Version: version, Network: j.Network, Name: j.Extra.Name, Release: j.Extra.Version, Raw: canonical}
	amount := j.Amount
	if version == 1 {
		amount = j.Most
	}
	seconds, err := strconv.ParseInt(j.Seconds.String(), 10, 64)
	switch {
	case j.Scheme != "exact":
		return nil, errors.New("the scheme is not exact")
	case j.Extra.Method != "" && j.Extra.Method != "eip3009":
		return nil, errors.New("the token is not moved by an authorisation of EIP-3009")
	case err != nil || seconds <= 0 || seconds > maxSeconds:
		return nil, errors.New("how long the payment may take is not said in whole seconds")
	case t.Name == "" || t.Release == "" || len(t.Name) > maxName || len(t.Release) > maxName:
		return nil, errors.New("the name and the version of the token's domain are not there")
	}
	t.Seconds = seconds
	if t.Chain, err = chainOf(version, j.Network); err != nil {
		return nil, err
	}
	if t.Asset, err = readAddress(j.Asset); err != nil {
		return nil, fmt.Errorf("the asset %w", err)
	}
	if t.PayTo, err = readAddress(j.PayTo); err != nil {
		return nil, fmt.Errorf("the recipient %w", err)
	}
	if t.Amount, err = readUnits(amount); err != nil || t.Amount.IsZero() {
		return nil, errors.New("the amount is not a count of units above zero")
	}
	return t, nil
}

// checkLetters refuses a member that encoding/json would take for one of another spelling.
func checkLetters(canonical []byte) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(canonical, &members) != nil {
		return errors.New("they are no object")
	}
	err := checkSpelling(canonical, "scheme", "network", "amount", "maxAmountRequired", "asset", "payTo",
		"maxTimeoutSeconds", "extra")
	if err != nil {
		return err
	}
	return checkSpelling(members["extra"], "name", "version", "assetTransferMethod")
}

func checkSpelling(object []byte, known ...string) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil // what it should be is for who reads it
	}
	for key := range members {
		for _, k := range known {
			if key != k && strings.EqualFold(key, k) {
				return errors.New("a member has another spelling than the protocol's")
			}
		}
	}
	return nil
}

// chains are the names that version 1 has for chains, as its reference implementation reads them.
var chains = map[string]uint64{
	"ethereum": 1, "sepolia": 11155111, "abstract": 2741, "abstract-testnet": 11124, "base-sepolia": 84532, "base": 8453,
	"avalanche-fuji": 43113, "avalanche": 43114, "iotex": 4689, "sei": 1329, "sei-testnet": 1328, "polygon": 137,
	"polygon-amoy": 80002, "peaq": 3338, "story": 1514, "educhain": 41923, "skale-base-sepolia": 324705682,
	"megaeth": 4326, "monad": 143, "stable": 988, "stable-testnet": 2201, "celo": 42220, "flare": 14,
}

// chainOf reads a network: CAIP-2, or in version 1 a name.
func chainOf(version int, network string) (uint64, error) {
	if id, ok := chains[network]; ok && version == 1 {
		return id, nil
	}
	reference, ok := strings.CutPrefix(network, "eip155:")
	id, err := strconv.ParseUint(reference, 10, 63)
	if !ok || err != nil || id == 0 || reference != strconv.FormatUint(id, 10) {
		return 0, errors.New("the network is no Ethereum chain that is known")
	}
	return id, nil
}

var errAddress = errors.New("is not an address with a valid checksum")

// readAddress reads an address with a checksum that holds, or without one; the zero address is none.
func readAddress(s string) (common.Address, error) {
	if len(s) != 42 || s[:2] != "0x" || !common.IsHexAddress(s) {
		return common.Address{}, errAddress
	}
	a := common.HexToAddress(s)
	if digits := s[2:]; a == (common.Address{}) ||
		digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && s != a.Hex() {
		return common.Address{}, errAddress
	}
	return a, nil
}

// readUnits reads a count in its one decimal spelling.
func readUnits(s string) (*uint256.Int, error) {
	n, err := uint256.FromDecimal(s)
	if err != nil || n.Dec() != s {
		return nil, errors.New("is not a count of units")
	}
	return n, nil
}

// A Settlement is what a server says that it did with a payment. It is its word, and no more.
type Settlement struct {
	Success     bool
	Transaction common.Hash // zero if it names none
	Reason      string      // of a failure: "" or one of the protocol's codes
}

// ReadSettlement reads the header in which a server says what came of a payment; nil if there is none.
func ReadSettlement(header Header) (*Settlement, error) {
	h := header.Get(headerSettled2)
	if h == "" {
		h = header.Get(headerSettled1)
	}
	if h == "" {
		return nil, nil
	}
	raw, err := decodeHeader(h, maxSettled)
	if err != nil {
		return nil, fmt.Errorf("what it says of the settlement %w", err)
	}
	var j struct {
		Success     bool   `json:"success"`
		Transaction string `json:"transaction"`
		Reason      string `json:"errorReason"`
	}
	if err := readJSON(raw, maxSettled, &j); err != nil {
		return nil, fmt.Errorf("what it says of the settlement: %w", err)
	}
	s := &Settlement{Success: j.Success, Reason: codeOf(j.Reason)}
	if len(j.Transaction) == 66 && j.Transaction[:2] == "0x" &&
		strings.Trim(strings.ToLower(j.Transaction[2:]), "0123456789abcdef") == "" {
		s.Transaction = common.HexToHash(j.Transaction)
	}
	return s, nil
}

// codeOf lets through what looks like a code of the protocol, and nothing that somebody could have worded.
func codeOf(s string) string {
	if len(s) > 80 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return "unknown"
	}
	return s
}
