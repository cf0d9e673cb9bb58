// Package turn is what is known of a turn of a run, and of a model that may answer it, before the model is chosen: the
// fields that routes and policies may ask of at the point model.route. All of it follows from the record.
package turn

// Facts are of one turn and one model. Amounts are in nano-USD.
type Facts struct {
	Planned    bool   // the grammar of the tools reads the whole request, so no model is needed for it
	Writes     bool   // the request asks for a tool that acts, or has the verb of one
	Verbs      string // of the offered tools that the request has, sorted, parted by a blank
	Entities   int64  // addresses, hashes, CIDs, numbers, dates and symbols that the request names
	Confidence int64  // of 100 words of the request, those that the grammar reads; 100 only if it is planned

	Input, Offered int64 // upper bound of what a model has to read, in tokens; tools that it may ask for
	Left           int64 // that the run may still cost: the least that any cap leaves
	Spent          int64 // that models have cost the session so far, what is reserved included
	Allowed        int64 // that models may cost the session in all, by its grant
	Today          int64 // the most that is used of a budget in USD by the day, what is reserved included

	Mistakes, Failed int64 // calls of the run that could not be read; models that gave no answer in this turn
	Unfounded        int64 // figures of the run's first answer that rest on nothing it was given

	// Of the run's searches in documents: how many there were, and of the newest how many passages were found, the score
	// of the first in millionths, and by how much that is above the second's.
	Searches, Found, Score, Lead int64

	TTFT50, TTFT95    int64  // of the model, ms to the first content: median and 95th percentile; 0 if not known
	Errors, Queue     int64  // of 1,000 attempts, those that failed; attempts that are under way
	Breaker           string // closed, open, half_open
	PriceIn, PriceOut int64  // for 1,000,000 tokens
}

// Files are what the user attaches to a request, as far as policies see it.
type Files struct {
	Count, Images  int64  // all of them, and those that are images
	Bytes, Largest int64  // of all, and of the largest
	Types          string // their media types, sorted, each once, parted by a blank
}
