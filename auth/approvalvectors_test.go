package auth

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

// An approvalVector is an approval as a record has it, with the digest that the wallet has signed.
type approvalVector struct {
	Name      string `json:"name"`
	Message   string `json:"message"`   // its canonical JSON
	Digest    string `json:"digest"`    // of the typed data; empty if the message is none
	Signature string `json:"signature"` // as the wallet returned it
	Now       int64  `json:"now"`       // s
	Code      Code   `json:"code"`
}

func approvalVectors(t *testing.T) (list []approvalVector) {
	add := func(name string, code Code, change func(*Approval), got func(*approvalVector)) {
		a := testApproval(t)
		if change != nil {
			change(&a)
		}
		message, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := a.Digest()
		if err != nil {
			t.Fatal(err)
		}
		sig, err := testWallet(t, 1).SignTyped(a)
		if err != nil {
			t.Fatal(err)
		}
		v := approvalVector{
			Name: name, Message: string(message), Digest: "0x" + hex.EncodeToString(digest[:]),
			Signature: "0x" + hex.EncodeToString(sig), Now: noon.Unix(), Code: code,
		}
		if got != nil {
			got(&v)
		}
		list = append(list, v)
	}
	says := func(old, now string) func(*approvalVector) {
		return func(v *approvalVector) {
			was := v.Message
			if v.Message = strings.Replace(was, old, now, 1); v.Message == was {
				t.Fatalf("%s does not stand in %s", old, was)
			}
			if v.Code == CodeApprovalForm {
				v.Digest = ""
			}
		}
	}
	add("a payment", "", nil, nil)
	add("a call that spends nothing", "", func(a *Approval) { a.Amount, a.Recipient = money.Amount{}, common.Address{} }, nil)
	add("the largest amount", "", func(a *Approval) {
		a.Amount, _ = money.FromUnits(ether, "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	}, nil)
	add("the summary in all of ASCII", "", func(a *Approval) { a.Summary = ` !"#$%&'()*+,-./09:;<=>?@AZ[\]^_az{|}~` + "`" }, nil)
	add("in its last second", "", nil, func(v *approvalVector) { v.Now += 120 })
	add("a second later", CodeApprovalLate, nil, func(v *approvalVector) { v.Now += 121 })
	add("v as hardware wallets have it", "", nil, func(v *approvalVector) {
		v.Signature = v.Signature[:130] + map[string]string{"1b": "00", "1c": "01"}[v.Signature[130:]]
	})
	add("signed for another effect", CodeSigSigner, func(a *Approval) { a.Effect = 2 }, func(v *approvalVector) {
		v.Signature = list[0].Signature
	})
	add("signed for another origin", CodeSigSigner, func(a *Approval) { a.Salt = Salt("https", "evil.example") },
		func(v *approvalVector) { v.Signature = list[0].Signature })
	add("signed for another nonce", CodeSigSigner, func(a *Approval) { a.Nonce[31] = 1 },
		func(v *approvalVector) { v.Signature = list[0].Signature })
	add("signed for less", CodeSigSigner, func(a *Approval) { a.Amount = money.Of(usdc, 50_000_000) },
		func(v *approvalVector) { v.Signature = list[0].Signature })
	add("white space", CodeApprovalForm, nil, says(`,"tool"`, `, "tool"`))
	add("a key more", CodeApprovalForm, nil, says(`"tool":"erc20.transfer"`, `"tool":"erc20.transfer","until":1`))
	add("a key less", CodeApprovalForm, nil, says(`"effect":1,`, ``))
	add("keys in another order", CodeApprovalForm, nil, func(v *approvalVector) {
		says(`"effect":1,`, ``)(v)
		says(`"decimals":6,`, `"effect":1,"decimals":6,`)(v)
	})
	add("a key twice", CodeApprovalForm, nil, says(`"effect":1,`, `"effect":1,"effect":1,`))
	add("an amount with a zero in front", CodeApprovalForm, nil, says(`"maxAmount":"5000000"`, `"maxAmount":"05000000"`))
	add("an amount as a number", CodeApprovalForm, nil, says(`"maxAmount":"5000000"`, `"maxAmount":5000000`))
	add("an account without capitals", CodeApprovalForm, nil, func(v *approvalVector) {
		account := testWallet(t, 1).Address().Hex()
		says(account, strings.ToLower(account))(v)
	})
	add("a line break in the summary", CodeApprovalForm, nil, says(`send 5 USDC`, `send 5\nUSDC`))
	add("no tool's name", CodeApprovalForm, nil, says(`"tool":"erc20.transfer"`, `"tool":"Erc20"`))
	return list
}

func TestApprovalVectors(t *testing.T) {
	made := approvalVectors(t)
	for _, v := range casesOf(t, "approval.json", made) {
		a, err := ParseApproval([]byte(v.Message))
		if err == nil {
			digest, err2 := a.Digest()
			if got := "0x" + hex.EncodeToString(digest[:]); err2 != nil || got != v.Digest {
				t.Errorf("%s: digest %s (%v), want %s", v.Name, got, err2, v.Digest)
			}
			var sig []byte
			if sig, err = ParseSig(v.Signature); err == nil {
				err = a.Verify(sig, time.Unix(v.Now, 0))
			}
		}
		if code(err) != v.Code {
			t.Errorf("%s: got %q (%v), want %q", v.Name, code(err), err, v.Code)
		}
	}
}
