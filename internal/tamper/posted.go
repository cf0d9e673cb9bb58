package tamper

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/auth/httpsig"
	"github.com/writ-run/writ/provenance"
)

// postedWorld is the small run, whose request is a body of Chat Completions that the session's account signed.
func postedWorld() *world {
	w := smallWorld()
	w.posts = foreign.Chat
	return w
}

const postedSalt = "c2FsdCBvZiBhIGJvZHkuLi" // what a client makes by chance

// bodyOf is a body of Chat Completions that asks an agent for something.
func bodyOf(agent, input string) []byte {
	raw, err := json.Marshal(map[string]any{
		"model": "writ/" + agent, "temperature": 0, "messages": []any{map[string]any{"role": "user", "content": input}},
		"metadata": map[string]any{"writ_salt": postedSalt},
	})
	if err != nil {
		panic(err) // of texts
	}
	return raw
}

// signPosted has the session's account sign a request as ERC-8128 has it.
func (h *history) signPosted(ask *provenance.Ask, body []byte) error {
	r := httpsig.Request{
		Method: "POST", Scheme: "https", Authority: "agents.example.com", Body: body,
		Path: auth.HTTPFramePath(h.run.Grant, ask.Method),
		Header: map[string][]string{
			"Content-Type": {"application/json"}, "X-Writ-Session": {h.run.Grant.String()},
		},
	}
	if h.posted != nil {
		h.posted(&r)
	}
	_, digits, _ := strings.Cut(h.poster.Secret(), ":")
	by, err := auth.ParseWallet("0x" + digits)
	if err != nil {
		return err
	}
	digest, input, base := httpsig.Prepare(r, httpsig.Claims{
		Created: start.Unix(), Expires: start.Unix() + 60, Nonce: "0123456789abcdef",
		Account: "eip155:1337:0x" + hex.EncodeToString(by.Address().Bytes()),
	})
	sig, err := by.SignText([]byte(base))
	if err != nil {
		return err
	}
	r.Header["Content-Digest"], r.Header["Signature-Input"] = []string{digest}, []string{input}
	r.Header["Signature"] = []string{"eth=:" + base64.StdEncoding.EncodeToString(sig) + ":"}
	s, err := httpsig.Read(r)
	if err != nil {
		return err
	}
	f, whole := auth.HTTPFrame(h.run.Grant, ask.Method, body, s)
	ask.Channel, ask.Seq, ask.Sig = f.Channel, f.Seq, whole
	return nil
}

// postAnother has another body stand in the record; unsigned says that the account did not sign it.
func postAnother(unsigned bool, body string) func(*bench) ([]byte, error) {
	return changeSafely(postedWorld, func(h *history) {
		h.steps[0].Event.(*provenance.Ask).Request, h.keepAsk = provenance.NewPayload([]byte(body)), unsigned
	})
}

// falsePosts are runs whose request was signed in the form of another API, and says something else than what was done.
var falsePosts = []vector{
	{Name: "honest-posted", Verdict: verified, What: "a run whose request is a body of Chat Completions, signed as it is",
		make: changeSafely(postedWorld, func(*history) {})},
	{Name: "posted-other-ask", Code: audit.CodeGrantRequest, What: "another body than the one that was signed",
		make: postAnother(true, string(bodyOf("payer", "say bye")))},
	{Name: "posted-says-other", Code: audit.CodeContextPrompt,
		What: "the signed body asks for something else than the model was asked",
		make: postAnother(false, string(bodyOf("payer", "say bye")))},
	{Name: "posted-nothing", Code: audit.CodeDecisionEvent, What: "the signed body is one that asks nothing",
		make: postAnother(false, `{"model":"payer","messages":[{"role":"user","name":"mallory","content":"say hi"}],`+
			`"metadata":{"writ_salt":"`+postedSalt+`"}}`)},
	{Name: "posted-no-chance", Code: audit.CodeDecisionEvent,
		What: "the signed body holds no chance of its client's, so that its digest tells a right guess",
		make: postAnother(false, `{"model":"payer","messages":[{"role":"user","content":"say hi"}]}`)},
	{Name: "posted-other-agent", Code: audit.CodeDecisionEvent, What: "the signed body names another agent",
		make: postAnother(false, string(bodyOf("another", "say hi")))},
	{Name: "posted-other-form", Code: audit.CodeGrantRequest, What: "a body that was signed for another API",
		make: changeSafely(postedWorld, func(h *history) {
			h.posted = func(r *httpsig.Request) { r.Path = "/v1/messages" }
		})},
	{Name: "posted-other-session", Code: audit.CodeGrantRequest, What: "a body that was signed for another session",
		make: changeSafely(postedWorld, func(h *history) {
			h.posted = func(r *httpsig.Request) {
				r.Header["X-Writ-Session"] = []string{provenance.Sum(0x71, []byte("another")).String()}
			}
		})},
	{Name: "posted-no-session", Code: audit.CodeGrantRequest, What: "a body that was signed for no session",
		make: changeSafely(postedWorld, func(h *history) {
			h.posted = func(r *httpsig.Request) { delete(r.Header, "X-Writ-Session") }
		})},
	{Name: "posted-other-key", Code: audit.CodeGrantRequest, What: "a body that another account signed",
		make: changeHistory(postedWorld, func(h *history) (err error) {
			h.poster, err = auth.Generate(auth.Secp256k1, seed("another poster"))
			return err
		})},
}
