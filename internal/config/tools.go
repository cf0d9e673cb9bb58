package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools/arg"
)

// A Tool is a source of tools of the operator's own. Exactly one of its fields is set.
type Tool struct {
	MCP     MCP     `yaml:"mcp" about:"a server of the Model Context Protocol"`
	OpenAPI OpenAPI `yaml:"openapi" about:"an HTTP interface, as an OpenAPI 3 document describes it"`
	// A Contract is one tool, not a source of several.
	Contract Contract `yaml:"contract" about:"a function of a contract, as its ABI describes it"`
	// An Index is events that the one tool chain.query answers about.
	Index Index `yaml:"index" about:"events of a contract, kept for the tool chain.query"`
	// A Price is one pair that the one tool price.get answers about.
	Price Price `yaml:"price" about:"a feed of a price on the chain, for the tool price.get"`
	// A Paid is two or three tools: one asks what an address costs, the others pay that.
	Paid Paid `yaml:"paid" about:"servers that want to be paid for what they answer, by x402"`
	// An A2A is one tool.
	A2A A2A `yaml:"a2a" about:"an agent of another server, which speaks A2A 1.0"`
	// A Wasm is one tool.
	Wasm Wasm `yaml:"wasm" about:"a WebAssembly module that computes its arguments' result, and nothing else"`
}

// Name returns what the source is called.
func (t Tool) Name() string {
	return cmp.Or(t.MCP.Name, t.OpenAPI.Name, t.Contract.Name, t.Index.Name, t.Price.Name, t.Paid.Name, t.Wasm.Name,
		t.A2A.Name)
}

// A Paid is what may be bought by x402, and for how much.
type Paid struct {
	Name     string        `yaml:"name" about:"what its tools' names begin with: NAME.offer and NAME.quote ask what something costs, NAME.get and NAME.post pay that"`
	Hosts    []string      `yaml:"hosts" about:"the exact hosts that may be reached, e.g. api.example.com"`
	Methods  []string      `yaml:"methods" about:"how servers are asked: GET, POST or both; GET if empty. With POST they are also sent bodies unpaid, to hear the price"`
	Max      []string      `yaml:"max" about:"the tokens that pay, with the most that one call may pay, e.g. 0.05 USDC"`
	Window   time.Duration `yaml:"window" about:"for how long a payment that was signed can be taken at most; 60s if 0"`
	Ask      string        `yaml:"ask" about:"when the wallet is asked: always or never; always if empty"`
	Private  bool          `yaml:"private" about:"the hosts may be of private networks, with http and any port"`
	MaxBytes int64         `yaml:"max_bytes" about:"bytes of an answer that are read; 1 MiB if 0"`
	Timeout  time.Duration `yaml:"timeout" about:"how long one request may take; 30s if 0"`
}

func (p Paid) check() error {
	switch {
	case !sourceName.MatchString(p.Name):
		return fmt.Errorf("the name %q is not of lower-case letters, digits and '_', a letter first", p.Name)
	case len(p.Hosts) == 0 || len(p.Max) == 0:
		return fmt.Errorf("%s needs hosts and max", p.Name)
	case slices.ContainsFunc(p.Methods, func(m string) bool { return m != "GET" && m != "POST" }):
		return fmt.Errorf("%s: methods are GET and POST, in capitals", p.Name)
	case p.Ask != "" && p.Ask != "always" && p.Ask != "never":
		return fmt.Errorf("%s: ask is always or never", p.Name)
	case p.MaxBytes < 0 || p.MaxBytes > 64<<20 || p.Timeout < 0 || p.Timeout > 5*time.Minute:
		return fmt.Errorf("%s: max_bytes is at most 67108864, and timeout at most 5m", p.Name)
	}
	return nil
}

