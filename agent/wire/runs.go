package wire

import "encoding/json"

// StartParams ask an agent something. The exact bytes of this object become the run's first record.
type StartParams struct {
	Agent  string `json:"agent" form:"name"`
	Input  string `json:"input" form:"text" max:"65536"`
	Key    string `json:"idempotency_key" form:"key"` // the same key with the same params gives the same run
	Thread string `json:"thread,omitempty" form:"name"`
	// Answer is the JSON Schema that the answer must fit; any text if it is absent.
	Answer json.RawMessage `json:"answer_schema,omitempty" max:"16384"`
	// Tools are the caller's own: a call of one waits for the caller to make it and to report.
	Tools []ClientTool `json:"client_tools,omitempty" max:"64"`
	// Files are attached: each was put here before by blob.put, or by HTTP.
	Files []Attached `json:"attach,omitempty" max:"8"`
}

// An Attached is a file that a request brings with it. Its bytes become payloads of the run's record.
type Attached struct {
	CID  string `json:"cid" form:"cid"` // CIDv1, raw, sha2-256, of the whole file
	Size uint64 `json:"size" max:"4194304"`
	Type string `json:"type" form:"media"` // what the bytes are: a text, CSV, JSON, or an image; see docs/attachments.md
	Name string `json:"name,omitempty" form:"file"`
}

// BlobParams put a piece of a file where it can be attached from: the bytes from Offset on. The first piece is at 0.
// Pieces that are there already are put again without harm; with the last one the whole is held to the CID.
type BlobParams struct {
	CID    string `json:"cid" form:"cid"`
	Size   uint64 `json:"size" max:"4194304"` // of the whole file
	Offset uint64 `json:"offset"`
	Data   string `json:"data,omitempty" form:"base64" max:"131072"` // standard base64; absent, it is only asked how much is there
}

// A Blob is a file that is being put, or is there.
type Blob struct {
	CID   string `json:"cid" form:"cid"`
	Have  uint64 `json:"have"`                        // bytes that are there; the next piece begins behind them
	Whole bool   `json:"whole"`                       // all of it is there, and has this CID
	Type  string `json:"type,omitempty" form:"media"` // what an image is, once it is whole; a text's is for the user to say
	Until int64  `json:"until"`                       // ms UTC after which it is forgotten, unless it is put or attached again
}

// ForkParams ask an agent something where another run has come to a step, whose CID is Step: what was said and done up
// to there is told, and nothing of it is done again. The other fields are those of StartParams. The exact bytes of this
// object become the run's first record.
type ForkParams struct {
	Agent  string          `json:"agent" form:"name"`
	Input  string          `json:"input" form:"text" max:"65536"`
	Key    string          `json:"idempotency_key" form:"key"`
	Step   string          `json:"step" form:"cid"`
	Answer json.RawMessage `json:"answer_schema,omitempty" max:"16384"`
	Tools  []ClientTool    `json:"client_tools,omitempty" max:"64"`
	Files  []Attached      `json:"attach,omitempty" max:"8"`
}

// Start returns what a fork asks besides the step that it goes on from.
func (p ForkParams) Start() StartParams {
	return StartParams{Agent: p.Agent, Input: p.Input, Key: p.Key, Answer: p.Answer, Tools: p.Tools, Files: p.Files}
}

// ReadAsk reads the params of a request that opens a run: a fork's with the step that it goes on from, which is empty
// otherwise.
func ReadAsk(method string, params []byte) (p StartParams, step string, err error) {
	if method != RunFork {
		return p, "", DecodeStrict(params, &p)
	}
	var f ForkParams
	err = DecodeStrict(params, &f)
	return f.Start(), f.Step, err
}

// A ClientTool is a tool that a run's caller has.
type ClientTool struct {
	Name   string          `json:"name" form:"tool"`
	About  string          `json:"about,omitempty" form:"text" max:"4096"`
	Schema json.RawMessage `json:"schema,omitempty" max:"16384"` // JSON Schema of the arguments, an object
}

// ReportParams say what came of the call of a caller's own tool.
type ReportParams struct {
	Run    string `json:"run" form:"cid"`
	Effect Ref    `json:"effect"` // the call
	Output string `json:"output" form:"text" max:"65536"`
	Failed bool   `json:"failed,omitempty"`
}

// Started names the run.
type Started struct {
	Run string `json:"run" form:"cid"`
	Seq uint64 `json:"seq"` // of its newest step
}

