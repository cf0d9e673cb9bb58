package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/arg"
)

const document = `openapi: 3.0.3
info: {title: t, version: "1"}
servers: [{url: "https://api.example"}]
paths:
  /things/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
      - {name: lang, in: query, schema: {type: string}}
    get:
      operationId: getThing
      parameters:
        - {name: lang, in: query, description: said again, schema: {type: string, enum: [en, de]}}
        - {name: "filter[tag]", in: query, schema: {type: array, items: {type: string}}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: Authorization, in: header, schema: {type: string}}
      responses: {"200": {description: ok}}
    delete: {responses: {"204": {description: gone}}}
  /things:
    post:
      operationId: makeThing
      summary: Makes one.
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/New"}}}
      responses: {"201": {description: made}}
  /tree:
    put:
      operationId: putTree
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Tree"}}}}
      responses: {"200": {description: ok}}
  /any:
    post:
      operationId: postAny
      requestBody: {required: true, content: {application/json: {schema: {oneOf: [{type: string}, {type: integer}]}}}}
      responses: {"200": {description: ok}}
  /file:
    post:
      operationId: upload
      requestBody: {required: true, content: {application/octet-stream: {schema: {type: string, format: binary}}}}
      responses: {"200": {description: ok}}
components:
  schemas:
    New:
      allOf:
        - {$ref: "#/components/schemas/Named"}
        - type: object
          required: [price]
          properties:
            price: {type: number, minimum: 0.5}
            size: {type: object, required: [w], properties: {w: {type: integer}, h: {type: integer, nullable: true}}}
            made: {type: string, readOnly: true}
    Named: {type: object, required: [name], properties: {name: {type: string, maxLength: 40}}}
    Tree: {type: object, properties: {name: {type: string}, kids: {type: array, items: {$ref: "#/components/schemas/Tree"}}}}
`

