package paid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/x402"
)

// A purchase is a call that pays, on its way.
type purchase struct {
	*shop
	in     tools.Input
	intent x402.Intent
	visit  *visit

	payment *x402.Payment
	page    *fetch.Page // what the server answered to the payment
	says    *x402.Settlement
	shown   bool   // the authorisation has left this program, so that somebody might use it
	header  string // by which the request pays, and its value
	value   string
	end     int64 // unix seconds; the authorisation does not hold from then on
}

// buy pays an offer and returns what is there. If an authorisation is in somebody's hands, of this process or maybe of
// an earlier one, nothing is said of it for certain before the chain says it. bad is why the address is none to buy at,
// which it may have been for an earlier process.
func (t *Tool) buy(ctx context.Context, in tools.Input, v *visit, bad error) ([]byte, error) {
	p := &purchase{
		shop: t.shop, in: in, visit: v, intent: x402.Intent{Args: in.Args, Key: in.Key, At: in.At, Book: t.cfg.Book},
		end: in.At/1000 + int64(t.cfg.Window/time.Second),
	}
	err := bad
	if err == nil {
		err = p.prepare(ctx)
	}
	if err != nil && !in.Again && !p.shown {
		return nil, err
	}
	if err == nil {
		p.send(ctx)
	}
	settled, unknown := p.awaitOutcome(ctx)
	switch {
	case unknown != nil:
		return nil, unknown
	case settled == nil && err != nil:
		return nil, err
	case settled == nil:
		return nil, p.explainUnpaid()
	case err != nil: // what the server wanted from an earlier process is not known any more; %v, since it was done
		return nil, fmt.Errorf("it was paid, in the transaction %s, and then: %v", settled.Tx, err)
	}
	p.payment.Settled = *settled
	return encode(answer{Page: p.page, Request: v.post, Payment: p.payment, Note: p.describe()})
}

// prepare asks for the offer, signs what pays it, and shows that to the token. Its errors are [*tools.Error], unless
// ctx has ended.
func (p *purchase) prepare(ctx context.Context) error {
	if err := p.checkAmount(); err != nil {
		return err
	}
	if err := p.checkChain(ctx); err != nil {
		return p.explainChain(ctx, err)
	}
	o, page, err := p.ask(ctx, p.visit)
	if err != nil {
		return err
	}
	if o == nil && p.visit.post != nil {
		return errorf("no_offer", "The server asks for no payment, it answers %d and may have done what the body says; "+
			"nothing was paid. Do not post it again without the user's word.", page.Status)
	}
	if o == nil {
		return errorf("no_offer", "The server asks for no payment now, it answers %d; nothing was paid. "+
			"Read it with %s.offer.", page.Status, p.cfg.Name)
	}
	terms, err := p.match(o)
	if err != nil {
		return err
	}
	seconds := int64(p.cfg.Window / time.Second)
	a, err := p.intent.Authorize(terms, p.from, seconds)
	if err != nil {
		return errorf("offer_changed", "The offer cannot be paid: %s.", err)
	}
	if !p.in.Again { // else an earlier process may have signed by an offer that allowed more time than this one
		p.end = int64(a.Before)
	}
	if left := p.end - time.Now().Unix(); left < int64(p.least/time.Second) && !p.in.Again {
		return errorf("too_late", "The payment would have to be made within %d seconds, which is too short; "+
			"nothing was paid.", max(left, 0))
	}
	var sig []byte
	if p.payment, sig, err = x402.NewPayment(terms, a, p.key); err != nil {
		return errorf("failed", "The payment could not be signed; tell the operator.")
	}
	if p.header, p.value, err = o.Header(terms, a, sig); err != nil {
		return errorf("failed", "The payment could not be written; tell the operator.")
	}
	if err := p.checkToken(ctx, terms, a, sig); err != nil {
		return p.explainChain(ctx, err)
	}
	return nil
}

// leastTime is how long an authorisation must hold from when it is sent: facilitators want some seconds.
const leastTime = 8 * time.Second