// A Price is the feed of a pair.
type Price struct {
	Name      string        `yaml:"name" about:"the pair, base and quote in capitals, e.g. ETH-USD"`
	Feed      string        `yaml:"feed" about:"contract on the tools' chain that answers latestRoundData: 0x with its checksum, or a name in the address book"`
	MaxAge    time.Duration `yaml:"max_age" about:"how old its newest update may be: the time in which the feed always updates, and some more; 168h at most"`
	Sequencer string        `yaml:"sequencer" about:"on a layer 2 the feed that says whether the sequencer is up; while it is not, there is no price"`
	Grace     time.Duration `yaml:"grace" about:"for how long after the sequencer is up again there is no price; 1h if 0"`
	Quorum    int64         `yaml:"quorum" about:"how many of chain.rpc must say the same, and more than half of them; one is asked if 0"`
}

func (p Price) check() error {
	switch {
	case p.Feed == "":
		return fmt.Errorf("%s needs feed and max_age", p.Name)
	case p.Quorum < 0:
		return fmt.Errorf("%s: quorum is below zero", p.Name)
	case p.Grace != 0 && p.Sequencer == "":
		return fmt.Errorf("%s: grace is for a sequencer", p.Name)
	}
	return nil
}

// An Index is the events of a contract that chain.query sums and counts.
type Index struct {
	Name    string `yaml:"name" about:"what queries call it, e.g. usdc.transfers"`
	Address string `yaml:"address" about:"of the contract on the tools' chain: 0x with its checksum, or a name in the address book"`
	ABI     string `yaml:"abi" path:"yes" about:"file with the contract's ABI, alone or as compilers write it"`
	Event   string `yaml:"event" about:"its name, or its signature if there are several of the name, e.g. Transfer(address,address,uint256)"`
	From    int64  `yaml:"from_block" about:"the first block that is read, that of the contract's deployment for all of them"`
	Amount  string `yaml:"amount" about:"the field that is an amount of the asset; none if empty"`
	Asset   string `yaml:"asset" about:"symbol of the token whose amount it is"`
}

func (x Index) check() error {
	switch {
	case !arg.IsToolName(x.Name):
		return fmt.Errorf("%q is not an index's name, such as usdc.transfers", x.Name)
	case x.Address == "" || x.ABI == "" || x.Event == "":
		return fmt.Errorf("%s needs address, abi and event", x.Name)
	case x.From < 0:
		return fmt.Errorf("%s: from_block is below zero", x.Name)
	case (x.Amount == "") != (x.Asset == ""):
		return fmt.Errorf("%s: amount and asset go together", x.Name)
	}
	return nil
}

// A Contract is a function of a contract.
type Contract struct {
	Name       string   `yaml:"name" about:"the tool's name, e.g. vault.shares"`
	Address    string   `yaml:"address" about:"of the contract on the tools' chain: 0x with its checksum, or a name in the address book"`
	Spend      ToolMove `yaml:"spend" about:"of a function that writes: the input with the amount, in smallest units of the asset, a token's symbol, and the input with who gets it, the contract if empty; nothing if it moves nothing"`
	Wallet     bool     `yaml:"wallet" about:"the user's own wallet sends what the function writes; the name begins with wallet."`
	Lets       bool     `yaml:"lets" about:"with wallet: the contract is let take the amount first, by the same transaction; the account must be a smart account (EIP-7702), and spend names a token and no one who gets it"`
	ABI        string   `yaml:"abi" path:"yes" about:"file with the contract's ABI, alone or as compilers write it"`
	Function   string   `yaml:"function" about:"its name, or its signature if there are several of the name, e.g. balanceOf(address)"`
	About      string   `yaml:"about" about:"what it tells, for the model"`
	Ask        string   `yaml:"ask" about:"when the wallet is asked: always or never; never if empty"`
	Integrity  string   `yaml:"integrity" about:"what its results are worth: tool or untrusted; untrusted if empty"`
	Secrecy    string   `yaml:"secrecy" about:"who may see its results: public, session, wallet or secret; session if empty"`
	Utterances []string `yaml:"utterances" about:"sentences with {argument} slots that mean a call of it"`
}

// Known returns what is said of the tool as of any other.
func (c Contract) Known() ToolUse {
	return ToolUse{
		Tool: c.Function, As: c.Name, Class: "read", Ask: c.Ask, Integrity: c.Integrity, Secrecy: c.Secrecy,
		Utterances: c.Utterances,
	}
}

