package money

// Assets that the runtime itself counts in budgets.
var (
	Calls  = Asset{Symbol: "calls"}            // tool calls
	Tokens = Asset{Symbol: "tokens"}           // model tokens, input and output
	USD    = Asset{Symbol: "usd", Decimals: 9} // model cost, in nano-dollars
)
