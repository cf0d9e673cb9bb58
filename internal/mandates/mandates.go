// Package mandates keeps the delegations by which users' accounts let the agents' account pay (ERC-7710).
//
// A [Desk] says what a wallet signs for what its session's grant allows, takes in what it has signed, and finds it
// again when a run pays. Its one SQLite file in the data folder may be deleted while no server runs: whoever still
// wants to pay so hands over anew. What was paid by a delegation is in the records.
package mandates

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/sqlfile"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mandate"
)

// FileName is the name of a desk's file in a data folder.
const FileName = "mandates.sqlite"

// Bounds of a desk.
const (
	maxOfSession = 16        // tokens for which a session has one
	maxOfWallet  = 1000      // of one wallet, that are not over: also those that were replaced or forgotten
	maxAll       = 1_000_000 // of all wallets
)

// maxRemembered bounds how long it is remembered whose a delegation was that does not end before.
const maxRemembered = 366 * 24 * time.Hour

// A Client is what a desk asks of the chain.
type Client interface {
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
	CodeAt(ctx context.Context, account common.Address, number *big.Int) ([]byte, error)
}

// A Config says what a desk is for.
type Config struct {
	Client  Client           // required
	Book    *tools.Book      // required: tokens, and the chain
	Account common.Address   // required: of the agents, that pays
	Now     func() time.Time // time.Now if nil
}

// A Desk keeps delegations. Many goroutines may use it at once.
type Desk struct {
	Config
	file *sqlfile.File
}