func read(t *testing.T) *Document {
	t.Helper()
	d, err := Read([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client calls an interface on this machine.
func client(t *testing.T, h http.HandlerFunc, change func(*Config)) *Client {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	c := Config{Name: "x", URL: web.URL, Gate: reach.Gate{Private: true}, Timeout: 5 * time.Second}
	if change != nil {
		change(&c)
	}
	out, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out
}

func tool(t *testing.T, c *Client, operation string, class tools.Class, fields ...string) *Tool {
	t.Helper()
	u := Use{Operation: operation, Spec: tools.Spec{Name: "x.y", Class: class}, Fields: fields}
	out, err := read(t).Tool(c, u)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func call(t *testing.T, x *Tool, args string, hosts ...string) (string, error) {
	t.Helper()
	def, err := tools.Compile(x.Spec())
	if err != nil {
		t.Fatal(err)
	}
	a, err := def.Read([]byte(args))
	if err != nil {
		t.Fatal(err)
	}
	out, err := x.Call(t.Context(), tools.Input{Args: a, Key: [32]byte{7}, Hosts: hosts})
	return string(out), err
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return "unknown"
	}
	return ""
}

func TestArgumentsAreTypedAndNested(t *testing.T) {
	c := client(t, nil, nil)
	for operation, want := range map[string][]string{
		"makeThing": {"name:string!", "price:number!", "size:object", "size.h:int", "size.w:int"},
		"getThing":  {"X_Trace:string", "filter_tag_:list", "id:string!", "lang:string"},
		"putTree":   {"kids:list", "name:string"},
		"postAny":   {"body:json!"},
	} {
		def, err := tools.Compile(tool(t, c, operation, tools.Once).Spec())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range def.Params() {
			s := fmt.Sprintf("%s:%s", p.Name, kinds[p.Kind])
			if p.Required {
				s += "!"
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", operation, got, want)
		}
	}
	d := read(t)
	if _, err := d.Tool(c, Use{Operation: "upload", Spec: tools.Spec{Name: "x.y", Class: tools.Once}}); err == nil ||
		!strings.Contains(err.Error(), "its body is not JSON") {
		t.Errorf("a body that is no JSON: %v", err)
	}
	if _, err := d.Find("getThin"); err == nil || !strings.Contains(err.Error(), `did you mean "getThing"?`) {
		t.Errorf("got %v", err)
	}
	if o, err := d.Find("delete /things/{id}"); err != nil || o.Method != "DELETE" {
		t.Errorf("by method and path: %v", err)
	}
}

var kinds = map[arg.Kind]string{
	arg.String: "string", arg.Number: "number", arg.Int: "int", arg.Object: "object", arg.List: "list", arg.JSON: "json",
}

func TestACallIsWhatTheDocumentSays(t *testing.T) {
	var got []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("X-Trace"), r.Header.Get("Idempotency-Key"),
			string(body)}, " "))
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":1,"secret":"s","items":[{"name":"a","cost":9},{"name":"b"}]}`)
	}, nil)
	out, err := call(t, tool(t, c, "getThing", tools.Read, "id", "items.name", "nothing"),
		`{"id":"a/../b?c","lang":"de","filter_tag_":["x","y z"],"X_Trace":"t1"}`)
	if err != nil || out != `{"body":{"id":1,"items":[{"name":"a"},{"name":"b"}]},"status":200}` {
		t.Errorf("got %s, %v", out, err)
	}
	if _, err := call(t, tool(t, c, "makeThing", tools.Keyed), `{"name":"n","price":1.50,"size":{"w":2}}`); err != nil {
		t.Error(err)
	}
	if _, err := call(t, tool(t, c, "postAny", tools.Once), `{"body":"text"}`); err != nil {
		t.Error(err)
	}
	key := "07" + strings.Repeat("00", 31)
	want := []string{
		`GET /things/a%2F..%2Fb%3Fc?filter%5Btag%5D=x&filter%5Btag%5D=y+z&lang=de t1  `,
		`POST /things  ` + key + ` {"name":"n","price":1.5,"size":{"w":2}}`, `POST /any   "text"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What a model writes cannot lead a call to another path or host, or set a header of ours.
func TestArgumentsCannotLeadElsewhere(t *testing.T) {
	reached := 0
	c := client(t, func(http.ResponseWriter, *http.Request) { reached++ }, nil)
	get := tool(t, c, "getThing", tools.Read)
	for _, id := range []string{".", "..", ""} {
		b, _ := json.Marshal(map[string]string{"id": id})
		if _, err := call(t, get, string(b)); codeOf(err) != "bad_argument" {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := call(t, get, `{"id":"a","X_Trace":"x\r\nAuthorization: y"}`); codeOf(err) != "bad_argument" {
		t.Errorf("a header in a header: %v", err)
	}
	if _, err := call(t, get, `{"id":"a"}`, "other.example"); codeOf(err) != "host_not_allowed" {
		t.Errorf("a host that the grant does not name: %v", err)
	}
	if reached != 0 {
		t.Errorf("%d calls were made", reached)
	}
	if strings.Contains(string(get.Spec().Schema), "Authorization") {
		t.Error("a model may set the credentials")
	}
}

func TestEachWayOfAuthorising(t *testing.T) {
	var tokens int
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || id != "me" || secret != "s3cret" || r.FormValue("scope") != "a b" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		tokens++
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"fresh","token_type":"Bearer","expires_in":3600}`)
	}))
	defer issuer.Close()
	for name, tt := range map[string]struct {
		auth Auth
		want string
	}{
		"bearer":  {Auth{Bearer: "t"}, "Bearer t||"},
		"basic":   {Auth{User: "u", Password: "p"}, "Basic dTpw||"},
		"header":  {Auth{Header: "X-Key", Key: "k"}, "|k|"},
		"query":   {Auth{Query: "key", Key: "k&"}, "||k&"},
		"oauth":   {Auth{OAuth: &OAuth{TokenURL: issuer.URL, ID: "me", Secret: "s3cret", Scopes: []string{"a", "b"}}}, "Bearer fresh||"},
		"refused": {Auth{OAuth: &OAuth{TokenURL: issuer.URL, ID: "me", Secret: "wrong"}}, "unauthorised"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s|%s|%s", r.Header.Get("Authorization"), r.Header.Get("X-Key"), r.URL.Query().Get("key"))
			}, func(c *Config) { c.Auth = tt.auth })
			for range 2 {
				out, err := call(t, tool(t, c, "getThing", tools.Read), `{"id":"a"}`)
				var got struct{ Text string }
				json.Unmarshal([]byte(out), &got)
				if got.Text != tt.want && codeOf(err) != tt.want || err != nil && strings.Contains(err.Error(), "wrong") {
					t.Errorf("got %s, %v, want %s", out, err, tt.want)
				}
			}
		})
	}
	if tokens != 1 {
		t.Errorf("%d tokens were asked for; one holds for an hour", tokens)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	thief := 0
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { thief++ }))
	defer away.Close()
	send := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, tt := range map[string]struct {
		h      http.HandlerFunc
		class  tools.Class
		fields []string
		out    string // what the result begins with
		code   string
	}{
		"text":                    {send(200, "text/plain", "hi"), tools.Once, nil, `{"status":200,"text":"hi"}`, ""},
		"hidden words":            {send(200, "text/plain", "h\u200bi"), tools.Once, nil, `{"status":200,"text":"hi"}`, ""},
		"bytes":                   {send(200, "image/png", "\x89PNG"), tools.Once, nil, `{"bytes":4,"status":200,"type":"image/png"}`, ""},
		"nothing":                 {send(204, "", ""), tools.Once, nil, `{"status":204}`, ""},
		"JSON that is none":       {send(200, "application/json", "{"), tools.Once, nil, `{"status":200,"text":"{"}`, ""},
		"one that is too long":    {send(200, "text/plain", strings.Repeat("x", 2<<20)), tools.Once, nil, `{"cut":true,"status":200,"text":"xxx`, ""},
		"long JSON":               {send(200, "application/json", `["`+strings.Repeat("x", 100<<10)+`"]`), tools.Once, nil, `{"cut":true,"status":200,"text":"[\"xxx`, ""},
		"fields of what has none": {send(200, "text/plain", "secret"), tools.Once, []string{"id"}, `{"bytes":6,"status":200,"type":"text/plain"}`, ""},
		"fields of another shape": {send(200, "application/json", `"secret"`), tools.Once, []string{"id"}, `{"body":null,"status":200}`, ""},
		"a refusal":               {send(422, "text/plain", "no such item"), tools.Once, nil, "", "refused"},
		"too many requests":       {send(429, "text/plain", "later"), tools.Once, nil, "", "unknown"},
		"a failure of an effect":  {send(500, "text/plain", "oops"), tools.Once, nil, "", "unknown"},
		"a failure of a read":     {send(500, "text/plain", "oops"), tools.Read, nil, "", "failed"},
		"a redirect":              {http.RedirectHandler(away.URL, http.StatusTemporaryRedirect).ServeHTTP, tools.Read, nil, "", "redirected"},
		"a redirect of an effect": {http.RedirectHandler(away.URL, http.StatusTemporaryRedirect).ServeHTTP, tools.Once, nil, "", "unknown"},
		"an answer that never is": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // or the server does not hear that the client has gone
			<-r.Context().Done()
		}, tools.Read, nil, "", "timeout"},
		"an answer that breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "x")
		}, tools.Once, nil, "", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, tt.h, func(c *Config) {
				if tt.code == "timeout" {
					c.Timeout = 100 * time.Millisecond
				}
			})
			out, err := call(t, tool(t, c, "makeThing", tt.class, tt.fields...), `{"name":"n","price":1}`)
			if codeOf(err) != tt.code || !strings.HasPrefix(out, tt.out) || len(out) > maxText+(32<<10) {
				t.Errorf("got %.200s, %v; want %s %s", out, err, tt.out, tt.code)
			}
		})
	}
	if thief > 0 {
		t.Error("a redirect was followed")
	}
}

