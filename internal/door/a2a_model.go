package door

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/foreign"
)

// The objects of the Agent2Agent protocol 1.0 (a2a.proto), as ProtoJSON writes them. What this server never writes is
// left out of them. They are read strictly: the protocol asks to pass over members that are not known (section 5.7),
// but who speaks, or what is quoted, may hang on one, and a message is taken as its wallet's own words.

// agentProtocol is the one version of the protocol that is spoken here.
const agentProtocol = "1.0"

// States of a task. Those from completed on are ends; the two before them wait for somebody.
const (
	taskWorking   = "TASK_STATE_WORKING"
	taskInput     = "TASK_STATE_INPUT_REQUIRED" // the agent has asked its user something
	taskAuth      = "TASK_STATE_AUTH_REQUIRED"  // the wallet is to approve, or to send, a transaction
	taskCompleted = "TASK_STATE_COMPLETED"
	taskFailed    = "TASK_STATE_FAILED"
	taskCanceled  = "TASK_STATE_CANCELED"
	taskRejected  = "TASK_STATE_REJECTED" // by a rule, the wallet, or a model
)

// isTaskState says whether a text names a state that a client may ask for.
func isTaskState(s string) bool {
	switch s {
	case "TASK_STATE_SUBMITTED", taskWorking, taskInput, taskAuth, taskCompleted, taskFailed, taskCanceled, taskRejected:
		return true
	}
	return false
}

// endState is the state of a task whose run has closed.
func endState(reason string) string {
	switch reason {
	case "answered", "truncated":
		return taskCompleted
	case "cancelled":
		return taskCanceled
	case "denied", "declined", "refused", "unanswered":
		return taskRejected
	}
	return taskFailed
}

// An agentPart is a piece of a message or of an artifact. Only texts are taken and given.
type agentPart struct {
	Text  *string         `json:"text,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	URL   json.RawMessage `json:"url,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	Media string          `json:"mediaType,omitempty"`
	File  string          `json:"filename,omitempty"`
	More  json.RawMessage `json:"metadata,omitempty"`
}

func textParts(text string) []agentPart { return []agentPart{{Text: &text}} }

// An agentMessage is one that a client sends, or that is in a task.
type agentMessage struct {
	ID      string          `json:"messageId"`
	Context string          `json:"contextId,omitempty"`
	Task    string          `json:"taskId,omitempty"`
	Role    string          `json:"role"`
	Parts   []agentPart     `json:"parts"`
	Refers  []string        `json:"referenceTaskIds,omitempty"`
	Uses    []string        `json:"extensions,omitempty"`
	More    json.RawMessage `json:"metadata,omitempty"`
}

const (
	roleUser  = "ROLE_USER"
	roleAgent = "ROLE_AGENT"
)

// maxMessageID bounds a message's id, in bytes.
const maxMessageID = 256

// readText returns what a client's message says. Several parts are several lines, and two that say something so never
// one plain order.
func (m *agentMessage) readText() (string, error) {
	switch {
	case m.ID == "" || len(m.ID) > maxMessageID:
		return "", badField("message.messageId", "give each message an id of its own, of at most 256 bytes")
	case m.Role != roleUser:
		return "", badField("message.role", "messages to an agent are of "+roleUser)
	case len(m.Parts) == 0:
		return "", badField("message.parts", "at least one part is needed")
	case len(m.Uses) > 0 || !foreign.IsEmpty(m.More):
		return "", badField("message.metadata", "no extension is spoken here, and what only one understands is not heeded; "+
			"leave metadata and extensions out")
	case len(m.Refers) > 0:
		return "", badField("message.referenceTaskIds", "other tasks are not looked at; say what is meant in the text, or "+
			"go on in their contextId")
	}
	texts := make([]string, len(m.Parts))
	for i, p := range m.Parts {
		if !foreign.IsEmpty(p.More) {
			return "", badField("message.parts.metadata", "it is not heeded; leave it out")
		}
		if p.Text == nil || p.Raw != nil || p.URL != nil || p.Data != nil || p.File != "" || !isPlainText(p.Media) {
			return "", errContent
		}
		texts[i] = *p.Text
	}
	return strings.Join(texts, "\n"), nil
}

func isPlainText(media string) bool {
	kind, more, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(media, " ", "")), ";")
	switch kind {
	case "", "text/plain", "text/*", "text", "*/*":
		return more == "" || more == "charset=utf-8" || more == "charset=us-ascii"
	}
	return false
}

// A taskStatus is how a task stands, and since when.
type taskStatus struct {
	State   string        `json:"state"`
	Message *agentMessage `json:"message,omitempty"`
	At      string        `json:"timestamp,omitempty"`
}

// An artifact is what a task has made: the answer of its run.
type artifact struct {
	ID    string      `json:"artifactId"`
	Name  string      `json:"name,omitempty"`
	Parts []agentPart `json:"parts"`
}

// artifactID names the one artifact of a task.
const artifactID = "answer"

// An agentTask is a run as the protocol shows it.
type agentTask struct {
	ID        string         `json:"id"`
	Context   string         `json:"contextId,omitempty"`
	Status    taskStatus     `json:"status"`
	Artifacts []artifact     `json:"artifacts,omitempty"`
	History   []agentMessage `json:"history,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
}

// An agentUpdate is one element of a stream, and with a Task alone the answer to a message. One member is there.
type agentUpdate struct {
	Task     *agentTask      `json:"task,omitempty"`
	Status   *statusUpdate   `json:"statusUpdate,omitempty"`
	Artifact *artifactUpdate `json:"artifactUpdate,omitempty"`
}

type statusUpdate struct {
	Task    string     `json:"taskId"`
	Context string     `json:"contextId"`
	Status  taskStatus `json:"status"`
}

type artifactUpdate struct {
	Task     string   `json:"taskId"`
	Context  string   `json:"contextId"`
	Artifact artifact `json:"artifact"`
	Append   bool     `json:"append,omitempty"`
	Last     bool     `json:"lastChunk,omitempty"`
}

// instant writes a time as the protocol's section 5.6.1 asks.
func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
