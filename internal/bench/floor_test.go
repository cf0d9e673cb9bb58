package main

import (
	"fmt"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

// A spend is what twenty rules ask about.
type spend struct {
	tool, class, asset           string
	chain, turn                  uint64
	now, expires                 int64
	amount, spent, reserved, cap uint256.Int
	to                           common.Address
}

// rulesInGo is the policy set of BenchmarkDecide20Rules1000Set written by hand: 16 forbids, 4 permits, a set of 1,000
// addresses, a reservation.
type rulesInGo struct {
	tools   [16]string
	limits  [16]uint256.Int
	chains  [16]uint64
	most    uint256.Int
	friends map[common.Address]bool
}

//go:noinline
func (r *rulesInGo) decide(s *spend) bool {
	for i := range r.tools {
		if s.tool == r.tools[i] || s.amount.Gt(&r.limits[i]) && s.chain == r.chains[i] {
			return false
		}
	}
	permits := [4]bool{
		s.class == "read",
		s.expires-s.now < 3_600_000 && s.turn < 3,
		len(s.tool) > 1 && s.tool[:2] == "x.",
		s.asset == "USDC" && !s.amount.Gt(&r.most) && r.friends[s.to],
	}
	var sum uint256.Int
	sum.Add(&s.spent, &s.reserved)
	_, over := sum.AddOverflow(&sum, &s.amount)
	return (permits[0] || permits[1] || permits[2] || permits[3]) && !over && !sum.Gt(&s.cap)
}

// BenchmarkRulesInGo is the floor of a decision: no expression, no reasons, no record.
func BenchmarkRulesInGo(b *testing.B) {
	r := rulesInGo{most: *uint256.NewInt(50_000_000), friends: make(map[common.Address]bool)}
	for i := range r.tools {
		r.tools[i], r.limits[i], r.chains[i] = fmt.Sprintf("bad%d", i), *uint256.NewInt(uint64(100+i) * 1e6), uint64(100+i)
	}
	for i := range 1000 {
		r.friends[common.HexToAddress(fmt.Sprintf("0x%040x", i*7919+1))] = true
	}
	s := spend{tool: "erc20.transfer", class: "chain", asset: "USDC", chain: 8453, turn: 2, now: 1_700_000_000_000,
		expires: 1_700_009_000_000, amount: *uint256.NewInt(5_000_000), cap: *uint256.NewInt(1_000_000_000),
		to: common.HexToAddress(fmt.Sprintf("0x%040x", 776*7919+1))}
	if !r.decide(&s) {
		b.Fatal("denied")
	}
	b.ReportAllocs()
	for b.Loop() {
		r.decide(&s)
	}
}
