package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/chainindex"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/library/vectors"
	"github.com/writ-run/writ/internal/mandates"
	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
	"github.com/writ-run/writ/tools/chain"
	"github.com/writ-run/writ/tools/contract"
	"github.com/writ-run/writ/tools/ens"
	"github.com/writ-run/writ/tools/fetch"
	"github.com/writ-run/writ/tools/mcp"
	"github.com/writ-run/writ/tools/openapi"
	"github.com/writ-run/writ/tools/paid"
	"github.com/writ-run/writ/tools/price"
	"github.com/writ-run/writ/tools/retrieve"
)

// The tools of a node are listed here: those of its chain, the one that asks the user, and those that read pages and
// documents or call servers of others, each of these only if the settings name what it may reach. openLibrary adds the
// one that searches the library, and DescribedTools lists them for commands that start no node.

// SetTools gives a node, whose chain is set, the tools that settings describe, and those that need no settings.
func SetTools(out *Config, c *config.Config) error {
	log := cmp.Or(out.Log, slog.New(slog.DiscardHandler))
	reading, err := readingTools(c, log)
	if err != nil {
		return err
	}
	if out.Library, err = readLibrary(c.Library); err != nil {
		return err
	}
	own, servers, err := ownTools(c, out.Chain.Book, log)
	out.Tools, out.ToolServers = append(reading, own...), servers
	return err
}

// chainTools makes the tools of a chain. given is nil if nobody's account pays by a delegation.
func chainTools(client *pool.Pool, c Chain, given chain.Mandates) ([]tools.Tool, error) {
	cfg := chainConfig(client, c)
	cfg.Mandates = given
	list, err := chain.New(cfg)
	if err != nil {
		return nil, badUse("%s", err)
	}
	registry := c.ENS
	if c.Book.Chain == devchain.ID && registry == (common.Address{}) {
		registry = devchain.Names()
	}
	if registry == (common.Address{}) {
		return list, nil
	}
	names, err := ens.New(ens.Config{Client: client, Book: c.Book, Registry: registry})
	if err != nil {
		return nil, badUse("%s", err)
	}
	return append(list, names...), nil
}

// registryOf returns the registry of names that the settings of a chain mean; the zero address if none.
func registryOf(c config.Chain) (common.Address, error) {
	switch {
	case c.ENS == "none":
		return common.Address{}, nil
	case c.ENS == "":
		return ens.RegistryOf(c.Number()), nil
	}
	a, err := (&tools.Book{}).Address(c.ENS)
	if err != nil {
		return a, badSetting("chain.ens: %q is no address; give 0x with its checksum, or none", c.ENS)
	}
	return a, nil
}

func chainConfig(client *pool.Pool, c Chain) chain.Config {
	return chain.Config{Client: client, Book: c.Book, Key: c.Key, Final: c.Final, MaxFee: c.MaxFee}
}

// readingTools makes the tools that read what others have written, pages and folders that the settings name, and that
// which asks the user.
func readingTools(c *config.Config, log *slog.Logger) (out []tools.Tool, err error) {
	out = append(out, tools.AskUser())
	if len(c.Fetch.Hosts) > 0 {
		t, err := fetch.New(fetch.Config{
			Hosts: c.Fetch.Hosts, Private: c.Fetch.Private, MaxBytes: c.Fetch.MaxBytes, Timeout: c.Fetch.Timeout,
		})
		if err != nil {
			return nil, badSetting("fetch.hosts: %s", strings.TrimPrefix(err.Error(), "fetch: "))
		}
		out = append(out, t)
	}
	if len(c.Documents) == 0 {
		return out, nil
	}
	docs, skipped, err := ReadDocuments(c.Documents)
	if err != nil {
		return nil, err
	}
	for _, x := range skipped {
		log.Warn("a document is left out, and nobody finds it", "source", x.Source, "name", wording.Reveal(x.Name),
			"why", x.Why)
	}
	t, err := retrieve.New(docs)
	if err != nil {
		return nil, badSetting("documents: %s", strings.TrimPrefix(err.Error(), "retrieve: "))
	}
	return append(out, t), nil
}

