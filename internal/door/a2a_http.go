package door

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/strictjson"
)

// A binding is a form of requests and answers that the protocol has: JSON-RPC, or HTTP's own.
type binding interface {
	media() string
	wrap(result any) any
	fail(w http.ResponseWriter, e *agentError)
	wrapFailure(e *agentError) any
}

// addAgentRoutes serves the Agent2Agent protocol: JSON-RPC by POST to /a2a, the same as resources below it.
func (d *Door) addAgentRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+cardPath, d.showCard)
	mux.HandleFunc("GET "+cardKeysPath, d.showCardKeys)
	mux.HandleFunc("POST /a2a", d.answerRPC)
	mux.HandleFunc("POST /a2a/{$}", d.answerRPC) // some clients add a slash
	for pattern, name := range map[string]string{
		"POST /a2a/message:send": "SendMessage", "POST /a2a/message:stream": "SendStreamingMessage",
		"GET /a2a/tasks": "ListTasks", "GET /a2a/extendedAgentCard": "GetExtendedAgentCard",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { d.answerResource(w, r, name, "") })
	}
	mux.HandleFunc("/a2a/tasks/{id}", d.answerTask)
	mux.HandleFunc("/a2a/", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/pushNotificationConfigs") {
			d.answerResource(w, r, "GetTaskPushNotificationConfig", "")
			return
		}
		resources{}.fail(w, errAgentMethod)
	})
}

// answerTask serves a task, and what can be asked of one: tasks/ID, tasks/ID:cancel, tasks/ID:subscribe.
func (d *Door) answerTask(w http.ResponseWriter, r *http.Request) {
	id, verb, _ := strings.Cut(r.PathValue("id"), ":")
	name := map[string]string{
		"GET ": "GetTask", "POST cancel": "CancelTask",
		"POST subscribe": "SubscribeToTask", "GET subscribe": "SubscribeToTask",
	}[r.Method+" "+verb]
	if name == "" {
		resources{}.fail(w, errAgentMethod)
		return
	}
	d.answerResource(w, r, name, id)
}

// answerRPC serves one request of JSON-RPC.
func (d *Door) answerRPC(w http.ResponseWriter, r *http.Request) {
	b := calls{json.RawMessage("null")}
	body, err := readAgentBody(w, r)
	if err == nil && !json.Valid(body) {
		err = errAgentParse
	}
	if err != nil {
		b.fail(w, agentErrorOf(err))
		return
	}
	var req agentRequest
	err = wire.DecodeStrict(body, &req)
	named := len(req.ID) > 0 && (req.ID[0] == '"' || req.ID[0] == '-' || req.ID[0] >= '0' && req.ID[0] <= '9')
	if named {
		b.id = req.ID
	}
	if err != nil || !named || req.Version != "2.0" || req.Method == "" {
		b.fail(w, errAgentRequest)
		return
	}
	d.perform(w, r, b, req.Method, req.Params)
}

// An agentRequest is one of JSON-RPC 2.0.
type agentRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
}

// answerResource serves an operation whose params are the query and the path, or the body.
func (d *Door) answerResource(w http.ResponseWriter, r *http.Request, name, task string) {
	params := map[string]json.RawMessage{}
	b := resources{}
	if r.Method == http.MethodGet {
		for key, values := range r.URL.Query() {
			if len(values) > 1 {
				b.fail(w, badField(key, "it stands twice"))
				return
			}
			if key != "A2A-Version" {
				params[key] = queryValue(key, values[0])
			}
		}
	} else if err := readResourceBody(w, r, &params); err != nil {
		b.fail(w, agentErrorOf(err))
		return
	}
	if task != "" {
		params["id"] = quoteText(task)
	}
	raw, err := strictjson.Marshal(params)
	if err != nil {
		b.fail(w, errAgentParse)
		return
	}
	d.perform(w, r, b, name, raw)
}

func readResourceBody(w http.ResponseWriter, r *http.Request, params *map[string]json.RawMessage) error {
	body, err := readAgentBody(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	if json.Unmarshal(body, params) != nil {
		return errAgentParse
	}
	if err := strictjson.CheckDoubled(body); err != nil {
		return wire.Errorf(wire.CodeParse, "The body cannot be read as one thing: %v.", err)
	}
	return nil
}

func readAgentBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, errAgentParse
	}
	return body, nil
}

