package eth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/writ-run/writ/provenance/logproof"
)

const (
	maxEvents  = 16 << 20 // bytes of the response that lists events
	maxAnchors = 50_000   // events; one an hour for more than five years
)

// ParseContract reads the address of a contract, alone or by CAIP-10 with its chain, which is 0 if it is not said.
func ParseContract(s string) (chain uint64, contract [20]byte, err error) {
	if rest, ok := strings.CutPrefix(s, "eip155:"); ok {
		id, address, _ := strings.Cut(rest, ":")
		if chain, err = strconv.ParseUint(id, 10, 63); err != nil || chain == 0 {
			return 0, contract, errors.New("not a chain's EIP-155 id")
		}
		s = address
	}
	var b data
	if err := b.UnmarshalText([]byte(s)); err != nil || len(b) != len(contract) {
		return 0, contract, errors.New("not an address: 0x and 40 hex digits")
	}
	return chain, [20]byte(b), nil
}

// Anchors returns the anchors that a contract has made, from a block on, with the times of their blocks, and the code
// of the contract. Nothing of it is judged: see [logproof.Anchors].
func (c *Client) Anchors(ctx context.Context, contract [20]byte, from uint64) (*logproof.Anchors, error) {
	chain, err := c.ChainID(ctx)
	if err != nil {
		return nil, err
	}
	a := &logproof.Anchors{Chain: chain, Contract: contract}
	var code data
	if err := c.Call(ctx, maxAnswer, &code, "eth_getCode", data(contract[:]), "latest"); err != nil {
		return nil, err
	}
	a.Code = code
	var events []anchorEvent
	err = c.Call(ctx, maxEvents, &events, "eth_getLogs", map[string]any{
		"address": data(contract[:]), "topics": []data{logproof.AnchorTopic[:]},
		"fromBlock": "0x" + strconv.FormatUint(from, 16), "toBlock": "latest",
	})
	if err != nil {
		return nil, err
	}
	if events == nil {
		return nil, fmt.Errorf("%s: it says nothing of the contract's events", c.host)
	}
	if len(events) > maxAnchors {
		return nil, fmt.Errorf("%s: %d anchors at once are too many; begin at a later block", c.host, len(events))
	}
	for _, e := range events {
		if e.Removed {
			continue
		}
		x, err := c.readAnchor(ctx, e)
		if err != nil {
			return nil, err
		}
		a.List = append(a.List, x)
	}
	return a, nil
}

// An anchorEvent is an event of a contract, as eth_getLogs returns it.
type anchorEvent struct {
	Block   quantity  `json:"blockNumber"`
	Time    *quantity `json:"blockTimestamp"` // of newer nodes
	Topics  []data    `json:"topics"`
	Data    data      `json:"data"`
	Removed bool      `json:"removed"`
}

func (c *Client) readAnchor(ctx context.Context, e anchorEvent) (x logproof.Anchor, err error) {
	ok := len(e.Topics) == 2 && len(e.Topics[1]) == 32
	if ok {
		x, ok = logproof.ReadAnchor([32]byte(e.Topics[1]), e.Data)
	}
	if !ok {
		return x, fmt.Errorf("%s: an event that is no anchor", c.host)
	}
	x.Block = uint64(e.Block)
	if e.Time != nil {
		x.Time = int64(*e.Time)
		return x, nil
	}
	b, err := c.At(ctx, x.Block)
	if err != nil {
		return x, err
	}
	x.Time = b.Time.Unix()
	return x, nil
}
