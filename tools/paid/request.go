package paid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/x402"
)

// An answer is what both tools return.
type answer struct {
	*fetch.Page
	Request *x402.Request `json:"request,omitempty"` // what is posted; with GET there is none
	Offers  []offered     `json:"offers,omitempty"`  // what the address costs: one of them is to be paid
	Refused []string      `json:"refused,omitempty"` // why other terms of the server's cannot be met
	Payment *x402.Payment `json:"payment,omitempty"`
	Note    string        `json:"note,omitempty"`
}

// offered is terms that can be met, as the arguments of a call that pays them.
type offered struct {
	Amount  string `json:"amount"`
	Token   string `json:"token"`
	To      string `json:"to"`
	Seconds int64  `json:"seconds"` // how long the payment may take
	Display string `json:"display"`
}

// A visit is what a server is asked for.
type visit struct {
	url  *url.URL
	post *x402.Request // nil with GET
	body string
}

// planVisit checks what a call asks for: its body, and its address against the operator's hosts and the grant's.
func (s *shop) planVisit(in tools.Input) (*visit, error) {
	u, err := s.checkAddress(in)
	if err != nil {
		return nil, err
	}
	v := &visit{u, x402.RequestOf(in.Args), in.Args.Value(x402.ArgBody).Text}
	if v.post != nil {
		if err := v.post.CheckBody(v.body); err != nil {
			return nil, errorf("bad_body", "The body is said to be %s, and %s; nothing was paid.", v.post.Type, err)
		}
	}
	return v, nil
}

func (s *shop) checkAddress(in tools.Input) (*url.URL, error) {
	raw := in.Args.Value("url").Text
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" || strings.ContainsFunc(raw,
		func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, errorf("host_not_allowed", "That is not an address that can be asked.")
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !s.cfg.Private),
		u.Port() != "" && u.Port() != "443" && !s.cfg.Private:
		return nil, errorf("host_not_allowed", "Only https addresses on the usual port can be asked.")
	case !slices.Contains(s.cfg.Hosts, host):
		return nil, errorf("host_not_allowed", "The host %q is not one that the operator lets be paid. %s",
			wording.Clip(host, 100), reachable(s.cfg))
	case len(in.Hosts) > 0 && !slices.Contains(in.Hosts, host):
		return nil, errorf("host_not_allowed", "The host %q is not one that the wallet's grant names.",
			wording.Clip(host, 100))
	}
	return u, nil
}

// request makes one request. No redirect is followed: who was asked is who answers.
func (s *shop) request(ctx context.Context, v *visit, header, value string) (*http.Response, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if v.post != nil {
		method, body = v.post.Method, strings.NewReader(v.body)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.url.String(), body)
	if err != nil {
		return nil, err
	}
	if v.post != nil {
		req.Header.Set("Content-Type", v.post.Type)
	}
	req.Header.Set("User-Agent", "writ")
	req.Header.Set("Accept", "application/json, text/plain;q=0.9, text/html;q=0.8, */*;q=0.1")
	if header != "" {
		req.Header.Set(header, value)
	}
	return s.http.Do(req)
}