func (c Contract) check() error {
	if c.Address == "" || c.ABI == "" || c.Function == "" {
		return fmt.Errorf("%s needs address, abi and function", c.Name)
	}
	if s := c.Spend; (s != ToolMove{}) && (s.Amount == "" || s.Asset == "") {
		return fmt.Errorf("%s: spend needs amount and asset", c.Name)
	}
	if err := c.Known().check(); err != nil {
		return fmt.Errorf("%s: %v", c.Name, err)
	}
	return nil
}

// An OpenAPI is an HTTP interface. Of its operations those that Use names are tools.
type OpenAPI struct {
	Name      string        `yaml:"name" about:"what its tools' names begin with: lower-case letters, digits and '_'"`
	Document  string        `yaml:"document" path:"yes" about:"file with the OpenAPI document, JSON or YAML; it must stand alone"`
	URL       string        `yaml:"url" about:"base address of the interface; the document's first server if empty"`
	Private   bool          `yaml:"private" about:"the address may lead to private networks, and be http"`
	Auth      ToolAuth      `yaml:"auth" about:"how calls are authorised: one way, or none"`
	KeyHeader string        `yaml:"key_header" about:"header that gets the idempotency key of operations of class keyed; Idempotency-Key if empty"`
	MaxBytes  int64         `yaml:"max_bytes" about:"bytes of an answer that are read; 1 MiB if 0"`
	Timeout   time.Duration `yaml:"timeout" about:"how long a call may take; 20s if 0"`
	Vouched   bool          `yaml:"vouched" about:"its descriptions are the operator's words; else a run that is offered its tools counts as having read untrusted content"`
	Use       []ToolUse     `yaml:"use" about:"the operations that are tools, by id or as 'get /path', and what is known of them"`
}

// A ToolAuth is how an HTTP interface knows its caller. Secrets are references.
type ToolAuth struct {
	Bearer   Secret    `yaml:"bearer" path:"secret" about:"a bearer token"`
	User     string    `yaml:"user" about:"name for HTTP basic authentication"`
	Password Secret    `yaml:"password" path:"secret" about:"its password"`
	Header   string    `yaml:"header" about:"header in which an API key goes"`
	Query    string    `yaml:"query" about:"query parameter in which an API key goes"`
	Key      Secret    `yaml:"key" path:"secret" about:"the API key"`
	OAuth    ToolOAuth `yaml:"oauth" about:"an OAuth client that gets tokens for itself (client credentials)"`
}

// A ToolOAuth is an OAuth client.
type ToolOAuth struct {
	TokenURL string   `yaml:"token_url" about:"where tokens are asked for"`
	ID       string   `yaml:"client_id" about:"the client's id"`
	Secret   Secret   `yaml:"client_secret" path:"secret" about:"the client's secret"`
	Scopes   []string `yaml:"scopes" about:"what the tokens are for"`
}

// An MCP is a server of tools. Its tools are offered as they were accepted: writ tools add, accept and diff.
type MCP struct {
	Name      string        `yaml:"name" about:"what its tools' names begin with: lower-case letters, digits and '_'"`
	Command   []string      `yaml:"command" about:"a program and its arguments that speaks on its standard streams"`
	Dir       string        `yaml:"dir" path:"yes" about:"folder in which the program runs; this file's if empty"`
	Env       []EnvEntry    `yaml:"env" about:"what the program finds in its environment, besides PATH, HOME, LANG and TMPDIR"`
	Memory    int64         `yaml:"memory_mb" about:"MiB of data that each of its processes may have, on Linux; 1024 if 0"`
	URL       string        `yaml:"url" about:"address of a server on the network, instead of a command"`
	Token     Secret        `yaml:"token" path:"secret" about:"bearer token for that server, if it needs one"`
	Login     string        `yaml:"login" path:"yes" about:"file of a sign-in at that server, which writ tools login writes, instead of a token"`
	Private   bool          `yaml:"private" about:"the url may lead to addresses of private networks, and be http"`
	Timeout   time.Duration `yaml:"timeout" about:"how long it may be silent in a call, which takes at most four times that; 30s if 0"`
	Resources bool          `yaml:"resources" about:"what it has to be read, its resources and their templates, are tools too: resources/read and resources/NAME"`
	Prompts   bool          `yaml:"prompts" about:"the prompts that it has are tools too, which read: prompts/NAME"`
	Accepted  string        `yaml:"accepted" path:"yes" about:"file of the definitions that were accepted; writ tools add and accept write it"`
	Vouched   bool          `yaml:"vouched" about:"whoever accepted its descriptions vouches for them; else a run that is offered its tools counts as having read untrusted content"`
	Use       []ToolUse     `yaml:"use" about:"what is known of single tools; of the others nothing is: class once, untrusted, asks the wallet"`
}

