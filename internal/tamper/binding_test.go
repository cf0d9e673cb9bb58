package tamper

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/mined"
)

// A chain says what the test wants of every question.
type chain struct {
	verdict auth.Verdict
	err     error
	block   [32]byte // of the last question
}

func (c *chain) AskAt(_ context.Context, _ auth.Question, block [32]byte) (auth.Answer, error) {
	c.block = block
	return auth.Answer{Verdict: c.verdict, Standing: auth.StandingContract}, c.err
}

func (c *chain) Mined(context.Context, mined.Place) (*mined.Receipt, error) {
	return nil, mined.ErrNobody
}

// TestAKeyBoundByAContractWallet: the operator's wallet is a contract. What it signed is asked again at the recorded
// block; without an endpoint the binding shows nothing, and nothing is taken from it.
func TestAKeyBoundByAContractWallet(t *testing.T) {
	block := [32]byte{7}
	car, receipt, err := makeLogged(logLie{edited: func(b *provenance.KeyBinding) {
		b.Method, b.Asked = auth.MethodEIP1271, &provenance.AskedAt{Number: 9, Block: block}
	}})
	if err != nil {
		t.Fatal(err)
	}
	unasked, _, err := makeLogged(logLie{edited: func(b *provenance.KeyBinding) { b.Method = auth.MethodEIP1271 }})
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := makeLogged(logLie{edited: func(b *provenance.KeyBinding) {
		b.Method, b.Asked = auth.MethodEIP6492, &provenance.AskedAt{Number: 9, Block: block}
	}})
	if err != nil {
		t.Fatal(err)
	}
	wallet := must(auth.ParseWallet(operatorKey)).Address()
	for _, tt := range []struct {
		rule     string
		car      []byte
		wallet   common.Address
		chain    *chain
		code     provenance.Code
		head     string // the check's status
		complete string
		unproven string
	}{
		{"the chain says so again", car, wallet, &chain{verdict: auth.Accepted}, "", provenance.Pass,
			provenance.Established, ""},
		{"nobody is asked", car, wallet, nil, "", provenance.NotChecked, provenance.Unestablished,
			"chain 1 accepted its signature at block 9, as the operator says"},
		{"the chain cannot be asked", car, wallet, &chain{err: errors.New("no such block")}, "",
			provenance.NotChecked, provenance.Unestablished, "no such block"},
		{"the chain says no", car, wallet, &chain{verdict: auth.WrongAnswer}, audit.CodeHeadBinding, "",
			provenance.Unestablished, ""},
		{"another contract's word", car, common.Address{1}, &chain{verdict: auth.Accepted}, audit.CodeHeadOperator,
			"", provenance.Unestablished, ""},
		{"no block is named", unasked, wallet, &chain{verdict: auth.Accepted}, audit.CodeHeadBinding, "",
			provenance.Unestablished, ""},
		{"the signature is of another method", other, wallet, &chain{verdict: auth.Accepted}, audit.CodeHeadBinding,
			"", provenance.Unestablished, ""},
	} {
		src, err := provenance.OpenCAR(bytes.NewReader(tt.car), int64(len(tt.car)))
		if err != nil {
			t.Fatal(err)
		}
		o := audit.Options{Log: audit.LogOptions{Wallet: tt.wallet, Receipts: [][]byte{receipt}}}
		var rep *provenance.Report
		if tt.chain == nil {
			rep = audit.Verify(src, o)
		} else {
			rep = audit.VerifyOn(t.Context(), src, o, tt.chain)
		}
		if rep.Code != tt.code || tt.head != "" && rep.Status(provenance.CheckHead).Status != tt.head ||
			rep.Completeness != tt.complete ||
			!strings.Contains(strings.Join(rep.Unproven, "\n"), tt.unproven) {
			t.Errorf("%s: %s %s %s, head %+v, completeness %s, %q", tt.rule, rep.Verdict, rep.Code, rep.Detail,
				rep.Status(provenance.CheckHead), rep.Completeness, rep.Unproven)
		}
		if tt.chain != nil && tt.code == "" && tt.chain.block != block {
			t.Errorf("%s: asked at %x, want the recorded block", tt.rule, tt.chain.block)
		}
	}
}