// SendParams say something into a run that goes on. The exact bytes of this object become a record of the run.
type SendParams struct {
	Run  string `json:"run" form:"cid"`
	Text string `json:"text" form:"text" max:"65536"`
	Key  string `json:"idempotency_key" form:"key"` // the same key with the same params is sent once
	Of   *Ref   `json:"of,omitempty"`               // the question that it answers; absent, it steers

	Files []Attached `json:"attach,omitempty" max:"8"`
}

// Sent says in which step of the run it stands. Decisions of that step say if a rule did not let it in.
type Sent struct {
	Seq uint64 `json:"seq"`
}

// A Question is what an agent asks its user, and which effect waits for the answer.
type Question struct {
	Of      Ref      `json:"of"`
	Text    string   `json:"question" form:"text" max:"2048"`
	Choices []string `json:"choices,omitempty" form:"text" max:"256"` // any other answer is one, too
}

// RunParams name a run.
type RunParams struct {
	Run string `json:"run" form:"cid"`
}

// A Run is what the index knows of one.
type Run struct {
	ID      string `json:"run" form:"cid"`
	Session string `json:"session" form:"cid"`
	Agent   string `json:"agent" form:"name"`
	Opened  int64  `json:"opened"` // ms UTC
	Steps   uint64 `json:"steps"`
	Last    string `json:"last" form:"cid"`           // the newest step
	Head    string `json:"head,omitempty" form:"cid"` // the newest signed head
	Status  string `json:"status" form:"name"`        // "running", "parked", or why it closed
	// Caller is the run whose agent called this one's, and Delegation what it acts under; absent if the user asked.
	Caller     string `json:"caller,omitempty" form:"cid"`
	Delegation string `json:"delegation,omitempty" form:"cid"`
	// Forked is the step of another run that this one goes on from; absent if it is no fork.
	Forked string `json:"forked,omitempty" form:"cid"`
	// What was asked, at most 400 bytes of it; Erased says that it was, and is absent for that.
	Asked  string `json:"asked,omitempty" form:"text" max:"512"`
	Erased bool   `json:"erased,omitempty"`
	// Outcome is Status, but that "denied" is a rule's word only: "refused" by the wallet, and "unanswered" by it in time,
	// stand apart, and "waiting" for its answer, and "asks" for the user's, do from "parked" for anything else. Rule is
	// what denied.
	Outcome string   `json:"outcome,omitempty" form:"name"`
	Rule    string   `json:"rule,omitempty" form:"text"`
	Closed  int64    `json:"closed,omitempty"`    // ms UTC
	Moved   []Amount `json:"moved,omitempty"`     // once it has closed
	Cost    int64    `json:"cost_nano,omitempty"` // of models; once it has closed
	// Asks is what the run asks its user, if Outcome is "asks".
	Asks *Question `json:"asks,omitempty"`
	// Asserted is what the operator says of calls of which it was not known whether they happened.
	Asserted []Asserted `json:"asserted,omitempty"`
}

// Asserted is the operator's word, signed by its wallet, on what came of a call. Nothing shows that it is so.
type Asserted struct {
	Effect Ref    `json:"effect"`
	As     string `json:"as" form:"name"`               // "done" or "failed"
	By     string `json:"by" form:"address"`            // the operator's wallet
	Tx     string `json:"tx,omitempty" form:"hex"`      // a transaction, as evidence
	Reason string `json:"reason,omitempty" form:"text"` // at most 200 characters
	At     int64  `json:"at"`                           // ms UTC
}

// ListParams choose runs. Of those that the others leave, Before names the one that the list goes on after.
type ListParams struct {
	Limit   uint64 `json:"limit,omitempty" max:"1000"` // 100 if absent
	Before  string `json:"before,omitempty" form:"cid"`
	Agent   string `json:"agent,omitempty" form:"name"`
	Outcome string `json:"outcome,omitempty" form:"name"`
	Find    string `json:"find,omitempty" form:"text" max:"200"` // in what was asked, or in the run's CID
}

// Runs lists the wallet's runs, newest first. Next is to be given as Before for those that follow; without it there are
// none. One answer looks at 1,000 runs at most, so it may have fewer than were asked for, or none, and a Next.
type Runs struct {
	Runs []Run  `json:"runs"`
	Next string `json:"next,omitempty" form:"cid"`
}

// From is a place in a run's log: the last event that a client has.
type From struct {
	Epoch string `json:"epoch" form:"text" max:"128"`
	Seq   uint64 `json:"seq"`
}

// SubscribeParams ask for a run's events: all that are after From, then each as it comes, until the run closes.
type SubscribeParams struct {
	Run  string `json:"run" form:"cid"`
	From *From  `json:"from,omitempty"` // from the start if absent
	// Window is how many events may be sent beyond the last one that run.ack named. Absent, only the socket's own
	// flow control counts.
	Window uint64 `json:"window,omitempty" max:"4096"`
}

