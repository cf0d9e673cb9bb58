// Package grammar reads requests by rules: a typed grammar, made of what tools can be asked.
//
// A [Grammar] is made of the utterances of tools, whose {slots} are typed by the formats in the tools' schemas, and of
// the tools' names. It is closed: [Grammar.Read] reads a request only if it understands all of it, to the last
// character, as commands and questions joined by the grammar's own connectives. There is no list of what must not be
// said: whatever is not understood, in whatever language or layout, makes the whole request one that is not read.
//
// It has two readers. The planner makes calls of a request ([Grammar.Plan]), and asks back where it may not. The loop
// asks which calls the user has ordered in so many words. Since both read the same, what the planner does without a
// model is an order of the user's own, and nothing else is.
package grammar

const (
	maxText  = 2000 // bytes of a request that is looked at
	maxWords = 64
	// MaxClauses bounds the calls in one request.
	MaxClauses = 5
)