// readLibrary makes what settings say of the documents in the data folder.
func readLibrary(c config.Library) (out Library, err error) {
	out.On = c.On
	for _, f := range c.Follow {
		followed, err := readFollow(f)
		if err != nil {
			return out, err
		}
		out.Follow = append(out.Follow, followed)
	}
	if c.Embeddings == "" {
		if isElsewhere(c.Index) {
			return out, badSetting("library.index: an index keeps vectors; library.embeddings says who makes them")
		}
		return out, nil
	}
	key := ""
	if c.Key != "" {
		if key, err = c.Key.Reveal(); err != nil {
			return out, badSetting("library.key: %s", err)
		}
	}
	if out.Embed, err = library.NewEndpoint(c.Embeddings, c.Model, key); err != nil {
		return out, badSetting("library.embeddings: %s", err)
	}
	if isElsewhere(c.Index) {
		out.Place = c.Index.Kind + " " + c.Index.URL
		out.Index, err = readIndex(c.Index)
	}
	return out, err
}

func isElsewhere(c config.VectorIndex) bool { return c.Kind != "" && c.Kind != "embedded" }

// readIndex makes what settings say of a database of vectors. It is opened when it is first needed.
func readIndex(c config.VectorIndex) (library.Opener, error) {
	p := vectors.Place{URL: c.URL}
	if c.Key != "" {
		var err error
		if p.Key, err = c.Key.Reveal(); err != nil {
			return nil, badSetting("library.index.key: %s", err)
		}
	}
	open, err := vectors.Kind(c.Kind, p)
	if err != nil {
		return nil, badSetting("library.index: %s", err)
	}
	return open, nil
}

// A ToolServer is a server of tools with what was accepted of it.
type ToolServer struct {
	Server   *mcp.Server
	Accepted []mcp.Definition
}

// ToolSource makes the server of tools that the settings name, without starting it.
func ToolSource(m config.MCP, log *slog.Logger) (*mcp.Server, error) {
	c, err := ServerConfig(m, log)
	if err != nil {
		return nil, err
	}
	s, err := mcp.New(c)
	if err != nil {
		return nil, badSetting("tools: %s", strings.TrimPrefix(err.Error(), "mcp: "))
	}
	return s, nil
}

// ServerConfig is what settings say of a server of tools.
func ServerConfig(m config.MCP, log *slog.Logger) (mcp.Config, error) {
	c := mcp.Config{
		Name: m.Name, Command: m.Command, Dir: m.Dir, Memory: m.Memory << 20, URL: m.URL, Timeout: m.Timeout,
		Login: m.Login, Gate: reach.Gate{Private: m.Private}, Log: log, Resources: m.Resources, Prompts: m.Prompts,
	}
	for _, e := range m.Env {
		value := e.Value
		if e.Secret != "" {
			var err error
			if value, err = e.Secret.Reveal(); err != nil {
				return c, badSetting("tools: %s: env %s: %s", m.Name, e.Name, err)
			}
		}
		c.Env = append(c.Env, e.Name+"="+value)
	}
	if m.Token != "" {
		var err error
		if c.Token, err = m.Token.Reveal(); err != nil {
			return c, badSetting("tools: %s: token: %s", m.Name, err)
		}
	}
	return c, nil
}

