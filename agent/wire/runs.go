package wire

import "encoding/json"

// StartParams ask an agent something. The exact bytes of this object become the run's first record.
type StartParams struct {
	Agent  string `json:"agent" form:"name"`
	Input  string `json:"input" form:"text" max:"65536"`
	Key    string `json:"idempotency_key" form:"key"` // the same key with the same params gives the same run
	Thread string `json:"thread,omitempty" form:"name"`
}

// Started names the run.
type Started struct {
	Run string `json:"run" form:"cid"`
	Seq uint64 `json:"seq"` // of its newest step
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
}

// ListParams bound a list.
type ListParams struct {
	Limit uint64 `json:"limit,omitempty" max:"1000"` // 100 if absent
}

// Runs lists the wallet's runs, newest first.
type Runs struct {
	Runs []Run `json:"runs"`
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
}

// A RunDelta is text as a model writes it. It is not durable: some may be missing, and the next event replaces all. Where
// a policy could still refuse or change the text, or a secret could be in it, none is sent: the event has what was decided.
type RunDelta struct {
	Sub   string `json:"sub" form:"name"`
	Run   string `json:"run" form:"cid"`
	After uint64 `json:"after_seq"`
	Text  string `json:"text" form:"text"`
}

// A RunReceipt is the proof that a head of the run stands in the server's transparency log: keep it. It comes soon after
// the run opened, parked or closed, and the newest can be had again by provenance.get.
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

// An Event is what came in. Kind says which of the other fields are there; a payload that was erased is absent.
//
//	ask      Input, Key
//	reply    Of, and Model, Text, Calls, or Failed; no Text if the step says something else in its place
//	result   Of, Status, Output
//	verdict  Of, Approved, Why
//	lapse    Of unless it is the whole run, Why
type Event struct {
	Kind     string          `json:"kind" form:"name"`
	Of       *Ref            `json:"of,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"` // the params of run.start as they were signed
	Key      string          `json:"key,omitempty" form:"did"`
	Model    *ModelCall      `json:"model,omitempty"`
	Text     string          `json:"text,omitempty" form:"text"`
	Calls    []ToolAsk       `json:"calls,omitempty"`
	Failed   string          `json:"failed,omitempty" form:"text"`
	Status   string          `json:"status,omitempty" form:"name"`
	Output   json.RawMessage `json:"output,omitempty"`
	Took     int64           `json:"took,omitempty"` // ms
	Approved bool            `json:"approved,omitempty"`
	Why      string          `json:"why,omitempty" form:"text"`
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
//	say        Text
//	deny       Of, Tool, Decisions
//	close      Reason, Totals
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
	Decisions []Decision      `json:"decisions,omitempty"`
	Reason    string          `json:"reason,omitempty" form:"name"`
	Totals    *Totals         `json:"totals,omitempty"`
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
}

// Totals sum up a run.
type Totals struct {
	Turns uint64   `json:"turns"`
	Calls uint64   `json:"calls"`
	In    uint64   `json:"tokens_in"`
	Out   uint64   `json:"tokens_out"`
	Cost  int64    `json:"cost_nano"`
	Spent []Amount `json:"spent,omitempty"`
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
}

// Approvals lists the wallet's open ones.
type Approvals struct {
	Approvals []Approval `json:"approvals"`
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
