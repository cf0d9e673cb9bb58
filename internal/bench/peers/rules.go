package main

import "fmt"

// members is how many addresses the set has.
const members = 1000

func member(i int) string { return fmt.Sprintf("0x%040x", i*7919+1) }

// A rule is one rule, in each language.
type rule struct {
	id         string
	forbid     bool
	writ       string
	cel, cedar string
	expr       string
}

// rules are 16 forbids and 4 permits; the last asks the set.
var rules = func() (out []rule) {
	for i := range 16 {
		n := 100 + i
		out = append(out, rule{id: fmt.Sprintf("forbid-%d", i), forbid: true,
			writ:  fmt.Sprintf(`tool == "bad%d" || amount > usdc("%d") && chain == %d`, i, n, n),
			expr:  fmt.Sprintf(`tool == "bad%d" || amount > %d && chain == %d`, i, n*1e6, n),
			cel:   fmt.Sprintf(`tool == "bad%d" || amount > %d && chain == %d`, i, n*1e6, n),
			cedar: fmt.Sprintf(`context.tool == "bad%d" || context.amount > %d && context.chain == %d`, i, n*1_000_000, n)})
	}
	return append(out,
		rule{id: "read", writ: `class == "read"`, expr: `class == "read"`, cel: `class == "read"`,
			cedar: `context.class == "read"`},
		rule{id: "early", writ: `expires - now < hours(1) && turn < 3`, expr: `expires - now < 3600000 && turn < 3`,
			cel: `expires - now < 3600000 && turn < 3`, cedar: `context.expires - context.now < 3600000 && context.turn < 3`},
		rule{id: "prefix", writ: `tool startsWith "x."`, expr: `tool startsWith "x."`, cel: `tool.startsWith("x.")`,
			cedar: `context.tool like "x.*"`},
		rule{id: "friend", writ: `asset == "USDC" && amount <= usdc("50") && in_set(to, "friends")`,
			expr:  `asset == "USDC" && amount <= 50000000 && to in friends`,
			cel:   `asset == "USDC" && amount <= 50000000 && to in %s`, // the members, as a constant
			cedar: `context.asset == "USDC" && context.amount <= 50000000 && %s.contains(context.to)`})
}()

// permitted is the request that is timed: every rule is looked at, and the last one, of the set, permits.
func permitted() request {
	return request{tool: "erc20.transfer", class: "chain", asset: "USDC", to: member(776), amount: 5_000_000, chain: 8453,
		now: 1_700_000_000_000, expires: 1_700_009_000_000, turn: 2}
}

// requests are what all engines must answer alike: each rule matches at least once, alone and beside others.
func requests() []request {
	with := func(change func(*request)) request {
		q := permitted()
		change(&q)
		return q
	}
	out := []request{
		permitted(),
		with(func(q *request) { q.to = member(0) }),
		with(func(q *request) { q.to = member(members - 1) }),
		with(func(q *request) { q.to = member(members) }), // a stranger
		with(func(q *request) { q.amount = 50_000_000 }),
		with(func(q *request) { q.amount = 50_000_001 }),
		with(func(q *request) { q.class = "read" }),
		with(func(q *request) { q.class, q.to = "read", member(members) }),
		with(func(q *request) { q.expires = q.now + 3_599_999 }),
		with(func(q *request) { q.expires = q.now + 3_600_000 }),
		with(func(q *request) { q.expires, q.turn, q.amount = q.now, 3, 60_000_000 }),
		with(func(q *request) { q.tool, q.amount = "x.y", 60_000_000 }),
		with(func(q *request) { q.tool, q.amount = "y.x.", 60_000_000 }),
	}
	for i := range 16 {
		out = append(out,
			with(func(q *request) { q.tool = fmt.Sprintf("bad%d", i) }),
			with(func(q *request) { q.chain, q.amount, q.class = int64(100+i), int64(100+i)*1e6, "read" }),
			with(func(q *request) { q.chain, q.amount, q.class = int64(100+i), int64(100+i)*1e6+1, "read" }))
	}
	return out
}
