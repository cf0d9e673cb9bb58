package wire

// UsageParams ask what the wallet's own runs have cost.
type UsageParams struct {
	By    string `json:"by,omitempty" form:"name"` // session, agent, route, model or day; day if absent
	Since int64  `json:"since,omitempty"`          // only runs that began then or later, ms UTC
}

// A UsageLine is what some calls of models come to. Money is nano-USD.
type UsageLine struct {
	Of       string `json:"of" form:"text" max:"256"` // what they have in common
	Runs     int64  `json:"runs"`
	Calls    int64  `json:"calls"`
	Failed   int64  `json:"failed"`
	In       int64  `json:"in"`
	Out      int64  `json:"out"`
	Cached   int64  `json:"cached"` // of In: read from a provider's cache
	Cost     int64  `json:"cost"`
	Doubtful int64  `json:"doubtful"` // of calls that failed and may have to be paid for
}

// Usage is what the wallet's own runs have cost.
type Usage struct {
	By    string      `json:"by" form:"name"`
	Lines []UsageLine `json:"lines"`
	Total UsageLine   `json:"total"`
	More  bool        `json:"more,omitempty"` // older runs were left out
}