// Open opens the desk of a data folder, or makes it.
func Open(folder string, c Config) (*Desk, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	f, err := sqlfile.Open(filepath.Join(folder, FileName), []string{"secure_delete = 1"}, func(c *sqlite.Conn) error {
		for _, q := range []string{
			`CREATE TABLE IF NOT EXISTS mandates (
			session TEXT NOT NULL, token BLOB NOT NULL, hash BLOB NOT NULL, given INTEGER NOT NULL, until INTEGER NOT NULL,
			mandate BLOB NOT NULL, PRIMARY KEY (session, token)) STRICT`,
			"CREATE INDEX IF NOT EXISTS mandates_of_hash ON mandates (hash)",
			// Whose each one is and was, until the chain takes it no more.
			`CREATE TABLE IF NOT EXISTS owners (
			hash BLOB PRIMARY KEY, session TEXT NOT NULL, wallet BLOB NOT NULL, until INTEGER NOT NULL) STRICT`,
			"CREATE INDEX IF NOT EXISTS owners_of_wallet ON owners (wallet)",
			"CREATE INDEX IF NOT EXISTS owners_until ON owners (until)",
		} {
			if err := sqlfile.Exec(c, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open the delegations of users: %w", err)
	}
	return &Desk{c, f}, nil
}

// Close closes the desk.
func (d *Desk) Close() error { return d.file.Close() }

func refuse(code, format string, args ...any) error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Ask returns what the session's wallet signs to let the agents' account pay a token from its account, or from a smart
// account that it owns.
func (d *Desk) Ask(ctx context.Context, s journal.Session, p wire.MandateAskParams) (out wire.MandateAsk, err error) {
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return out, fmt.Errorf("the grant of session %s: %w", s.ID, err)
	}
	symbol, err := d.chooseToken(g, p.Token)
	if err != nil {
		return out, err
	}
	w, err := d.wishOf(g, s, symbol)
	if err != nil {
		return out, err
	}
	if p.Account != "" {
		w.Delegator = common.HexToAddress(p.Account)
	}
	m, err := w.Mandate(uint64(d.Now().UnixMilli()))
	if err != nil {
		return out, refuse("mandate_unfit", "No delegation can be made: %v.", err)
	}
	l, err := m.Limits()
	if err != nil {
		return out, err
	}
	code, err := d.Client.CodeAt(ctx, m.Delegator, nil)
	if err != nil {
		return out, fmt.Errorf("code of the account: %w", err)
	}
	if out.Mandate, err = spell(m); err != nil {
		return out, err
	}
	out.Smart = len(code) > 0
	out.Text = fmt.Sprintf("Let %s pay from %s on chain %d: %s.", m.Delegate.Hex(), m.Delegator.Hex(), m.Chain,
		l.Stops(w.Total.Asset()))
	if out.TypedData, err = json.Marshal(m.TypedData()); err != nil {
		return out, err
	}
	out.Permission, err = json.Marshal(w.Permission("writ: " + out.Text))
	return out, err
}

// chooseToken returns the symbol that is meant; of none, the grant's only one.
func (d *Desk) chooseToken(g *auth.Grant, symbol string) (string, error) {
	if symbol != "" {
		return strings.ToUpper(symbol), nil
	}
	var all []string
	for _, a := range g.Caveats.MaxTotal {
		if t, ok := d.Book.Tokens[a.Asset().Symbol]; ok && t.Address != (common.Address{}) && !t.Things {
			all = append(all, a.Asset().Symbol)
		}
	}
	if len(all) != 1 {
		return "", refuse("mandate_token", "Say which token it is for; the grant lets these be spent: %s.",
			strings.Join(all, ", "))
	}
	return all[0], nil
}

// wishOf returns what a grant allows of a token, from its own wallet.
func (d *Desk) wishOf(g *auth.Grant, s journal.Session, symbol string) (mandate.Wish, error) {
	t, ok := d.Book.Tokens[symbol]
	if !ok || t.Address == (common.Address{}) {
		return mandate.Wish{}, refuse("mandate_token", "%s is no ERC-20 token that is known here.", symbol)
	}
	if t.Things {
		return mandate.Wish{}, refuse("mandate_token",
			"%s is a collection, whose things are not paid by a delegation; name an ERC-20 token.", symbol)
	}
	if !slices.ContainsFunc(g.Tools, func(t string) bool { return strings.HasPrefix(t, "mandate.") }) {
		return mandate.Wish{}, refuse("mandate_tools",
			"The session's grant names no tool that pays by a delegation; sign in for an agent that has mandate.transfer.")
	}
	of := mandate.Mandate{Chain: d.Book.Chain, Delegate: d.Account, Delegator: g.Account}
	w, ok := mandate.WishOf(g, s.ID.String(), &of, mandate.Limits{Token: t.Address},
		money.Asset{Symbol: symbol, Decimals: t.Decimals})
	if !ok {
		return w, refuse("mandate_token", "The session's grant lets no %s be spent on chain %d.", symbol, d.Book.Chain)
	}
	return w, nil
}

// Put takes in a delegation that the session's wallet has signed. It takes the place of the session's one for the same
// token.
func (d *Desk) Put(ctx context.Context, s journal.Session, p wire.MandatePutParams) (out wire.GivenMandate, err error) {
	m, err := d.read(p)
	if err != nil {
		return out, err
	}
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return out, fmt.Errorf("the grant of session %s: %w", s.ID, err)
	}
	out, err = d.describe(ctx, g, s, m)
	if err != nil {
		return out, err
	}
	if out.State == stateRevoked {
		return out, refuse("mandate_revoked", "The delegation was revoked on the chain; sign a new one.")
	}
	if err := d.checkSignature(ctx, m, out.Signed); err != nil {
		return out, err
	}
	l, err := m.Limits()
	if err != nil {
		return out, err
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, new(mandate.Mandate)); err != nil { // a context is shorter than what is kept of it
		return out, refuse("mandate_unfit", "The delegation cannot be kept: %v.", err)
	}
	hash, now := m.Hash(), d.Now().UnixMilli()
	out.Given = now
	until := now + maxRemembered.Milliseconds()
	if l.Before > 0 {
		until = min(until, int64(min(l.Before, math.MaxInt64/1000))*1000)
	}
	return out, d.file.Write(ctx, func(c *sqlite.Conn) error {
		if err := sqlfile.Exec(c, "DELETE FROM mandates WHERE until <= ?", now); err != nil {
			return err
		}
		if err := sqlfile.Exec(c, "DELETE FROM owners WHERE until <= ?", now); err != nil {
			return err
		}
		if err := takeOwner(c, s, hash, until); err != nil {
			return err
		}
		own, err := sqlfile.Number(c, "SELECT count(*) FROM mandates WHERE session = ? AND token <> ?", s.ID.String(),
			l.Token[:])
		if err != nil {
			return err
		}
		if own >= maxOfSession {
			return errFull
		}
		return sqlfile.Exec(c, "INSERT OR REPLACE INTO mandates VALUES (?, ?, ?, ?, ?, ?)", s.ID.String(), l.Token[:],
			hash[:], now, s.Expires, raw)
	})
}

var errFull = refuse("mandate_full",
	"There is no room for another delegation; forget one that is not needed any more, or wait until one has ended.")

// takeOwner notes that a delegation is a session's, and refuses one that is or was another's: a grant would then be
// paid by what was signed for another. A wallet has room for so many, whatever others have.
func takeOwner(c *sqlite.Conn, s journal.Session, hash common.Hash, until int64) error {
	id := s.ID.String()
	others, err := sqlfile.Number(c, `SELECT (SELECT count(*) FROM owners WHERE hash = ?1 AND session <> ?2) +
		(SELECT count(*) FROM mandates WHERE hash = ?1 AND session <> ?2)`, hash[:], id)
	if err != nil {
		return err
	}
	if others > 0 {
		return refuse("mandate_account", "The delegation was handed over for another session; sign one for this session.")
	}
	own, err := sqlfile.Number(c, "SELECT count(*) FROM owners WHERE wallet = ? AND hash <> ?", s.Account[:], hash[:])
	if err != nil {
		return err
	}
	all, err := sqlfile.Number(c, "SELECT count(*) FROM owners WHERE hash <> ?", hash[:])
	if err != nil {
		return err
	}
	if own >= maxOfWallet || all >= maxAll {
		return errFull
	}
	return sqlfile.Exec(c, "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", hash[:], id, s.Account[:], until)
}

// read reads what was handed over.
func (d *Desk) read(p wire.MandatePutParams) (*mandate.Mandate, error) {
	switch {
	case (p.Mandate == nil) == (p.Context == ""):
		return nil, refuse("mandate_unfit",
			"Hand over the delegation, or the context that the wallet returned, and not both.")
	case p.Mandate != nil:
		raw, err := json.Marshal(p.Mandate)
		if err != nil {
			return nil, err
		}
		m := new(mandate.Mandate)
		if err := json.Unmarshal(raw, m); err != nil {
			return nil, refuse("mandate_unfit", "The delegation cannot be used: %v.", err)
		}
		return m, nil
	}
	context, err := hexutil.Decode(p.Context)
	if err != nil {
		return nil, refuse("mandate_unfit", "The context is not 0x and hex digits.")
	}
	m, err := mandate.ReadContext(d.Book.Chain, context)
	if err != nil {
		return nil, refuse("mandate_unfit", "The wallet's context cannot be used: %v.", err)
	}
	return m, nil
}

const (
	stateOpen    = "open"
	stateRevoked = "revoked"
	stateUnknown = "unknown" // the chain does not answer
)

// describe says of a delegation what it allows, and how that differs from the session's grant. An error says why it is
// none that this session can pay by.
func (d *Desk) describe(
	ctx context.Context, g *auth.Grant, s journal.Session, m *mandate.Mandate,
) (out wire.GivenMandate, err error) {
	is, signed := m.IsOf(g.WalletOn(d.Book.Chain))
	switch {
	case m.Chain != d.Book.Chain:
		return out, refuse("mandate_chain", "The delegation is of chain %d, and this server pays on chain %d.", m.Chain,
			d.Book.Chain)
	case m.Delegate != d.Account:
		return out, refuse("mandate_account", "The delegation is to %s, and the agents' account is %s.", m.Delegate.Hex(),
			d.Account.Hex())
	case !is:
		return out, refuse("mandate_account", "The delegation of %s is not signed by this session's wallet.",
			m.Delegator.Hex())
	}
	l, err := m.Limits()
	if err != nil {
		return out, refuse("mandate_unfit", "The delegation cannot be used: %v.", err)
	}
	symbol := ""
	for name, t := range d.Book.Tokens {
		if t.Address == l.Token && l.Token != (common.Address{}) {
			symbol = name
		}
	}
	if symbol == "" {
		return out, refuse("mandate_token", "The delegation is for the token %s, which is not known here.", l.Token.Hex())
	}
	w, err := d.wishOf(g, s, symbol)
	if err != nil {
		return out, err
	}
	revoke, err := m.PackDisable()
	if err != nil {
		return out, err
	}
	out = wire.GivenMandate{
		Hash: m.Hash().Hex(), Chain: m.Chain, Delegator: m.Delegator.Hex(), Token: symbol, Signed: signed,
		Text:  "The chain alone would stop at " + l.Stops(w.Total.Asset()) + ".",
		Notes: []string{}, State: stateUnknown, Revoke: hexutil.Encode(revoke), Manager: mandate.Manager.Hex(),
	}
	for _, x := range w.Compare(l) {
		kind := "narrower than the grant: "
		if x.Wider {
			kind = "wider than the grant, which still binds: "
		}
		out.Notes = append(out.Notes, kind+x.Text)
	}
	if !m.IsOfSession(s.ID.String()) {
		out.Notes = append(out.Notes, "its number does not name this session, which alone may use it here")
	}
	d.addState(ctx, &out, m, w.Total.Asset())
	return out, nil
}

// addState adds what the chain says of a delegation, if it answers.
func (d *Desk) addState(ctx context.Context, out *wire.GivenMandate, m *mandate.Mandate, asset money.Asset) {
	disabled, err := d.ask(ctx, m.Disabled())
	if err != nil {
		return
	}
	if out.State = stateOpen; disabled.Sign() != 0 {
		out.State = stateRevoked
	}
	look, counted := m.Spent()
	if spent, err := d.ask(ctx, look); counted && err == nil {
		if n, err := money.FromUnits(asset, spent.String()); err == nil {
			out.Spent = n.String()
		}
	}
	if code, err := d.Client.CodeAt(ctx, m.Delegator, nil); err == nil && len(code) == 0 {
		out.Notes = append(out.Notes, "the account has no code yet, so nothing can be paid: it becomes a smart account in "+
			"its wallet (EIP-7702)")
	}
}

func (d *Desk) ask(ctx context.Context, q mandate.Look) (*big.Int, error) {
	out, err := d.call(ctx, q.At, q.Data)
	if err == nil && len(out) != 32 {
		err = errors.New("the Delegation Framework is not on this chain")
	}
	return new(big.Int).SetBytes(out), err
}

func (d *Desk) call(ctx context.Context, to common.Address, data []byte) ([]byte, error) {
	head, err := d.Client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, err
	}
	return d.Client.CallContractAtHash(ctx, ethereum.CallMsg{To: &to, Data: data}, head.Hash())
}