// A Subscription is the answer; the events follow it on the same socket.
type Subscription struct {
	Sub string `json:"sub" form:"name"`
	// Recovered is false if From is not a place in this log. The events then start at 0, and what the client has of
	// this run is void.
	Recovered bool   `json:"recovered"`
	Epoch     string `json:"epoch" form:"text" max:"128"`
	Head      uint64 `json:"head"` // seq of the newest event there is
}

// UnsubscribeParams end a subscription.
type UnsubscribeParams struct {
	Sub string `json:"sub" form:"name"`
}

// AckParams say that all events up to Seq have been dealt with.
type AckParams struct {
	Sub string `json:"sub" form:"name"`
	Seq uint64 `json:"seq"`
}

// A RunEvent is one step of a run, in plain text for its owner. Each comes once a subscription, in order of seq.
type RunEvent struct {
	Sub   string   `json:"sub" form:"name"`
	Run   string   `json:"run" form:"cid"`
	Epoch string   `json:"epoch" form:"text" max:"128"`
	Seq   uint64   `json:"seq"`
	CID   string   `json:"cid" form:"cid"` // of the step
	At    int64    `json:"at"`             // ms UTC
	Event Event    `json:"event"`
	Does  []Effect `json:"does"`
	// Decisions are those about what came in: whether a document may be read, for instance, which a result then lacks.
	Decisions []Decision `json:"decisions,omitempty"`
}

// A RunDelta is text as a model writes it. It is not durable: some may be missing, and the next event replaces all.
// Where a policy could still refuse or change the text, or a secret could be in it, none is sent: the event has what
// was decided.
type RunDelta struct {
	Sub   string `json:"sub" form:"name"`
	Run   string `json:"run" form:"cid"`
	After uint64 `json:"after_seq"`
	Text  string `json:"text" form:"text"`
	Place uint64 `json:"place,omitempty"` // in the queue of the model that is to answer, 1 for the next; then no Text
}

// A RunReceipt is the proof that a head of the run stands in the server's transparency log: keep it. It comes soon
// after the run opened, parked or closed, and the newest can be had again by provenance.get.
type RunReceipt struct {
	Sub     string `json:"sub" form:"name"`
	Run     string `json:"run" form:"cid"`
	Seq     uint64 `json:"seq"`                             // of the step that the head names
	Head    string `json:"head" form:"cid"`                 // whose CID is the log's entry
	Receipt string `json:"receipt" form:"text" max:"65536"` // c2sp.org/tlog-proof, the head's block as its extra data
}

// A Ref names an effect: the step and its place there.
type Ref struct {
	Seq   uint64 `json:"seq"`
	Index uint64 `json:"index"`
}

// An Event is what came in. Kind says which of the other fields are there; a payload that was erased is absent, and
// Erased says that one was.
//
//	ask      Input, Key; Of if it answers a question
//	reply    Of, and Model, Text, Calls, or Failed; no Text if the step says something else in its place. With Restart,
//	         Text is what was shown before it failed: what comes next begins anew. With From, the answer is another
//	         run's, given again
//	result   Of, Status, Output
//	verdict  Of, Approved, Why
//	lapse    Of unless it is the whole run, Why
type Event struct {
	Kind     string          `json:"kind" form:"name"`
	Of       *Ref            `json:"of,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"` // the params of run.start or run.send as they were signed, or that a signed body stands for
	Key      string          `json:"key,omitempty" form:"did"`
	Model    *ModelCall      `json:"model,omitempty"`
	Text     string          `json:"text,omitempty" form:"text"`
	Calls    []ToolAsk       `json:"calls,omitempty"`
	Failed   string          `json:"failed,omitempty" form:"text"` // the failure's code, as docs/record.md lists them
	Restart  bool            `json:"restart,omitempty"`
	From     string          `json:"from,omitempty" form:"cid"` // the step that the answer stands in
	Status   string          `json:"status,omitempty" form:"name"`
	Output   json.RawMessage `json:"output,omitempty"`
	Took     int64           `json:"took,omitempty"` // ms
	Approved bool            `json:"approved,omitempty"`
	Why      string          `json:"why,omitempty" form:"text"`
	Erased   bool            `json:"erased,omitempty"`
}

