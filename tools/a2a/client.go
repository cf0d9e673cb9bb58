package a2a

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

// Bounds of a request.
const (
	maxRequest  = 30 * time.Second // but of a message, which the other side may answer only when it is done
	maxBody     = 1 << 20          // bytes of an answer that are read
	maxPatience = 30 * time.Second // that is waited if the other side asks for patience
	maxSaid     = 300              // bytes of its own words in an error
)

// A Client asks one agent. It is safe for concurrent use.
type Client struct {
	cfg  Config
	card *url.URL
	key  *Key
	http *http.Client
}

// NewClient returns a client, or an error that names what is wrong with the config.
func NewClient(c Config) (*Client, error) {
	card, err := checkAddress(c.Card, c.Gate.Private)
	if err != nil {
		return nil, fmt.Errorf("the card %w", err)
	}
	out := &Client{cfg: c, card: card, http: &http.Client{
		Transport: c.Gate.Transport(),
		// A redirect could lead the token, and the message, to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.Key != "" {
		if out.key, err = ParseKey(c.Key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) errorf(code, format string, args ...any) *tools.Error {
	said := fmt.Sprintf(format, args...)
	return &tools.Error{Code: code, Message: fmt.Sprintf("The agent %s: %s.", c.cfg.Name, said)}
}

// A failure is why a request has no answer.
type failure struct {
	code    string
	says    string
	refused bool          // it is certain that the other side has done nothing
	arrived bool          // an answer has begun, so the other side has read the request
	passing bool          // asking again may help
	after   time.Duration // when
}

func (f *failure) Error() string { return f.says }

// describeBroken says why a request was not answered.
func (c *Client) describeBroken(ctx context.Context, err error) *failure {
	dial, _ := errors.AsType[*net.OpError](err)
	unsent := dial != nil && dial.Op == "dial"
	switch {
	case errors.Is(err, reach.ErrPrivate):
		return &failure{code: "address_not_allowed", refused: true,
			says: "its host leads into a private network; the operator sets private for that"}
	case errors.Is(ctx.Err(), context.Canceled): // here, not there
		return &failure{code: tools.CodeNotDone, says: "the call was cut here before it had answered; ask again",
			refused: unsent}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &failure{code: "timeout", says: "it does not answer in time", refused: unsent, passing: true}
	}
	return &failure{
		code: "unreachable", says: "it cannot be reached, or its answer broke off", refused: unsent, passing: true,
	}
}

// An operation is what the protocol has to be asked for (section 3.1), in both bindings.
type operation struct {
	name   string // JSON-RPC
	method string // HTTP
	path   string // below the interface; {id} is the task's
}

var (
	sendMessage = operation{"SendMessage", http.MethodPost, "/message:send"}
	getTask     = operation{"GetTask", http.MethodGet, "/tasks/{id}"}
	listTasks   = operation{"ListTasks", http.MethodGet, "/tasks"}
	cancelTask  = operation{"CancelTask", http.MethodPost, "/tasks/{id}:cancel"}
)

// requestID is that of each request of JSON-RPC. There is one request and one answer on a connection at a time, so it
// need not be another one each time; an answer with another one is of something else.
const requestID = "writ-1"

// ask does one operation, and reads its answer into out. Its error is a [*failure].
func (c *Client) ask(ctx context.Context, at endpoint, op operation, params map[string]any, out any) error {
	req, err := c.request(ctx, at, op, params)
	if err != nil {
		return &failure{code: "bad_argument", says: "the message cannot be sent", refused: true}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.describeBroken(ctx, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		f := c.describeBroken(ctx, err)
		f.arrived = true
		return f
	}
	if f := c.judgeStatus(res); f != nil {
		return f
	}
	if len(body) > maxBody {
		return &failure{code: "too_large", says: fmt.Sprintf("it answers with more than %d bytes", maxBody)}
	}
	canonical, err := tools.CanonicalJSON(body)
	if err != nil {
		if res.StatusCode >= 400 {
			return statusFailure(res.StatusCode, "")
		}
		return &failure{code: "unreadable", says: "its answer is not JSON that can be read as one thing"}
	}
	if at.rpc {
		return c.readCall(res.StatusCode, canonical, out)
	}
	return c.readResource(res.StatusCode, canonical, out)
}

// request makes the request of an operation.
func (c *Client) request(ctx context.Context, at endpoint, op operation, params map[string]any) (*http.Request, error) {
	address, method, media := at.url.String(), http.MethodPost, "application/json"
	var body []byte
	var err error
	if at.rpc {
		if at.tenant != "" {
			params["tenant"] = at.tenant
		}
		body, err = strictjson.Marshal(map[string]any{
			"jsonrpc": "2.0", "id": requestID, "method": op.name, "params": params,
		})
	} else {
		method, media = op.method, "application/a2a+json"
		id, _ := params["id"].(string)
		address = strings.TrimSuffix(address, "/")
		if at.tenant != "" {
			address += "/" + url.PathEscape(at.tenant)
		}
		address += strings.ReplaceAll(op.path, "{id}", url.PathEscape(id))
		delete(params, "id")
		if method == http.MethodGet {
			query := url.Values{}
			for name, v := range params {
				query.Set(name, fmt.Sprint(v))
			}
			address += "?" + query.Encode()
		} else {
			body, err = strictjson.Marshal(params)
		}
	}
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if req.URL.Host != at.url.Host || req.URL.Scheme != at.url.Scheme {
		return nil, errors.New("another host")
	}
	req.Header.Set("A2A-Version", "1.0")
	req.Header.Set("Accept", media)
	req.Header.Set("User-Agent", "writ")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", media)
	}
	switch {
	case c.cfg.Token == "":
	case c.cfg.Header != "":
		req.Header.Set(c.cfg.Header, c.cfg.Token)
	default:
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	return req, nil
}

// judgeStatus returns what HTTP itself says is wrong, before the body is looked at.
func (c *Client) judgeStatus(res *http.Response) *failure {
	switch code := res.StatusCode; {
	case code >= 300 && code < 400:
		return &failure{code: "redirected", says: "it leads to another address, which is not followed"}
	case code == http.StatusUnauthorized && c.cfg.Token == "":
		return &failure{code: "unauthorised", refused: true,
			says: "it lets nobody in without a token (401); the operator sets one under token"}
	case code == http.StatusUnauthorized:
		return &failure{code: "unauthorised", refused: true,
			says: "it does not accept the operator's token (401); the operator sets another one under token"}
	case code == http.StatusForbidden:
		return &failure{code: "unauthorised", refused: true,
			says: "it does not permit this to the operator's token (403); the operator asks whoever runs it"}
	case code == http.StatusTooManyRequests:
		f := &failure{code: "busy", says: "it is asked too often (429); try again later", refused: true, passing: true,
			after: time.Second}
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
			f.after = min(time.Duration(s)*time.Second, time.Hour)
			f.says = fmt.Sprintf("it is asked too often (429); try again in %s", f.after)
		}
		return f
	case code >= 500:
		return statusFailure(code, "")
	}
	return nil
}

// statusFailure is an answer with a status that says that it did not work. Of one that the other side refused it is
// certain that nothing was done.
func statusFailure(code int, said string) *failure {
	says := fmt.Sprintf("it answers %d %s", code, http.StatusText(code))
	if said != "" {
		says += ": " + said
	}
	if code >= 500 {
		passing := code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout
		// 502 is also said of an agent that has answered, of which its server cannot use the answer.
		return &failure{code: "unavailable", says: says, passing: passing, arrived: code == http.StatusBadGateway}
	}
	return &failure{code: "refused", says: says, refused: !slices.Contains([]int{408, 409, 425}, code)}
}

// readCall reads the response of JSON-RPC 2.0.
func (c *Client) readCall(status int, body []byte, out any) error {
	var res struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &res) != nil || res.Version != "2.0" {
		if status >= 400 {
			return statusFailure(status, "")
		}
		return &failure{code: "unreadable", says: "its answer is not one of JSON-RPC 2.0"}
	}
	if res.Error != nil {
		return c.describeRefusal(res.Error.Code, res.Error.Message)
	}
	switch {
	case status >= 400:
		return statusFailure(status, "")
	case string(res.ID) != `"`+requestID+`"`:
		return &failure{code: "unreadable", says: "it answers another request than the one that was made"}
	case res.Result == nil || json.Unmarshal(res.Result, out) != nil:
		return &failure{code: "unreadable", says: "its answer is not of the form that A2A 1.0 has"}
	}
	return nil
}

// describeRefusal says what an error of JSON-RPC means (section 5.4). Of those that the protocol defines it is certain
// that nothing was done, but of -32006: there the agent has answered, and its server cannot use the answer.
func (c *Client) describeRefusal(code int, message string) *failure {
	said := c.clean(message, maxSaid)
	f := &failure{code: "refused", refused: true}
	switch code {
	case -32001:
		f.code, f.says = "task_not_found", "it does not know the task, or not any more; send a new message without task"
	case -32002:
		f.says = "the task has ended, and cannot be cancelled"
	case -32004:
		f.says = "it does not do this now: " + said
	case -32005:
		f.says = "it does not take plain text"
	case -32009:
		f.code, f.says = "unauthorised", "it does not speak A2A 1.0; the operator looks at its card"
	case -32700, -32600, -32601, -32602, -32003, -32007, -32008:
		f.says = "it refuses: " + said
	default:
		f.code, f.refused, f.says = "failed", false, fmt.Sprintf("it has failed (%d): %s", code, said)
	}
	return f
}

// readResource reads an answer of HTTP+JSON.
func (c *Client) readResource(status int, body []byte, out any) error {
	if status < 400 {
		if json.Unmarshal(body, out) != nil {
			return &failure{code: "unreadable", says: "its answer is not of the form that A2A 1.0 has"}
		}
		return nil
	}
	var res struct {
		Error struct {
			Message string `json:"message"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &res) != nil {
		return statusFailure(status, "")
	}
	for _, d := range res.Error.Details {
		if code, known := map[string]int{
			"TASK_NOT_FOUND": -32001, "TASK_NOT_CANCELABLE": -32002, "UNSUPPORTED_OPERATION": -32004,
			"CONTENT_TYPE_NOT_SUPPORTED": -32005, "VERSION_NOT_SUPPORTED": -32009,
		}[d.Reason]; known {
			return c.describeRefusal(code, res.Error.Message)
		}
	}
	return statusFailure(status, c.clean(res.Error.Message, maxSaid))
}

// clean returns words of the other side, cut, with nothing hidden in them, and without the operator's token, which a
// server that repeats what it was sent would have recorded here.
func (c *Client) clean(s string, n int) string {
	if len(s) > 4*n {
		s = s[:4*n]
	}
	s = wording.Visible(strings.ToValidUTF8(s, "\uFFFD"))
	if c.cfg.Token != "" {
		s = strings.ReplaceAll(s, c.cfg.Token, "[token]")
	}
	return wording.Clip(s, n)
}