// isValid is what a contract answers that accepts a signature (ERC-1271), and the selector of that question.
var isValid = common.FromHex("0x1626ba7e")

// checkSignature asks the account whether the signature is its own, if it has code. One of an account without code must
// be the key's.
func (d *Desk) checkSignature(ctx context.Context, m *mandate.Mandate, signed bool) error {
	code, err := d.Client.CodeAt(ctx, m.Delegator, nil)
	if err != nil {
		return fmt.Errorf("code of the account: %w", err)
	}
	no := refuse("mandate_signature", "The delegation is not signed as its account %s demands.", m.Delegator.Hex())
	if len(code) == 0 {
		if signer, ok := m.Signer(); !ok || signer != m.Delegator {
			return no
		}
		return nil
	}
	hash := m.Digest()
	word := func(n int) []byte { return common.LeftPadBytes(big.NewInt(int64(n)).Bytes(), 32) }
	sig := append(slices.Clone(m.Signature), make([]byte, (32-len(m.Signature)%32)%32)...)
	out, err := d.call(ctx, m.Delegator, slices.Concat(isValid, hash[:], word(64), word(len(m.Signature)), sig))
	if err != nil {
		if strings.Contains(err.Error(), "revert") {
			return no
		}
		return fmt.Errorf("ask the account about its signature: %w", err)
	}
	if len(out) != 32 || !bytes.Equal(out[:4], isValid) {
		return no
	}
	return nil
}