// A ModelCall is what is known of a model's answer.
type ModelCall struct {
	Name     string `json:"name" form:"name"`
	Provider string `json:"provider" form:"name"`
	Asked    string `json:"asked" form:"text"`
	Answered string `json:"answered" form:"text"`
	ID       string `json:"id,omitempty" form:"text"`
	Stop     string `json:"stop,omitempty" form:"name"`
	In       uint64 `json:"tokens_in"`
	Out      uint64 `json:"tokens_out"`
	Cost     int64  `json:"cost_nano"` // nano-USD
	TTFT     int64  `json:"ttft,omitempty"`
	Took     int64  `json:"took,omitempty"` // ms
	Evidence uint64 `json:"evidence"`       // 0 claimed .. 4 re-run
}

// A ToolAsk is a tool call as a model asked for it.
type ToolAsk struct {
	Tool string          `json:"tool" form:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

// An Effect is what is to be done. Kind says which of the other fields are there.
//
//	ask_model  Route, Decisions
//	call       Of, Tool, Args, Class, Phase, Decisions
//	seek       Of, Summary, Until, Decisions
//	say        Text, Marks
//	deny       Of, Tool, Decisions
//	close      Reason, Code, Whose, Retryable, RetryAfterMS, Totals
type Effect struct {
	Kind      string          `json:"kind" form:"name"`
	Of        *Ref            `json:"of,omitempty"`
	Route     *Route          `json:"route,omitempty"`
	Tool      string          `json:"tool,omitempty" form:"text"` // its name if the server knows it, else its CID
	Args      json.RawMessage `json:"args,omitempty"`
	Class     string          `json:"class,omitempty" form:"name"`
	Phase     string          `json:"phase,omitempty" form:"name"`
	Summary   json.RawMessage `json:"summary,omitempty"`
	Until     int64           `json:"until,omitempty"` // ms UTC
	Text      string          `json:"text,omitempty" form:"text"`
	Marks     []Mark          `json:"marks,omitempty"`
	Decisions []Decision      `json:"decisions,omitempty"`
	Reason    string          `json:"reason,omitempty" form:"name"`
	// Code is the failure that a run closed by, if one did; whose it is; whether the same may work later, and when.
	Code         string  `json:"code,omitempty" form:"name"`
	Whose        string  `json:"whose,omitempty" form:"name"` // user, request, quota, provider, chain or us
	Retryable    bool    `json:"retryable,omitempty"`
	RetryAfterMS int64   `json:"retry_after_ms,omitempty"`
	Totals       *Totals `json:"totals,omitempty"`
	Erased       bool    `json:"erased,omitempty"` // a text or arguments of it are
}

// A Mark is a figure of an answer that rests on nothing that the run was given, nor is computed of it.
type Mark struct {
	From uint64 `json:"from"` // byte of the text
	To   uint64 `json:"to"`
	Kind string `json:"kind" form:"name"` // number, percentage, date, address, hash, cid, symbol, citation
	Text string `json:"text" form:"text"`
}

// A Route says which model is asked, and why.
type Route struct {
	Rule       string   `json:"rule" form:"name"`
	Kind       string   `json:"kind" form:"name"` // "rules", "scripted", "model"
	Model      string   `json:"model" form:"name"`
	Considered []string `json:"considered,omitempty" form:"name"`
	Cost       int64    `json:"cost_nano"` // the upper bound that was reserved
}

// A Decision is one policy answer.
type Decision struct {
	Point   string          `json:"point" form:"name"`
	Outcome string          `json:"outcome" form:"name"` // "permit", "approve", "deny"
	Rules   []string        `json:"rules,omitempty" form:"text"`
	Why     json.RawMessage `json:"why,omitempty"`
	Erased  bool            `json:"erased,omitempty"` // why is
}

// Totals sum up a run.
type Totals struct {
	Turns uint64   `json:"turns"`
	Calls uint64   `json:"calls"`
	In    uint64   `json:"tokens_in"`
	Out   uint64   `json:"tokens_out"`
	Cost  int64    `json:"cost_nano"`
	Spent []Amount `json:"spent,omitempty"` // what left the account, as its blocks show it
	Over  []Amount `json:"over,omitempty"`  // what of it is more than was reserved, and so maybe beyond a cap
}

// An Approval is a call that waits for the wallet.
type Approval struct {
	Run     string          `json:"run" form:"cid"`
	Effect  Ref             `json:"effect"`
	Step    string          `json:"step" form:"cid"`
	Message string          `json:"message" form:"text" max:"16384"` // to be given back unchanged with the signature
	Typed   json.RawMessage `json:"typed_data"`                      // for eth_signTypedData_v4
	Summary json.RawMessage `json:"summary,omitempty"`               // what the call would do
	Until   int64           `json:"until"`                           // ms UTC
	// Callers are the runs that wait for this one, since their agents called its; innermost first.
	Callers []string `json:"callers,omitempty" form:"cid" max:"4"`
	Name    string   `json:"name,omitempty" form:"text"` // of the payee, in the operator's address book
	// Findings are what the server has to say of the call, for the person: not signed, and not proven.
	Findings []Finding `json:"findings"`
}

// A Finding is one sentence for the person who decides. Tone is "plain", "mind" (look twice) or "stop" (this is how
// people are deceived). Kind is "payee", "resembles", "characters", "origin" or "reserve".
type Finding struct {
	Kind string `json:"kind" form:"name"`
	Tone string `json:"tone" form:"name"`
	Text string `json:"text" form:"text"`
}

// ApprovalsParams choose a page of the approvals that wait.
type ApprovalsParams struct {
	Limit  uint64 `json:"limit,omitempty" max:"1000"`  // 100 if absent; those of one run come together, beyond it too
	Cursor string `json:"cursor,omitempty" form:"cid"` // the next of the page before
}

// Approvals lists the wallet's open ones, those of the oldest runs first.
type Approvals struct {
	Approvals []Approval `json:"approvals"`
	Next      string     `json:"next,omitempty" form:"cid"` // the cursor of the next page, if there is one
}

// DecideParams answer an approval. Approve needs Message and Signature; a refusal may have a Reason.
type DecideParams struct {
	Run       string `json:"run" form:"cid"`
	Effect    Ref    `json:"effect"`
	Approve   bool   `json:"approve"`
	Message   string `json:"message,omitempty" form:"text" max:"16384"`
	Signature string `json:"signature,omitempty" form:"hex" max:"16386"`
	Reason    string `json:"reason,omitempty" form:"text" max:"200"`
	Key       string `json:"idempotency_key" form:"key"`
}

// A WalletCall is a transaction that the wallet itself is asked to send, with type 2, as eth_sendTransaction takes it.
type WalletCall struct {
	Run    string `json:"run" form:"cid"`
	Effect Ref    `json:"effect"`
	Tool   string `json:"tool" form:"name"`
	Text   string `json:"text" form:"text"` // what it does
	// Summary is what an approval of it would show: what would move, where that is not what the call says, and why the
	// wallet would be asked.
	Summary json.RawMessage `json:"summary"`
	Chain   uint64          `json:"chain"`
	From    string          `json:"from" form:"address"`
	To      string          `json:"to" form:"address"`
	Value   string          `json:"value" form:"text"` // 0x and hex digits, in wei
	Data    string          `json:"data" form:"hex" max:"32768"`
	// Parts are the calls that it makes, all or none, if it is one of a smart account (EIP-7702) to itself: for
	// wallet_sendCalls with atomicRequired, of which the wallet makes this transaction.
	Parts []WalletPart `json:"parts,omitempty"`
	// Sent is the hash of the transaction that somebody said it has sent for this; do not send another one.
	Sent string `json:"sent,omitempty" form:"hex" max:"66"`
}

// A WalletPart is one call of a [WalletCall].
type WalletPart struct {
	To    string `json:"to" form:"address"`
	Value string `json:"value" form:"text"`
	Data  string `json:"data" form:"hex" max:"32768"`
}

// WalletCalls lists those that wait, the oldest run first.
type WalletCalls struct {
	Calls []WalletCall `json:"calls"`
}

// SentParams say that the wallet has sent a [WalletCall].
type SentParams struct {
	Run    string `json:"run" form:"cid"`
	Effect Ref    `json:"effect"`
	Hash   string `json:"hash" form:"hex" max:"66"`
	Key    string `json:"idempotency_key" form:"key"`
}

// ProvenanceParams name a run and say whether the keys of its sealed leaves are wanted.
type ProvenanceParams struct {
	Run  string `json:"run" form:"cid"`
	Keys bool   `json:"keys,omitempty"` // the owner's only
}

// Provenance says where a run's record is.
type Provenance struct {
	Head string `json:"head" form:"cid"`
	Car  string `json:"car" form:"path"` // on this server
	// Log is the verifier key of the server's transparency log, and Receipt the newest head's proof that it stands
	// there, as in [RunReceipt]; absent while the log has not published it. A server without a log has neither.
	Log     string            `json:"log,omitempty" form:"text" max:"1024"`
	Receipt string            `json:"receipt,omitempty" form:"text" max:"65536"`
	Keys    map[string]string `json:"keys,omitempty" form:"base64"` // by the leaf's CID; 32 bytes each, standard base64
}