// queryValue is a param of the query as JSON. What is not of its kind is refused as a text would be.
func queryValue(key, value string) json.RawMessage {
	switch key {
	case "pageSize", "historyLength":
		if n, err := strconv.ParseInt(value, 10, 32); err == nil {
			return strconv.AppendInt(nil, n, 10)
		}
	case "includeArtifacts":
		if value == "true" || value == "false" {
			return json.RawMessage(value)
		}
	}
	return quoteText(value)
}

func quoteText(text string) json.RawMessage { return strictjson.AppendText(nil, text) }

// perform does one operation, and writes what comes of it.
func (d *Door) perform(w http.ResponseWriter, r *http.Request, b binding, name string, params json.RawMessage) {
	out := &agentWriter{w: w, binding: b}
	if err := d.performFor(r.Context(), r, name, params, out); err != nil && r.Context().Err() == nil {
		if failed := out.fail(agentErrorOf(err)); failed != nil {
			d.log.DebugContext(r.Context(), "answer not written", "operation", name, "err", failed)
		}
	}
}

func (d *Door) performFor(
	ctx context.Context, r *http.Request, name string, params json.RawMessage, out *agentWriter,
) error {
	key, err := keyOf(r.Header)
	if err != nil {
		return err
	}
	if !speaksVersion(r) {
		return errVersion
	}
	op, ok := operations[name]
	if !ok {
		return errAgentMethod
	}
	v, err := d.enter(ctx, key, op.method)
	if err != nil {
		return err
	}
	defer v.leave()
	if err := http.NewResponseController(out.w).SetWriteDeadline(time.Time{}); err != nil { // a run has a time of its own
		d.log.DebugContext(ctx, "no deadline", "err", err)
	}
	out.streams = op.streams
	return op.do(&guest{visitor: v, door: d}, ctx, params, out.tell)
}

// speaksVersion says whether a request is in the version that is spoken here. One that names none is in 0.3.
func speaksVersion(r *http.Request) bool {
	version := r.Header.Get("A2A-Version")
	if version == "" {
		version = r.URL.Query().Get("A2A-Version")
	}
	return version == agentProtocol || strings.HasPrefix(version, agentProtocol+".")
}

// An agentWriter writes an answer, or the elements of a stream. Before the first of them an error is an answer.
type agentWriter struct {
	w       http.ResponseWriter
	binding binding
	streams bool
	events  *eventWriter
}

func (a *agentWriter) tell(result any) error {
	if !a.streams {
		writeMedia(a.w, http.StatusOK, a.binding.media(), a.binding.wrap(result))
		return nil
	}
	if a.events == nil {
		a.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		a.w.Header().Set("Cache-Control", "no-store")
		a.w.WriteHeader(http.StatusOK)
		a.events = &eventWriter{w: a.w, control: http.NewResponseController(a.w)}
	}
	return a.events.writeEvent("", a.binding.wrap(result))
}

func (a *agentWriter) fail(e *agentError) error {
	if a.events != nil {
		return a.events.writeEvent("", a.binding.wrapFailure(e))
	}
	a.binding.fail(a.w, e)
	return nil
}

func writeMedia(w http.ResponseWriter, status int, media string, v any) {
	data, err := strictjson.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":{"message":"Something went wrong on our side."}}`)
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // whether it arrives only the client can know
}

// calls is the binding to JSON-RPC; id is the request's.
type calls struct{ id json.RawMessage }

func (calls) media() string { return "application/json" }

func (c calls) wrap(result any) any {
	return map[string]any{"jsonrpc": "2.0", "id": c.id, "result": result}
}

func (c calls) wrapFailure(e *agentError) any {
	return map[string]any{"jsonrpc": "2.0", "id": c.id, "error": e.describeRPC()}
}

// fail answers with the protocol's own errors as JSON-RPC does, and with the status of HTTP where clients of any
// protocol look for it: who may not come in, and who came too often.
func (c calls) fail(w http.ResponseWriter, e *agentError) {
	status := http.StatusOK
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		status = e.status
	}
	e.setHeaders(w.Header())
	writeMedia(w, status, c.media(), c.wrapFailure(e))
}

// resources is the binding to HTTP's own methods and paths.
type resources struct{}

func (resources) media() string { return "application/a2a+json" }

func (resources) wrap(result any) any { return result }

func (resources) wrapFailure(e *agentError) any { return e.describeStatus() }

func (r resources) fail(w http.ResponseWriter, e *agentError) {
	e.setHeaders(w.Header())
	writeMedia(w, e.status, r.media(), r.wrapFailure(e))
}