// ownTools makes the tools of the operator's own that settings describe. None of their servers is started.
func ownTools(c *config.Config, book *tools.Book, log *slog.Logger) (
	out []tools.Tool, servers []ToolServer, err error,
) {
	from := map[string]string{}
	index, err := indexTool(c, book)
	if err != nil {
		return nil, nil, err
	}
	if index != nil {
		out = append(out, index)
	}
	prices, err := priceTool(c, book)
	if err != nil {
		return nil, nil, err
	}
	if prices != nil {
		out = append(out, prices)
	}
	for _, source := range c.Tools {
		if source.Index.Name != "" || source.Price.Name != "" {
			continue
		}
		if source.OpenAPI.Name != "" {
			list, err := interfaceTools(source.OpenAPI, book)
			if err != nil {
				return nil, nil, err
			}
			if out, err = addTools(out, from, source.Name(), list); err != nil {
				return nil, nil, err
			}
			continue
		}
		if source.Paid.Name != "" {
			list, err := paidTools(source.Paid, book)
			if err != nil {
				return nil, nil, err
			}
			if out, err = addTools(out, from, source.Name(), list); err != nil {
				return nil, nil, err
			}
			continue
		}
		if source.Contract.Name != "" {
			t, err := contractTool(source.Contract, book)
			if err != nil {
				return nil, nil, err
			}
			if out, err = addTools(out, from, source.Name(), []tools.Tool{t}); err != nil {
				return nil, nil, err
			}
			continue
		}
		if source.A2A.Name != "" {
			t, err := agentTool(source.A2A)
			if err != nil {
				return nil, nil, err
			}
			if out, err = addTools(out, from, source.Name(), []tools.Tool{t}); err != nil {
				return nil, nil, err
			}
			continue
		}
		if source.Wasm.Name != "" {
			t, err := moduleTool(source.Wasm)
			if err != nil {
				return nil, nil, err
			}
			if out, err = addTools(out, from, source.Name(), []tools.Tool{t}); err != nil {
				return nil, nil, err
			}
			continue
		}
		m := source.MCP
		s := ToolServer{}
		if s.Server, err = ToolSource(m, log); err != nil {
			return nil, nil, err
		}
		if s.Accepted, err = mcp.ReadAccepted(m.Accepted, m.Name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, badSetting("tools: %s: nothing of it was accepted yet; look at its tools with: writ tools diff %s",
				m.Name, m.Name)
		} else if err != nil {
			return nil, nil, badSetting("tools: %s: %s", m.Name, err)
		}
		servers = append(servers, s)
		list, err := toolsOf(m, s, book)
		if err != nil {
			return nil, nil, err
		}
		if out, err = addTools(out, from, m.Name, list); err != nil {
			return nil, nil, err
		}
	}
	return out, servers, nil
}

// indexTool makes the one tool that answers about the events that settings name, or nil. It has no file and no chain
// yet.
func indexTool(c *config.Config, book *tools.Book) (*chainindex.Index, error) {
	var sources []*chainindex.Source
	for _, t := range c.Tools {
		x := t.Index
		if x.Name == "" {
			continue
		}
		data, err := readLimited(x.ABI, calldata.MaxABI)
		if err != nil {
			return nil, badSetting("tools: %s: %s", x.Name, err)
		}
		address, err := book.Address(x.Address)
		if err != nil {
			return nil, badSetting("tools: %s: address: %s", x.Name, err)
		}
		s, err := chainindex.NewSource(chainindex.Config{
			Name: x.Name, Address: address, ABI: data, Event: x.Event, From: uint64(x.From), Amount: x.Amount, Asset: x.Asset,
			Book: book,
		})
		if err != nil {
			return nil, badSetting("tools: %s: %s", x.Name, err)
		}
		sources = append(sources, s)
	}
	if len(sources) == 0 {
		return nil, nil
	}
	out, err := chainindex.New(book, sources)
	if err != nil {
		return nil, badSetting("tools: %s", err)
	}
	return out, nil
}

// priceTool makes the one tool that reads the prices that settings name, or nil. It is on no chain yet.
func priceTool(c *config.Config, book *tools.Book) (*price.Tool, error) {
	var feeds []price.Feed
	for _, t := range c.Tools {
		x := t.Price
		if x.Name == "" {
			continue
		}
		f := price.Feed{Pair: x.Name, MaxAge: x.MaxAge, Grace: x.Grace, Quorum: int(x.Quorum)}
		var err error
		if f.Address, err = book.Address(x.Feed); err != nil {
			return nil, badSetting("tools: %s: feed: %s", x.Name, err)
		}
		if x.Sequencer != "" {
			if f.Sequencer, err = book.Address(x.Sequencer); err != nil {
				return nil, badSetting("tools: %s: sequencer: %s", x.Name, err)
			}
		}
		if n := len(c.Chain.RPC); n > 0 && f.Quorum > n {
			return nil, badSetting("tools: %s: quorum: %d of %d endpoints cannot agree; add endpoints to chain.rpc", x.Name,
				f.Quorum, n)
		}
		feeds = append(feeds, f)
	}
	if len(feeds) == 0 {
		return nil, nil
	}
	out, err := price.New(book, feeds)
	if err != nil {
		return nil, badSetting("tools: %s", err)
	}
	return out, nil
}

