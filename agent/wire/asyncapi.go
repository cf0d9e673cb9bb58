package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// AsyncAPI returns the protocol as an AsyncAPI 3.0.0 document in JSON: what OpenRPC has no words for, the notifications
// that the server sends of itself, beside the requests and their answers. It is made from [Methods] and the types, and
// is the same bytes for the same version.
func AsyncAPI(version string) []byte {
	g := generator{schemas: map[string]any{}}
	messages, operations := map[string]any{}, map[string]any{}
	socket, stream := map[string]any{}, map[string]any{}
	ref := func(to string) map[string]any { return map[string]any{"$ref": to} }
	add := func(name, summary string, payload map[string]any, channels ...map[string]any) {
		messages[name] = map[string]any{"name": name, "summary": summary, "payload": payload}
		for _, c := range channels {
			c[name] = ref("#/components/messages/" + name)
		}
	}
	on := func(channel, message string) []any {
		return []any{ref("#/channels/" + channel + "/messages/" + message)}
	}
	for _, m := range Methods() {
		ask, answer := m.Name+".request", m.Name+".response"
		add(ask, m.About, g.requestSchema(m), socket)
		add(answer, "Answers "+m.Name+".", g.answerSchema(m), socket)
		operations[m.Name] = map[string]any{
			"action": "receive", "summary": m.About, "channel": ref("#/channels/socket"), "messages": on("socket", ask),
			"reply": map[string]any{"channel": ref("#/channels/socket"), "messages": on("socket", answer)},
		}
	}
	for _, n := range notes() {
		channels := []map[string]any{socket}
		if n.name != NoteHello {
			channels = append(channels, stream)
		}
		add(n.name, n.about, g.noteSchema(n), channels...)
		operations["on."+n.name] = map[string]any{
			"action": "send", "summary": n.about, "channel": ref("#/channels/socket"), "messages": on("socket", n.name),
		}
	}
	doc, err := json.MarshalIndent(map[string]any{
		"asyncapi": "3.0.0",
		"info": map[string]any{
			"title": "writ", "version": version,
			"description": "Seen from the server: it receives requests, and sends answers and notifications. " +
				"Docs: /docs/protocol.",
		},
		"defaultContentType": "application/json",
		"channels": map[string]any{
			"socket": map[string]any{
				"address": "/ws", "messages": socket,
				"description": "WebSocket, subprotocol " + Subprotocol + ", one object a text frame.",
			},
			"events": map[string]any{
				"address": Path, "messages": stream,
				"description": "Server-sent events: the answer to a posted " + RunSubscribe +
					" with Accept: text/event-stream. The id of an event is its place, for Last-Event-ID.",
			},
		},
		"operations": operations,
		"components": map[string]any{"schemas": g.schemas, "messages": messages},
	}, "", "  ")
	if err != nil { // maps of texts, numbers and the like
		panic(fmt.Sprintf("wire: %v", err))
	}
	return append(doc, '\n')
}

// envelope returns the schema of a JSON-RPC object with these members besides jsonrpc.
func envelope(members map[string]any, required ...string) map[string]any {
	members["jsonrpc"] = map[string]any{"const": "2.0"}
	return map[string]any{"type": "object", "properties": members, "required": append([]string{"jsonrpc"}, required...)}
}

// anyID is what an id may be.
var anyID = map[string]any{"type": []string{"string", "integer"}}

func (g *generator) requestSchema(m Method) map[string]any {
	members := map[string]any{"id": anyID, "method": map[string]any{"const": m.Name}, "params": g.schemaOf(m.Params, "")}
	if m.Access == Signed || m.Access == Either {
		members["auth"] = g.schemaOf(reflect.TypeFor[Auth](), "")
	}
	if m.Access == Signed {
		return envelope(members, "id", "method", "auth")
	}
	return envelope(members, "id", "method")
}

func (g *generator) answerSchema(m Method) map[string]any {
	return envelope(map[string]any{
		"id": anyID, "result": g.schemaOf(m.Result, ""), "error": g.schemaOf(reflect.TypeFor[Error](), ""),
	}, "id")
}

func (g *generator) noteSchema(n note) map[string]any {
	return envelope(map[string]any{
		"method": map[string]any{"const": n.name}, "params": g.schemaOf(n.params, ""),
	}, "method", "params")
}

// A note is a notification that the server sends.
type note struct {
	name, about string
	params      reflect.Type
}

// notes lists all notifications.
func notes() []note {
	return []note{
		{NoteHello, "The first frame of a socket: names its channel.", reflect.TypeFor[Hello]()},
		{NoteEvent, "One step of a run, each once and in order.", reflect.TypeFor[RunEvent]()},
		{NoteDelta, "Text as a model writes it; the event that follows replaces it.", reflect.TypeFor[RunDelta]()},
		{NoteReceipt, "Proof that a head of the run stands in the log.", reflect.TypeFor[RunReceipt]()},
		{NoteRevoked, "The session is over.", reflect.TypeFor[SessionRevoked]()},
	}
}
