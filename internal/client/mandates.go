package client

import (
	"context"

	"github.com/writ-run/writ/agent/wire"
)

// AskMandate returns what the wallet signs to let the agent pay a token from its account; the grant's only token if
// there is none. account is a smart account that the wallet owns; the wallet itself if empty.
func AskMandate(ctx context.Context, c *Client, token, account string) (out wire.MandateAsk, err error) {
	p := wire.MandateAskParams{Token: token, Account: account}
	return out, c.callWithRetries(ctx, wire.MandateAskFor, p, &out, false)
}

// PutMandate hands over what the wallet has signed.
func PutMandate(ctx context.Context, c *Client, p wire.MandatePutParams) (out wire.GivenMandate, err error) {
	return out, c.callWithRetries(ctx, wire.MandatePut, p, &out, true)
}

// Mandates lists what the session has handed over.
func Mandates(ctx context.Context, c *Client) ([]wire.GivenMandate, error) {
	var out wire.GivenMandates
	err := c.callWithRetries(ctx, wire.MandateList, wire.None{}, &out, false)
	return out.Mandates, err
}

// ForgetMandate has the server forget one.
func ForgetMandate(ctx context.Context, c *Client, hash string) error {
	return c.callWithRetries(ctx, wire.MandateForget, wire.MandateForgetParams{Hash: hash}, nil, true)
}