// DescribeGathered describes the tools that stand for several entries of the settings each: that which answers about
// events, and that which reads prices. No chain is asked.
func DescribeGathered(c *config.Config) (out []tools.Spec, err error) {
	book, err := bookOf(c.Chain)
	if err != nil {
		return nil, err
	}
	x, err := indexTool(c, book)
	if err != nil {
		return nil, err
	}
	if x != nil {
		out = append(out, x.Spec())
	}
	p, err := priceTool(c, book)
	if err != nil {
		return nil, err
	}
	if p != nil {
		out = append(out, p.Spec())
	}
	return out, nil
}

// openIndex opens the file of the events that the settings name, and follows them on the chain until the node is
// closed.
func (n *Node) openIndex(ctx context.Context, c *Config) (func() error, error) {
	i := slices.IndexFunc(c.Tools, func(t tools.Tool) bool { _, is := t.(*chainindex.Index); return is })
	if i < 0 {
		return nil, nil
	}
	open, err := c.Tools[i].(*chainindex.Index).Open(c.Data, n.pool, c.Log)
	if err != nil {
		return nil, badUse("%s", err)
	}
	c.Tools = slices.Clone(c.Tools)
	c.Tools[i] = open
	stop := runUntilClosed(ctx, open.Follow)
	return func() error { return errors.Join(stop(), open.Close()) }, nil
}

// addTools adds the tools of a source. from says of which source each name is.
func addTools(out []tools.Tool, from map[string]string, source string, list []tools.Tool) ([]tools.Tool, error) {
	for _, t := range list {
		name := t.Spec().Name
		if other := from[name]; other != "" {
			return nil, badSetting("tools: two tools are called %s, of %s and of %s; call one of them something else "+
				"with as, in the list use", name, other, source)
		}
		from[name] = source
		out = append(out, t)
	}
	return out, nil
}

// contractTool makes a tool of a contract's function. It is on no chain yet.
func contractTool(c config.Contract, book *tools.Book) (tools.Tool, error) {
	wrong := func(err error) error { return badSetting("tools: %s: %s", c.Name, err) }
	data, err := readLimited(c.ABI, calldata.MaxABI)
	if err != nil {
		return nil, wrong(err)
	}
	address, err := book.Address(c.Address)
	if err != nil {
		return nil, wrong(fmt.Errorf("address: %w", err))
	}
	use, err := useOf(c.Known(), book)
	if err != nil {
		return nil, wrong(err)
	}
	f, err := contract.Read(contract.Config{Address: address, ABI: data, Function: c.Function, Spec: tools.Spec{
		Name: c.Name, About: c.About, Book: book, Utterances: use.Utterances, Output: use.Output, AskWallet: use.AskWallet,
	}, Wallet: c.Wallet, Lets: c.Lets, Spend: contract.Move{Amount: c.Spend.Amount, Asset: c.Spend.Asset, To: c.Spend.To}})
	if err != nil {
		return nil, wrong(err)
	}
	return f, nil
}