// An EnvEntry is a variable of a program's environment: a value, or a secret.
type EnvEntry struct {
	Name   string `yaml:"name" about:"of the variable"`
	Value  string `yaml:"value" about:"that is no secret"`
	Secret Secret `yaml:"secret" path:"secret" about:"where its value is, if it is a secret"`
}

// A ToolUse is what the operator knows of a tool.
type ToolUse struct {
	Tool       string   `yaml:"tool" about:"its name at its source"`
	As         string   `yaml:"as" about:"its name here, e.g. files.read; made of both names if empty"`
	Class      string   `yaml:"class" about:"what repeating a call would do: read, keyed or once; once if empty"`
	Ask        string   `yaml:"ask" about:"when the wallet is asked: always or never; always if empty, unless the class is read"`
	Integrity  string   `yaml:"integrity" about:"what its results are worth: tool or untrusted; untrusted if empty"`
	Secrecy    string   `yaml:"secrecy" about:"who may see its results: public, session, wallet or secret; session if empty"`
	Clearance  string   `yaml:"clearance" about:"the most secret that it may be given: session, wallet or secret; session if empty"`
	Spend      ToolMove `yaml:"spend" about:"its arguments that say what moves, if it moves value"`
	Utterances []string `yaml:"utterances" about:"sentences with {argument} slots that mean a call of it"`
	Reconcile  Second   `yaml:"reconcile" about:"of an MCP server's tool of class once or keyed: a second tool of the server that says whether a call happened"`
	Elicit     bool     `yaml:"elicit" about:"of an MCP server's tool: what the server asks in a call is put to the user, and the call is made again with the answer; say it only if a call does nothing until it is answered"`
	Fields     []string `yaml:"fields" about:"of an HTTP interface: the members of an answer that are told, e.g. items.name; all if empty"`
}

// A Second is a tool that is asked whether a call of another one happened.
type Second struct {
	Tool      string        `yaml:"tool" about:"its name at the server; it must be accepted, and class read under use"`
	Arguments []Given       `yaml:"arguments" about:"what it is given of the call"`
	Field     string        `yaml:"field" about:"the member of its JSON answer that says it, e.g. payment.state"`
	Done      []string      `yaml:"done" about:"values of the field if the call happened"`
	NotDone   []string      `yaml:"not_done" about:"values if it did not; any other leaves it in doubt"`
	Settle    time.Duration `yaml:"settle" about:"that it did not happen is believed if it is said twice, this far apart; 5s if 0, 1m at most"`
}

// A Given is an argument of a second tool.
type Given struct {
	Name string `yaml:"name" about:"the second tool's argument"`
	From string `yaml:"from" about:"the call's argument, or $key for its idempotency key"`
}

// IsSet says whether there is one.
func (s Second) IsSet() bool {
	return s.Tool != "" || s.Field != "" || len(s.Arguments)+len(s.Done)+len(s.NotDone) > 0
}

// A ToolMove names the arguments that move value. Of a contract's function Asset is the symbol itself.
type ToolMove struct {
	Amount string `yaml:"amount" about:"argument with the amount, in whole tokens"`
	Asset  string `yaml:"asset" about:"argument with the token's symbol; of a contract's function the symbol itself"`
	To     string `yaml:"to" about:"argument with who gets it: a name or an address"`
}