// checkAmount checks the call against the operator's bounds.
func (p *purchase) checkAmount() error {
	amount := p.in.Args.Amount
	for _, m := range p.cfg.Most {
		if m.Asset() != amount.Asset() {
			continue
		}
		if more, err := amount.Cmp(m); err == nil && more <= 0 && !amount.IsZero() {
			return nil
		}
		return errorf("too_much", "A call pays at most %s, and more than nothing; nothing was paid.", m)
	}
	return errorf("unknown_token", "This tool pays with %s only; nothing was paid.", mostOf(p.cfg))
}

// match finds the terms of an offer that are the call's.
func (p *purchase) match(o *x402.Offer) (*x402.Terms, error) {
	terms, offers, refused := p.choose(o)
	for i := range terms {
		if p.intent.CheckTerms(&terms[i]) == nil {
			return &terms[i], nil
		}
	}
	switch {
	case len(offers) > 0:
		return nil, errorf("offer_changed", "The server wants something else than the call says: %s. Nothing was paid.",
			listOffers(offers))
	case len(refused) > 0:
		return nil, errorf("no_offer", "None of the server's terms can be met (%s); nothing was paid.",
			strings.Join(refused[:min(len(refused), 4)], "; "))
	}
	return nil, errorf("no_offer", "The server names no terms; nothing was paid.")
}

// send shows the payment to the server. What it answers, and whether, does not say whether it was paid.
func (p *purchase) send(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	p.page = p.pageOf(p.visit.url, 0)
	res, err := p.request(ctx, p.visit, p.header, p.value)
	if err != nil {
		return
	}
	defer res.Body.Close()
	p.page = p.read(p.visit.url, res)
	if p.says, err = x402.ReadSettlement(res.Header); err != nil {
		p.says = nil // a word that cannot be read is none
	}
	if s := p.says; s != nil {
		says := &x402.Says{Success: s.Success, Reason: s.Reason}
		if s.Transaction != [32]byte{} {
			says.Tx = s.Transaction.Hex()
		}
		p.payment.Says = says
	}
}

// explainUnpaid says that nothing was paid, and what the server has said.
func (p *purchase) explainUnpaid() error {
	const over = "the authorisation was not used and is over"
	switch s := p.says; {
	case s != nil && s.Success:
		return errorf("not_settled", "The server says that it was paid, and the chain does not show it: %s. "+
			"Nothing was paid, and what the server answered is not kept.", over)
	case s != nil && s.Reason != "":
		return errorf("not_settled", "The server did not take the payment (%s); %s. Nothing was paid.", s.Reason, over)
	case p.page == nil || p.page.Status == 0:
		return errorf("not_settled", "The server did not answer, or its answer broke off; %s. Nothing was paid.", over)
	}
	return errorf("not_settled", "The server answered %d %s and took no payment; %s. Nothing was paid.", p.page.Status,
		http.StatusText(p.page.Status), over)
}

// describe says what a reader of the answer should know of a payment that was made; "" if all is as it should be.
func (p *purchase) describe() string {
	var notes []string
	switch status := p.page.Status; {
	case status == 0:
		notes = append(notes, "it was paid, and the server did not answer, or its answer broke off")
	case status == http.StatusPaymentRequired:
		notes = append(notes, "it was paid, and the server wants to be paid again; it is not")
	case status < 200 || status > 299:
		notes = append(notes, fmt.Sprintf("it was paid, and the server answered %d %s", status, http.StatusText(status)))
	case p.page.Text == "" && p.page.Type == "":
		notes = append(notes, "what the server returned is no text, and is not kept")
	}
	switch s := p.says; {
	case s != nil && !s.Success:
		notes = append(notes, "the server says that the payment failed, and the chain shows that it was made")
	case s != nil && s.Transaction != [32]byte{} && s.Transaction.Hex() != p.payment.Settled.Tx:
		notes = append(notes, "the server names another transaction than the one that has paid")
	}
	if len(notes) == 0 {
		return ""
	}
	s := strings.Join(notes, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

// explainChain makes an error of what was asked of the chain one that a model may read. It is told once it is certain
// that nothing was paid.
func (p *purchase) explainChain(ctx context.Context, err error) error {
	if _, told := errors.AsType[*tools.Error](err); told || ctx.Err() != nil {
		return err
	}
	return errorf("chain_unavailable", "The chain cannot be asked now, so nothing was paid; try again in a minute.")
}