// A refusal of a keyed request that was sent before says nothing about the one before it, which stays in doubt.
func TestARefusalOfARepeatedRequestIsNotCertain(t *testing.T) {
	for _, tt := range []struct {
		class   tools.Class
		again   bool
		answers []int
		code    string
	}{
		{tools.Keyed, false, []int{422}, "refused"}, {tools.Keyed, true, []int{422}, "unknown"},
		{tools.Keyed, true, []int{401}, "unknown"}, {tools.Keyed, true, []int{404}, "unknown"},
		{tools.Keyed, false, []int{502, 401}, "unknown"}, {tools.Read, true, []int{502, 404}, "refused"},
	} {
		n := 0
		c := client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.answers[n])
			n++
		}, nil)
		x := tool(t, c, "makeThing", tt.class)
		def, err := tools.Compile(x.Spec())
		if err != nil {
			t.Fatal(err)
		}
		args, err := def.Read([]byte(`{"name":"n","price":1}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, hosts := range [][]string{nil, {"elsewhere.example"}} {
			want := tt.code
			if hosts != nil && want == "refused" || hosts != nil && !tt.again {
				want = "host_not_allowed" // and nothing was sent
			}
			n = 0
			_, err := x.Call(t.Context(), tools.Input{Args: args, Key: [32]byte{7}, Again: tt.again, Hosts: hosts})
			if codeOf(err) != want {
				t.Errorf("%s, again %t, after %v: got %v; want %s", tt.class, tt.again, tt.answers, err, want)
			}
		}
	}
}

// What may be repeated is, with the same key; what may not is not.
func TestWhatMayBeRepeatedIs(t *testing.T) {
	for class, want := range map[tools.Class]int{tools.Keyed: 3, tools.Read: 3, tools.Once: 1} {
		var keys []string
		c := client(t, func(w http.ResponseWriter, r *http.Request) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, nil)
		if _, err := call(t, tool(t, c, "makeThing", class), `{"name":"n","price":1}`); err == nil {
			t.Errorf("%s: no error", class)
		}
		if len(keys) != want || len(slices.Compact(keys)) != 1 {
			t.Errorf("%s: %d tries with the keys %q, want %d", class, len(keys), keys, want)
		}
	}
}

func TestPrivateAddressesAreNotReached(t *testing.T) {
	if _, err := NewClient(Config{URL: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "must be https") {
		t.Errorf("got %v", err)
	}
	reached := false
	web := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer web.Close()
	c, err := NewClient(Config{Name: "x", URL: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, tool(t, c, "getThing", tools.Once), `{"id":"a"}`); codeOf(err) != "address_not_allowed" || reached {
		t.Errorf("got %v", err)
	}
}

// A document is read from its bytes alone.
func TestDocumentsThatAreRefused(t *testing.T) {
	secret := t.TempDir() + "/secret.yaml"
	if err := os.WriteFile(secret, []byte("type: string\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	outside := strings.Replace(document, `{$ref: "#/components/schemas/New"}`, `{$ref: "`+secret+`"}`, 1)
	for name, text := range map[string]string{
		"none": "x", "another version": `{"swagger":"2.0","paths":{}}`, "a reference to a file": outside,
		"a reference to an address": strings.Replace(outside, secret, "http://169.254.169.254/x.yaml", 1),
		"too long":                  strings.Repeat(" ", MaxDocument+1),
	} {
		if _, err := Read([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestToolNames(t *testing.T) {
	for id, want := range map[string]string{
		"createOrder": "s.create_order", "get /orders/{id}": "s.get_orders_id", "": "s.call", "List": "s.list",
		strings.Repeat("x", 99): "s." + strings.Repeat("x", 62),
	} {
		if got := ToolName("s", id); got != want {
			t.Errorf("%q: got %s, want %s", id, got, want)
		}
	}
}