// maxSources bounds the sources of tools.
const maxSources = 32

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// CheckTools checks the text of a file for itself, as far as its tools are concerned.
func CheckTools(file []byte, name string) error {
	c := Default()
	c.origins = map[string]string{}
	if err := c.readFileInto(name, file); err != nil {
		return err
	}
	return c.checkTools()
}

// checkTools checks the sources of tools.
func (c *Config) checkTools() error {
	if len(c.Tools) > maxSources {
		return c.badSetting("tools", "%d sources of tools; at most %d are read", len(c.Tools), maxSources)
	}
	seen := map[string]bool{}
	for i, t := range c.Tools {
		name, err := t.check()
		switch {
		case err != nil:
			return c.badSetting("tools", "entry %d: %v", i+1, err)
		case seen[name]:
			return c.badSetting("tools", "the name %q is there twice", name)
		}
		seen[name] = true
	}
	return nil
}

func (t Tool) check() (name string, err error) {
	named := 0
	for _, name := range []string{
		t.MCP.Name, t.OpenAPI.Name, t.Contract.Name, t.Index.Name, t.Price.Name, t.Paid.Name,
		t.Wasm.Name, t.A2A.Name,
	} {
		if name != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return "", fmt.Errorf("it needs mcp, openapi, contract, index, price, paid, wasm or a2a, one of them, with a name")
	case t.Index.Name != "":
		return t.Index.Name, t.Index.check()
	case t.Price.Name != "":
		return t.Price.Name, t.Price.check()
	case t.Paid.Name != "":
		return t.Paid.Name, t.Paid.check()
	case t.Contract.Name != "":
		return t.Contract.Name, t.Contract.check()
	case t.Wasm.Name != "":
		return t.Wasm.Name, t.Wasm.check()
	case t.A2A.Name != "":
		return t.A2A.Name, t.A2A.check()
	case t.OpenAPI.Name != "":
		return t.OpenAPI.Name, t.OpenAPI.check()
	}
	return t.MCP.Name, t.MCP.check()
}

func (o OpenAPI) check() error {
	switch {
	case !sourceName.MatchString(o.Name):
		return fmt.Errorf("the name %q is not of lower-case letters, digits and '_', a letter first", o.Name)
	case o.Document == "":
		return fmt.Errorf("%s needs a document", o.Name)
	case len(o.Use) == 0:
		return fmt.Errorf("%s needs use, the operations that are tools; see them with: writ tools operations %s", o.Name,
			o.Document)
	case o.MaxBytes < 0 || o.MaxBytes > 64<<20 || o.Timeout < 0 || o.Timeout > 10*time.Minute:
		return fmt.Errorf("%s: max_bytes is at most 67108864, and timeout at most 10m", o.Name)
	}
	if o.URL != "" {
		if err := isEndpoint(o.URL); err != nil {
			return fmt.Errorf("%s: url: %v", o.Name, err)
		}
	}
	if err := o.Auth.check(); err != nil {
		return fmt.Errorf("%s: auth: %v", o.Name, err)
	}
	return checkUses(o.Name, o.Use)
}

func (a ToolAuth) check() error {
	for key, s := range map[string]Secret{
		"bearer": a.Bearer, "password": a.Password, "key": a.Key, "client_secret": a.OAuth.Secret,
	} {
		if err := s.checkForm(); err != nil {
			return fmt.Errorf("%s: %v", key, err)
		}
	}
	ways := 0
	for _, set := range []bool{a.Bearer != "", a.User != "", a.Key != "", a.OAuth.TokenURL != ""} {
		if set {
			ways++
		}
	}
	o := a.OAuth
	switch {
	case ways > 1:
		return fmt.Errorf("give one of bearer, user, key and oauth")
	case (a.User != "") != (a.Password != ""):
		return fmt.Errorf("user and password go together")
	case (a.Key != "") != ((a.Header != "") != (a.Query != "")):
		return fmt.Errorf("key goes with header or query, one of them")
	case o.TokenURL == "" && (o.ID != "" || o.Secret != ""), o.TokenURL != "" && (o.ID == "" || o.Secret == ""):
		return fmt.Errorf("oauth needs token_url, client_id and client_secret")
	}
	if o.TokenURL != "" {
		return isEndpoint(o.TokenURL)
	}
	return nil
}