// paidTools makes the tools that ask what an address costs, and pay that. They are on no chain yet.
func paidTools(c config.Paid, book *tools.Book) (out []tools.Tool, err error) {
	wrong := func(err error) error { return badSetting("tools: %s: %s", c.Name, err) }
	cfg := paid.Config{
		Name: c.Name, Hosts: c.Hosts, Methods: c.Methods, Book: book, Private: c.Private, Window: c.Window,
		Ask: c.Ask != "never", MaxBytes: c.MaxBytes, Timeout: c.Timeout,
	}
	for _, m := range c.Max {
		number, symbol, _ := strings.Cut(m, " ")
		symbol, token, err := book.Token(symbol)
		if err != nil {
			return nil, wrong(fmt.Errorf("max: %q: %w Write it as 0.05 USDC", m, err))
		}
		amount, err := money.ParseDecimal(money.Asset{Symbol: symbol, Decimals: token.Decimals}, number)
		if err != nil {
			return nil, wrong(fmt.Errorf("max: %q: %w; write it as 0.05 USDC", m, err))
		}
		cfg.Most = append(cfg.Most, amount)
	}
	list, err := paid.New(cfg)
	if err != nil {
		return nil, wrong(err)
	}
	for _, t := range list {
		out = append(out, t)
	}
	return out, nil
}

// DescribePaid describes the tools by which an agent buys. No chain and no server is asked.
func DescribePaid(c *config.Config, x config.Paid) (out []tools.Spec, err error) {
	book, err := bookOf(c.Chain)
	if err != nil {
		return nil, err
	}
	list, err := paidTools(x, book)
	for _, t := range list {
		out = append(out, t.Spec())
	}
	return out, err
}

// DescribeContract describes the tool that a contract's function is. No chain is asked.
func DescribeContract(c *config.Config, x config.Contract) (tools.Spec, error) {
	book, err := bookOf(c.Chain)
	if err != nil {
		return tools.Spec{}, err
	}
	t, err := contractTool(x, book)
	if err != nil {
		return tools.Spec{}, err
	}
	return t.Spec(), nil
}

// onChain puts the tools that call contracts, read prices or pay on the node's chain.
func onChain(list []tools.Tool, client *pool.Pool, c Chain) ([]tools.Tool, error) {
	out := slices.Clone(list)
	for i, t := range out {
		if p, is := t.(*price.Tool); is {
			var err error
			if out[i], err = p.On(client); err != nil {
				return nil, badSetting("tools: %s", err)
			}
			continue
		}
		if p, is := t.(*paid.Tool); is {
			var err error
			if out[i], err = p.On(client, c.Key, c.Final); err != nil {
				return nil, badSetting("tools: %s: %s", p.Spec().Name, err)
			}
			continue
		}
		f, is := t.(*contract.Function)
		switch {
		case !is:
			continue
		case f.Spec().Class == tools.Read:
			out[i] = f.On(client)
			continue
		case c.Key == nil && f.Spec().Class != tools.WalletTx:
			return nil, badSetting("tools: %s: the function writes, and there is no key of an account that pays; set chain.key",
				f.Spec().Name)
		}
		var err error
		if out[i], err = f.Sender(chainConfig(client, c)); err != nil {
			return nil, badSetting("tools: %s: %s", f.Spec().Name, err)
		}
	}
	return out, nil
}

// interfaceTools makes the tools of an HTTP interface.
func interfaceTools(o config.OpenAPI, book *tools.Book) (out []tools.Tool, err error) {
	wrong := func(err error) error { return badSetting("tools: %s: %s", o.Name, err) }
	data, err := ReadDocument(o.Document)
	if err != nil {
		return nil, wrong(err)
	}
	doc, err := openapi.Read(data)
	if err != nil {
		return nil, wrong(err)
	}
	auth, err := authOf(o.Auth)
	if err != nil {
		return nil, wrong(err)
	}
	address := cmp.Or(o.URL, doc.Server())
	if address == "" {
		return nil, wrong(errors.New("the document names no address to call; give it a url"))
	}
	client, err := openapi.NewClient(openapi.Config{
		Name: o.Name, URL: address, Auth: auth, KeyHeader: o.KeyHeader, MaxBytes: o.MaxBytes, Timeout: o.Timeout,
		Gate: reach.Gate{Private: o.Private},
	})
	if err != nil {
		return nil, wrong(err)
	}
	for _, u := range o.Use {
		if u.Reconcile.IsSet() || u.Elicit {
			return nil, wrong(fmt.Errorf("use: %s: reconcile and elicit are for servers of tools (mcp)", u.Tool))
		}
		use, err := useOf(u, book)
		if err != nil {
			return nil, wrong(err)
		}
		spec := tools.Spec{
			Name: cmp.Or(u.As, openapi.ToolName(o.Name, u.Tool)), Class: cmp.Or(use.Class, tools.Once), Spend: use.Spend,
			Book: use.Book, Utterances: use.Utterances, Foreign: !o.Vouched, Output: use.Output, Clearance: use.Clearance,
			AskWallet: use.AskWallet,
		}
		t, err := doc.Tool(client, openapi.Use{Operation: u.Tool, Spec: spec, Fields: u.Fields})
		if err != nil {
			return nil, wrong(err)
		}
		out = append(out, t)
	}
	return out, nil
}

