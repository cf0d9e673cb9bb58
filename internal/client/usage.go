package client

import (
	"context"

	"github.com/writ-run/writ/agent/wire"
)

// ReadUsage adds up what the wallet's own runs have cost.
func ReadUsage(ctx context.Context, c *Client, p wire.UsageParams) (wire.Usage, error) {
	var out wire.Usage
	err := c.callWithRetries(ctx, wire.UsageGet, p, &out, false)
	return out, err
}
