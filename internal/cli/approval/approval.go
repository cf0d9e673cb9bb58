// Package approval reads what a server wants a wallet to approve, and says it in rows for people.
package approval

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/wording"
)

// Read reads what the server wants signed, after making sure that it is for this account and this run: a server must
// not get a wallet to sign anything else.
func Read(account string, w wire.Approval) (auth.Approval, error) {
	p, err := auth.ParseApproval([]byte(w.Message))
	if err != nil {
		return p, fmt.Errorf("the server's approval: %w", err)
	}
	if p.Account != common.HexToAddress(account) || p.Run.String() != w.Run || p.Step.String() != w.Step {
		return p, cli.Failf(cli.ExitSignature, "approval",
			"the server gave an approval for another account or run; do not sign it")
	}
	return p, nil
}

// A summary is what the server says of a call beside what is signed.
type summary struct {
	Amount  string
	Args    json.RawMessage
	Changes struct {
		Changes []struct{ Name, Account, Display string }
	}
	Debit, Credit, Simulated string
	Asked, Over              string
	Others                   int64
	Why                      []string
}

// rows says what would move, where that is not the amount of the call, and why the wallet is asked.
func (s summary) rows(amount string) (rows [][2]string) {
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, wording.Reveal(value)})
		}
	}
	var changes []string
	for _, c := range s.Changes.Changes {
		changes = append(changes, cmp.Or(c.Name, c.Account)+" "+c.Display)
	}
	add("simulated", strings.Join(changes, ", "))
	if s.Debit != amount || s.Credit != amount {
		add("would leave", s.Debit)
		add("would arrive", s.Credit)
	}
	add("the call says", s.Asked)
	add("beyond the call", s.Over)
	switch {
	case s.Others == 1:
		add("besides", "1 transfer or allowance to others")
	case s.Others > 1:
		add("besides", fmt.Sprintf("%d transfers or allowances to others", s.Others))
	}
	if s.Simulated == "computed" {
		add("simulation", "computed, not read: the endpoint does not simulate")
	}
	for _, why := range s.Why {
		add("because", why)
	}
	return rows
}

// SendRows returns what the server says of a call that the user's own wallet is asked to send.
func SendRows(w wire.WalletCall) [][2]string {
	var s summary
	if json.Unmarshal(w.Summary, &s) != nil {
		return [][2]string{{"WARNING", "the server does not say what it would move"}}
	}
	return s.rows(s.Amount)
}

// Rows returns what is shown of a call that waits for the wallet, names and values. All of it is what the signature
// will cover, but the rows of the simulation, "because", and what the server has found, which the server says.
func Rows(account string, w wire.Approval) (rows [][2]string, err error) {
	p, err := Read(account, w)
	if err != nil {
		return nil, err
	}
	var more summary
	if json.Unmarshal(w.Summary, &more) != nil || sha256.Sum256(more.Args) != p.Args {
		return nil, errOther
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, wording.Reveal(value)})
		}
	}
	rows = append(rows, [2]string{"what", showSpelled(p.Summary)})
	if !strings.HasPrefix(p.Summary, p.Tool) {
		add("tool", p.Tool)
	}
	if p.Summary != p.Tool+" "+wording.Reveal(string(more.Args)) { // which has all of them, letter by letter
		add("arguments", string(more.Args))
	}
	amount, spends := p.Amount.String(), p.Amount.Asset().Symbol != ""
	if spends && !strings.HasPrefix(p.Summary, p.Tool+": "+amount+" to "+p.Recipient.Hex()) {
		add("amount", amount)
		add("to", p.Recipient.Hex())
	}
	rows = append(rows, more.rows(amount)...)
	for _, f := range w.Findings {
		name := "note"
		if f.Tone != "plain" {
			name = "look twice"
		}
		if f.Tone == "stop" {
			name = "WARNING"
		}
		add(name, f.Text)
	}
	left := time.Until(p.NotAfter).Round(time.Second)
	add("until", cli.Clock(p.NotAfter.UnixMilli())+", "+left.String()+" left")
	return rows, nil
}

// Arguments returns the arguments that a call has, as they are signed.
func Arguments(w wire.Approval, p auth.Approval) (string, error) {
	var more struct{ Args json.RawMessage }
	if json.Unmarshal(w.Summary, &more) != nil || sha256.Sum256(more.Args) != p.Args {
		return "", errOther
	}
	return wording.Reveal(string(more.Args)), nil
}

// errOther says that a server shows something else than it wants signed.
var errOther = cli.Failf(cli.ExitSignature, "approval",
	"the server shows other arguments than it wants signed; do not sign it")

// Summary returns the one line that says what a call would do, as the server has it, to be shown.
func Summary(w wire.Approval) string {
	var s struct{ Text string }
	if json.Unmarshal(w.Summary, &s) != nil {
		return ""
	}
	return showSpelled(s.Text)
}

// showSpelled shows a line that is spelled out already, as a wallet is asked to sign it, and spells out no name in it
// again. A server that sends any other line does not get it through.
func showSpelled(line string) string {
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return wording.Reveal(line)
		}
	}
	return line
}
