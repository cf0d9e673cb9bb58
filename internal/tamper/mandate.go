package tamper

import (
	"bytes"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/tamper/toolbox"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mandate"
)

// mandateWorld is one payment from the wallet's own account, by its delegation to the agent's. change changes what is
// signed.
func mandateWorld(change func(*signing)) func() *world {
	return func() *world {
		w := wholeWorld()
		w.input = "send 1 USDC to mallory" // bob's address is the wallet's own
		w.replies = []model.Reply{
			replyCall("mandate.send", `{"amount":"1","to":"mallory","token":"USDC"}`), replyText("mallory has it"),
		}
		s := &w.tools[1]
		s.Name = "mandate.send"
		s.Schema = bytes.Replace(s.Schema, []byte(`"properties":{`), []byte(`"x-payment":"erc7710","properties":{`), 1)
		people := must(everyKey())
		payer := people.wallet.Address().Hex()
		account := crypto.PubkeyToAddress(people.account.PublicKey).Hex()
		pays := func(m *tools.Movement) {
			m.Account, m.Changes[0].Account = payer, payer
			for i := range m.Transfers {
				if m.Transfers[i].From == account {
					m.Transfers[i].From = payer
				}
			}
		}
		w.foresees = func(f *tools.Foreseen) { pays(&f.Movement) }
		w.mines = func(r *tools.Mined) { pays(&r.Movement) }
		w.signs = func(s *signing) {
			redeem(s, people.wallet, "mallory")
			if change != nil {
				change(s)
			}
		}
		return w
	}
}

// redeem makes of a transaction the payment of 1 USDC by a delegation that somebody has signed.
func redeem(s *signing, by *auth.Wallet, to string) {
	b := toolbox.Book(1337)
	w := mandate.Wish{
		Chain: 1337, Delegator: by.Address(), Delegate: crypto.PubkeyToAddress(s.by.PublicKey),
		Token: b.Tokens["USDC"].Address, Total: money.Of(usdc, 25_000_000), Calls: 5, Until: start.Add(time.Hour),
		Session: "session",
	}
	m := must(w.Mandate(1))
	m.Signature = must(by.SignTyped(digested(m.Digest())))
	s.tx.To = new(common.Address)
	*s.tx.To = mandate.Manager
	s.tx.Data = must(mandate.Pay(m, w.Token, b.Names[strings.ToLower(to)], money.Of(usdc, 1_000_000).Uint256()))
}

// digested is what is signed, as it is.
type digested [32]byte

func (d digested) Digest() ([32]byte, error) { return d, nil }

// redeemStrangers pays by a stranger's delegation.
func redeemStrangers(s *signing) { redeem(s, must(everyKey()).stranger, "mallory") }

// redeemForBob pays somebody else than the call says, by the wallet's own delegation.
func redeemForBob(s *signing) { redeem(s, must(everyKey()).wallet, "bob") }

// payDirectly pays out of the agent's own account, as a transfer.
func payDirectly(s *signing) {
	b := toolbox.Book(1337)
	token := b.Tokens["USDC"].Address
	s.tx.To, s.tx.Data = &token, transferOf(b.Names["mallory"], money.Of(usdc, 1_000_000))
}