// explain makes an error of a request that a model may read. Nothing was paid by then.
func (s *shop) explain(ctx context.Context, u *url.URL, err error) error {
	switch {
	case errors.Is(err, reach.ErrPrivate):
		return errorf("address_not_allowed", "The host %q leads into a private network, which is not asked.",
			wording.Clip(u.Hostname(), 100))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errorf("timeout", "The server did not answer within %s; nothing was paid.", s.cfg.Timeout)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errorf("unreachable", "The server cannot be reached, or its answer broke off; nothing was paid.")
}

// ask asks for an address without paying. The offer is nil if none is made; raw is the body of the answer.
func (s *shop) ask(ctx context.Context, v *visit) (*x402.Offer, *fetch.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	u := v.url
	res, err := s.request(ctx, v, "", "")
	if err != nil {
		return nil, nil, s.explain(ctx, u, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusPaymentRequired {
		if res.StatusCode >= 300 && res.StatusCode < 400 {
			return nil, nil, errorf("redirected", "The server leads to another address, which is not followed; "+
				"nothing was paid.")
		}
		return nil, s.read(u, res), nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, x402.MaxOffer+1))
	if err != nil {
		return nil, nil, s.explain(ctx, u, err)
	}
	o, err := x402.ReadOffer(res.Header, body)
	if err != nil {
		return nil, nil, errorf("no_offer", "The server wants to be paid, and %s; nothing was paid.", err)
	}
	return o, s.pageOf(u, res.StatusCode), nil
}

// pageOf is a page of which nothing is read.
func (s *shop) pageOf(u *url.URL, status int) *fetch.Page {
	return &fetch.Page{
		URL: wording.Clip(wording.Visible(u.String()), 2000), Status: status,
		Origins: []string{"web:" + strings.ToLower(u.Hostname())},
	}
}

// read reads an answer's text. One that is no text, or breaks off, has none: what it is for may have been paid.
func (s *shop) read(u *url.URL, res *http.Response) *fetch.Page {
	out := s.pageOf(u, res.StatusCode)
	p, err := fetch.ReadPage(res, s.cfg.MaxBytes, maxText)
	if err != nil {
		return out
	}
	p.URL, p.Status, p.Origins = out.URL, out.Status, out.Origins
	return p
}

// choose returns those of an offer's terms that can be met, and why others cannot.
func (s *shop) choose(o *x402.Offer) (terms []x402.Terms, offers []offered, refused []string) {
	refused = slices.Clone(o.Refused)
	for _, t := range o.Terms {
		most, err := s.assetOf(&t)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		amount := money.FromUint256(most.Asset(), t.Amount)
		if more, err := amount.Cmp(most); err != nil || more > 0 {
			refused = append(refused, fmt.Sprintf("it costs %s, and at most %s may be paid by a call", amount, most))
			continue
		}
		terms = append(terms, t)
		number, _, _ := strings.Cut(strings.ReplaceAll(amount.String(), ",", ""), " ")
		offers = append(offers, offered{number, amount.Asset().Symbol, t.PayTo.Hex(), t.Seconds, amount.String()})
	}
	return terms, offers, refused
}

func listOffers(offers []offered) string {
	var all []string
	for _, o := range offers {
		all = append(all, o.Display+" to "+o.To)
	}
	return strings.Join(all, ", or ")
}

// assetOf returns the most that may be paid of the asset that terms want.
func (s *shop) assetOf(t *x402.Terms) (money.Amount, error) {
	if t.Chain != s.cfg.Book.Chain {
		return money.Amount{}, fmt.Errorf("it is to be paid on chain %d, and this agent pays on chain %d", t.Chain,
			s.cfg.Book.Chain)
	}
	for _, m := range s.cfg.Most {
		if s.cfg.Book.Tokens[m.Asset().Symbol].Address == t.Asset {
			return m, nil
		}
	}
	return money.Amount{}, fmt.Errorf("it is to be paid in the token %s, with which this agent does not pay",
		t.Asset.Hex())
}

// Call asks for the offer, or pays it. An [*tools.Error] says that nothing was paid.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	v, err := t.planVisit(in)
	if t.pays {
		return t.buy(ctx, in, v, err)
	}
	if err != nil {
		return nil, err
	}
	o, page, err := t.ask(ctx, v)
	e, certain := errors.AsType[*tools.Error](err)
	if certain && v.post != nil && (e.Code == "timeout" || e.Code == "unreachable") {
		return nil, errors.New(e.Message) // the server may have the body, and have done what it says
	}
	if err != nil {
		return nil, err
	}
	out := answer{Page: page, Request: v.post}
	if o == nil {
		out.Note = "It asks for no payment."
		return encode(out)
	}
	_, out.Offers, out.Refused = t.choose(o)
	if out.Note = "None of its terms can be met."; len(out.Offers) > 0 {
		pays := ".get pays that."
		if v.post != nil {
			pays = ".post of the same body pays that."
		}
		out.Note = "It costs " + listOffers(out.Offers) + ". " + t.cfg.Name + pays
	}
	return encode(out)
}

func encode(a answer) ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return tools.CanonicalJSON(b)
}