// ReadDocument reads the file of an OpenAPI document. One that is too long is cut, and refused later.
func ReadDocument(path string) ([]byte, error) { return readLimited(path, openapi.MaxDocument) }

// readLimited reads an ordinary file, of one that is too long a byte more than allowed.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, readNow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no ordinary file", path)
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// authOf reveals the secrets by which an interface knows its caller.
func authOf(a config.ToolAuth) (out openapi.Auth, err error) {
	out = openapi.Auth{User: a.User, Header: a.Header, Query: a.Query}
	if a.OAuth.TokenURL != "" {
		out.OAuth = &openapi.OAuth{TokenURL: a.OAuth.TokenURL, ID: a.OAuth.ID, Scopes: a.OAuth.Scopes}
		if out.OAuth.Secret, err = a.OAuth.Secret.Reveal(); err != nil {
			return out, err
		}
	}
	for _, s := range []struct {
		from config.Secret
		to   *string
	}{{a.Bearer, &out.Bearer}, {a.Password, &out.Password}, {a.Key, &out.Key}} {
		if s.from == "" {
			continue
		}
		if *s.to, err = s.from.Reveal(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// toolsOf makes the tools of one server.
func toolsOf(m config.MCP, s ToolServer, book *tools.Book) (out []tools.Tool, err error) {
	unused := map[string]bool{}
	uses := map[string]config.ToolUse{}
	for _, u := range m.Use {
		uses[u.Tool], unused[u.Tool] = u, true
	}
	for _, d := range s.Accepted {
		known := uses[d.Name]
		known.Class = cmp.Or(known.Class, string(d.Class()))
		use, err := useOf(known, book)
		if err != nil {
			return nil, badSetting("tools: %s: use: %s: %s", m.Name, d.Name, err)
		}
		use.Vouched, use.Elicit = m.Vouched, known.Elicit
		if use.Reconcile, err = secondOf(known.Reconcile, uses, s.Accepted); err != nil {
			return nil, badSetting("tools: %s: use: %s: reconcile: %s", m.Name, d.Name, err)
		}
		t, err := s.Server.Tool(d, use)
		if err != nil {
			return nil, badSetting("tools: %s", err)
		}
		delete(unused, d.Name)
		out = append(out, t)
	}
	for _, name := range slices.Sorted(maps.Keys(unused)) {
		return nil, badSetting("tools: %s: use names the tool %q, of which nothing was accepted; see: writ tools diff %s",
			m.Name, name, m.Name)
	}
	return out, nil
}

// secondOf returns the second tool that settings name, or nil.
func secondOf(x config.Second, uses map[string]config.ToolUse, accepted []mcp.Definition) (*mcp.Second, error) {
	if !x.IsSet() {
		return nil, nil
	}
	i := slices.IndexFunc(accepted, func(d mcp.Definition) bool { return d.Name == x.Tool })
	switch {
	case i < 0:
		return nil, fmt.Errorf("the tool %q is none that was accepted", x.Tool)
	case uses[x.Tool].Class != string(tools.Read):
		return nil, fmt.Errorf("the tool %q is asked by itself, so it must only read: say class: read of it", x.Tool)
	}
	out := &mcp.Second{Tool: accepted[i], Settle: x.Settle, Rule: tools.Reconciliation{
		Arguments: map[string]string{}, Field: x.Field, Done: x.Done, NotDone: x.NotDone,
	}}
	for _, g := range x.Arguments {
		if out.Rule.Arguments[g.Name] != "" {
			return nil, fmt.Errorf("the argument %q is given twice", g.Name)
		}
		out.Rule.Arguments[g.Name] = g.From
	}
	return out, nil
}

// useOf returns what the settings say of a tool.
func useOf(u config.ToolUse, book *tools.Book) (mcp.Use, error) {
	out := mcp.Use{Name: u.As, Class: tools.Class(u.Class), AskWallet: u.Asks(), Utterances: u.Utterances}
	i, secrecy, err := u.Label()
	if err != nil {
		return out, err
	}
	out.Output = &tools.Output{Integrity: i, Secrecy: secrecy}
	if u.Clearance != "" {
		if out.Clearance, err = label.ParseSecrecy(u.Clearance); err != nil {
			return out, err
		}
	}
	if u.Spend != (config.ToolMove{}) {
		out.Spend = &tools.Spend{Amount: u.Spend.Amount, Asset: u.Spend.Asset, To: u.Spend.To}
		out.Book = book
	}
	return out, nil
}

// openTools looks once at each server of tools, so that the log says early what is not there or has changed, and ends
// them all with the node.
func (n *Node) openTools(ctx context.Context, c *Config) (func() error, error) {
	if len(c.ToolServers) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, s := range c.ToolServers {
		wg.Go(func() { s.reportChanges(ctx, c.Log) })
	}
	return func() error {
		cancel()
		var all []error
		for _, s := range c.ToolServers {
			all = append(all, s.Server.Close())
		}
		wg.Wait()
		return errors.Join(all...)
	}, nil
}

// reportChanges logs how a server differs from what was accepted.
func (s ToolServer) reportChanges(ctx context.Context, log *slog.Logger) {
	now, faults, err := s.Server.List(ctx)
	if err != nil {
		return // the failure has been logged
	}
	for _, c := range mcp.Compare(s.Server.Name(), s.Accepted, now, faults) {
		if c.Kind == "changed" || c.Kind == "gone" || c.Kind == "unusable" && c.Was != "" {
			log.WarnContext(ctx, "a tool is not as it was accepted, and is not called", "server", s.Server.Name(),
				"tool", wording.Reveal(c.Tool), "is", c.Kind, "next", "writ tools diff "+s.Server.Name())
		}
	}
}

// standIns are tools that settings would fill.
func standIns() ([]tools.Tool, error) {
	page, err := fetch.New(fetch.Config{Hosts: []string{"example.com"}})
	if err != nil {
		return nil, err
	}
	search, err := retrieve.New([]retrieve.Document{{Source: "example", Text: "example"}})
	if err != nil {
		return nil, err
	}
	return []tools.Tool{page, search}, nil
}

// AddStandIns gives a node that is only rehearsed what agents may name and settings would fill: an account that pays,
// pages and documents.
func AddStandIns(c *Config) error {
	more, err := standIns()
	if err != nil {
		return err
	}
	for _, t := range more {
		has := func(o tools.Tool) bool { return o.Spec().Name == t.Spec().Name }
		if !slices.ContainsFunc(c.Tools, has) {
			c.Tools = append(c.Tools, t)
		}
	}
	if c.Chain.Key == nil {
		c.Chain.Key = devchain.Accounts()["agent"].Key
	}
	return nil
}

// DescribedTools returns all tools that a node can have, to be described and not to be called: no chain is asked, and
// what settings would name has stand-ins.
func DescribedTools() ([]*tools.Def, error) {
	client, err := pool.New(pool.Config{URLs: []string{"http://127.0.0.1:1"}, Chain: devchain.ID})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list, err := chainTools(client, Chain{Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key},
		new(mandates.Desk))
	if err != nil {
		return nil, err
	}
	more, err := standIns()
	if err != nil {
		return nil, err
	}
	var defs []*tools.Def
	for _, t := range append(append(list, tools.AskUser()), more...) {
		d, err := tools.Compile(t.Spec())
		if err != nil {
			return nil, err
		}
		defs = append(defs, d)
	}
	return defs, nil
}