// List returns what a session has handed over, the newest first, with what the chain says of it now.
func (d *Desk) List(ctx context.Context, s journal.Session) (out []wire.GivenMandate, err error) {
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return nil, fmt.Errorf("the grant of session %s: %w", s.ID, err)
	}
	type row struct {
		m     *mandate.Mandate
		given int64
	}
	var rows []row
	err = d.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, "SELECT mandate, given FROM mandates WHERE session = ? ORDER BY given DESC",
			func(st *sqlite.Stmt) error {
				m, err := readRow(st)
				rows = append(rows, row{m, st.ColumnInt64(1)})
				return err
			}, s.ID.String())
	})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		x, err := d.describe(ctx, g, s, r.m)
		if err != nil {
			return nil, err
		}
		x.Given = r.given
		out = append(out, x)
	}
	return out, nil
}

func readRow(st *sqlite.Stmt) (*mandate.Mandate, error) {
	raw := make([]byte, st.ColumnLen(0))
	st.ColumnBytes(0, raw)
	m := new(mandate.Mandate)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("a delegation that was handed over: %w", err)
	}
	return m, nil
}

// Forget removes one of a session's.
func (d *Desk) Forget(ctx context.Context, s journal.Session, hash string) error {
	raw, err := hex.DecodeString(strings.TrimPrefix(hash, "0x"))
	if err != nil {
		return refuse("mandate_missing", "The hash of a delegation is 0x and 64 hex digits.")
	}
	return d.file.Write(ctx, func(c *sqlite.Conn) error {
		if err := sqlfile.Exec(c, "DELETE FROM mandates WHERE session = ? AND hash = ?", s.ID.String(), raw); err != nil {
			return err
		}
		if c.Changes() == 0 {
			return refuse("mandate_missing", "This session has no such delegation; see: writ mandate ls.")
		}
		return nil
	})
}

// Find returns the one that a session has for a token; nil if it has none. It is a chain.Mandates.
func (d *Desk) Find(ctx context.Context, session string, token common.Address) (m *mandate.Mandate, err error) {
	err = d.file.Read(ctx, func(c *sqlite.Conn) error {
		return sqlfile.Each(c, "SELECT mandate FROM mandates WHERE session = ? AND token = ?",
			func(st *sqlite.Stmt) (err error) { m, err = readRow(st); return err }, session, token[:])
	})
	return m, err
}

// spell writes a delegation as the protocol does.
func spell(m *mandate.Mandate) (out wire.Mandate, err error) {
	raw, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}