func (m MCP) check() error {
	switch {
	case !sourceName.MatchString(m.Name):
		return fmt.Errorf("the name %q is not of lower-case letters, digits and '_', a letter first", m.Name)
	case (len(m.Command) == 0) == (m.URL == ""):
		return fmt.Errorf("%s needs a command or a url, and not both", m.Name)
	case m.Accepted == "":
		return fmt.Errorf("%s needs accepted, the file of what was accepted; begin with: writ tools add %s", m.Name, m.Name)
	case m.Memory < 0 || m.Timeout < 0:
		return fmt.Errorf("%s has a bound below zero", m.Name)
	case m.Timeout > 10*time.Minute:
		return fmt.Errorf("%s: a timeout of %s is more than 10m", m.Name, m.Timeout)
	}
	if m.URL != "" {
		if err := isEndpoint(m.URL); err != nil {
			return fmt.Errorf("%s: %v", m.Name, err)
		}
	}
	if err := m.Token.checkForm(); err != nil {
		return fmt.Errorf("%s: token: %v", m.Name, err)
	}
	if m.Login != "" && (m.URL == "" || m.Token != "") {
		return fmt.Errorf("%s: login is for a url, in the place of a token", m.Name)
	}
	for _, e := range m.Env {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") || (e.Value != "" && e.Secret != "") {
			return fmt.Errorf("%s: env: each entry needs a name, and a value or a secret", m.Name)
		}
		if err := e.Secret.checkForm(); err != nil {
			return fmt.Errorf("%s: env: %s: %v", m.Name, e.Name, err)
		}
	}
	return checkUses(m.Name, m.Use)
}

// checkUses checks what is said of the tools of a source.
func checkUses(source string, list []ToolUse) error {
	seen := map[string]bool{}
	for _, u := range list {
		if u.Tool == "" || seen[u.Tool] {
			return fmt.Errorf("%s: use: the tool %q has no name, or is there twice", source, u.Tool)
		}
		seen[u.Tool] = true
		if err := u.check(); err != nil {
			return fmt.Errorf("%s: use: %s: %v", source, u.Tool, err)
		}
	}
	return nil
}

func (u ToolUse) check() error {
	for _, w := range []struct {
		key, is string
		of      []string
	}{
		{"class", u.Class, []string{"read", "keyed", "once"}}, {"ask", u.Ask, []string{"always", "never"}},
		{"integrity", u.Integrity, []string{"tool", "untrusted"}},
		{"secrecy", u.Secrecy, []string{"public", "session", "wallet", "secret"}},
		{"clearance", u.Clearance, []string{"session", "wallet", "secret"}},
	} {
		if w.is != "" && !slices.Contains(w.of, w.is) {
			return fmt.Errorf("%s: %q is none of %s%s", w.key, w.is, strings.Join(w.of, ", "), suggestName(w.is, w.of))
		}
	}
	if s := u.Spend; (s != ToolMove{}) && (s.Amount == "" || s.Asset == "" || s.To == "") {
		return fmt.Errorf("spend needs amount, asset and to")
	}
	if s := u.Reconcile; s.IsSet() && (s.Tool == "" || s.Field == "" || len(s.Arguments) == 0 || len(s.Done) == 0) {
		return fmt.Errorf("reconcile needs tool, arguments, field and done")
	}
	if u.As != "" && !arg.IsToolName(u.As) {
		return fmt.Errorf("as: %q is not a tool's name, such as files.read", u.As)
	}
	return nil
}

// Asks says whether the wallet is asked before each call.
func (u ToolUse) Asks() bool { return u.Ask == "always" || u.Ask == "" && u.Class != "read" }

// Label returns what results are worth.
func (u ToolUse) Label() (i label.Integrity, s label.Secrecy, err error) {
	i, s = label.Untrusted, label.Session
	if u.Integrity != "" {
		i, err = label.ParseIntegrity(u.Integrity)
	}
	if u.Secrecy != "" && err == nil {
		s, err = label.ParseSecrecy(u.Secrecy)
	}
	return i, s, err
}
