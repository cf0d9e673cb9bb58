package wire

// ThreadsParams ask for a page of the wallet's threads.
type ThreadsParams struct {
	Agent  string `json:"agent,omitempty" form:"name"` // all agents if absent
	Limit  uint64 `json:"limit,omitempty" max:"100"`   // 50 if absent
	Cursor string `json:"cursor,omitempty" form:"cid"` // the next of the page before
}

// A Thread is a chain of runs of one agent, under a name of the wallet's choice.
type Thread struct {
	Agent  string `json:"agent" form:"name"`
	Name   string `json:"thread" form:"name"`
	Runs   uint64 `json:"runs"`
	Last   string `json:"last" form:"cid"`                       // the newest run
	Opened int64  `json:"opened"`                                // when that began, ms UTC
	Status string `json:"status" form:"name"`                    // of that run
	Asked  string `json:"asked,omitempty" form:"text" max:"512"` // the beginning of what it was asked; absent if erased
}

// Threads lists threads, those with the newest runs first.
type Threads struct {
	Threads []Thread `json:"threads"`
	Next    string   `json:"next,omitempty" form:"cid"` // the cursor of the next page, if there is one
}

// ThreadParams name a thread and a page of its runs.
type ThreadParams struct {
	Agent  string `json:"agent" form:"name"`
	Name   string `json:"thread" form:"name"`
	Limit  uint64 `json:"limit,omitempty" max:"50"`    // 20 if absent
	Cursor string `json:"cursor,omitempty" form:"cid"` // the next of the page before
}

// A Turn is one run of a thread. Texts whose keys were erased are absent.
type Turn struct {
	Run    string `json:"run" form:"cid"`
	Opened int64  `json:"opened"` // ms UTC
	Status string `json:"status" form:"name"`
	Asked  string `json:"asked,omitempty" form:"text"`
	Said   string `json:"said,omitempty" form:"text"`
}

// Turns is a thread with a page of its runs, newest first.
type Turns struct {
	Thread Thread `json:"thread"`
	Turns  []Turn `json:"turns"`
	Next   string `json:"next,omitempty" form:"cid"`
}

// RenameParams give a thread another name.
type RenameParams struct {
	Agent string `json:"agent" form:"name"`
	Name  string `json:"thread" form:"name"`
	To    string `json:"to" form:"name"`
}

// ForgetParams name a thread that is forgotten.
type ForgetParams struct {
	Agent string `json:"agent" form:"name"`
	Name  string `json:"thread" form:"name"`
}
