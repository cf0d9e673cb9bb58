package devchain

import (
	"context"
	"crypto/ecdsa"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/catalyst"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/tools"
)

// ID is the EIP-155 id of the dev chain.
const ID = 1337

//go:embed contracts/USDC.json
var usdcJSON []byte

//go:embed contracts/names.json
var namesJSON []byte

// The dev accounts, in the order of their making, with what each holds at the start in whole USDC. The deployer owns
// the token.
var devAccounts = []struct {
	name string
	usdc int64
}{{"deployer", 0}, {"agent", 1000}, {"alice", 1000}, {"bob", 25}, {"mallory", 0}}

// An Account is an account of the dev chain. Its key is made from its name and so is known to everybody: never send
// anything of value to it.
type Account struct {
	Address common.Address
	Key     *ecdsa.PrivateKey
}

// Accounts returns the accounts of the dev chain by name: deployer, agent, alice, bob and mallory. Each has 100 ETH;
// agent and alice have 1,000 USDC, bob has 25.
func Accounts() map[string]Account {
	all := make(map[string]Account, len(devAccounts))
	for _, a := range devAccounts {
		key, err := crypto.ToECDSA(crypto.Keccak256([]byte("writ dev chain: " + a.name)))
		if err != nil {
			panic("dev account " + a.name + ": " + err.Error()) // a constant of this program
		}
		all[a.name] = Account{crypto.PubkeyToAddress(key.PublicKey), key}
	}
	return all
}

// Book returns the names and tokens of the dev chain: agent, alice, bob and mallory; USDC and ETH. It is the same for
// every dev chain, since accounts and the token's address do not depend on when one was started.
func Book() *tools.Book {
	b := &tools.Book{Chain: ID, Names: map[string]common.Address{}, Tokens: map[string]tools.Token{
		"ETH": {Decimals: 18},
	}}
	for name, a := range Accounts() {
		if name == "deployer" {
			b.Tokens["USDC"] = tools.Token{Address: crypto.CreateAddress(a.Address, 0), Decimals: 6}
		} else {
			b.Names[name] = a.Address
		}
	}
	return b
}

// Names returns the registry of the dev chain's names: agent.eth, alice.eth, bob.eth and mallory.eth, each of which
// leads to the account of that name and back. It is the same for every dev chain.
func Names() common.Address {
	deployer := Accounts()["deployer"].Address
	nonce := uint64(1) // that of the token is 0
	for _, a := range devAccounts {
		if a.usdc > 0 {
			nonce++
		}
	}
	return crypto.CreateAddress(deployer, nonce)
}

// nodeOf is the number by which a registry knows a name (EIP-137, namehash).
func nodeOf(name string) (node common.Hash) {
	labels := strings.Split(name, ".")
	for _, label := range slices.Backward(labels) {
		node = crypto.Keccak256Hash(node[:], crypto.Keccak256([]byte(label)))
	}
	return node
}

// packNames returns the transaction data that deploys the names.
func packNames() ([]byte, error) {
	var artifact struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(namesJSON, &artifact); err != nil {
		return nil, err
	}
	var nodes, reverse []common.Hash
	var accounts []common.Address
	var names []string
	for _, a := range devAccounts[1:] {
		at := Accounts()[a.name].Address
		nodes, accounts, names = append(nodes, nodeOf(a.name+".eth")), append(accounts, at), append(names, a.name+".eth")
		reverse = append(reverse, nodeOf(strings.ToLower(at.Hex()[2:])+".addr.reverse"))
	}
	args, err := artifact.ABI.Pack("", nodes, accounts, reverse, names)
	return append(artifact.Bytecode, args...), err
}

// A Config says how a dev chain runs. The zero value works.
type Config struct {
	Addr string // loopback host:port; 127.0.0.1 and a free port if empty
	// Interval is how long the chain gathers transactions, after the first one, before it mines them; 20 ms if 0.
	Interval time.Duration
	Log      *slog.Logger // logs nothing if nil
}

// ErrInUse says that another program listens at the address.
var ErrInUse = errors.New("the address is in use")

// A Chain is a running dev chain. It lives in memory: closed, it is gone.
type Chain struct {
	node   *node.Node
	beacon *catalyst.SimulatedBeacon
	pool   interface {
		Stats() (pending, queued int)
		Sync() error
	}
	log  *slog.Logger
	stop context.CancelFunc
	done sync.WaitGroup
	once sync.Once
	err  error // of the first Close
}

// Start starts a dev chain, deploys its token and its names and hands out the balances; the Delegation Framework's
// contracts are there from the beginning. It listens on loopback only, since its keys are public, and serves the eth,
// net and web3 methods over HTTP. A block is mined whenever transactions wait. The caller closes it; ctx bounds the
// start only. [ErrInUse] says that another program has the address.
func Start(ctx context.Context, c Config) (*Chain, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	host, port, err := splitLoopback(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("dev chain: %w", err)
	}
	if c.Interval == 0 {
		c.Interval = 20 * time.Millisecond
	}
	if c.Interval < 0 || c.Interval > time.Minute {
		return nil, fmt.Errorf("dev chain: an interval of %v is not between 0 and 1 minute", c.Interval)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d, backend, err := assembleNode(host, port)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("dev chain: %w: %s; choose another port, or 0 for a free one", ErrInUse, c.Addr)
		}
		return nil, fmt.Errorf("dev chain: %w", err)
	}
	d.log = c.Log
	if err := d.deployToken(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("dev chain: token: %w", err), d.Close())
	}
	mining, stop := context.WithCancel(context.Background()) // outlives ctx, which bounds the start
	d.stop = stop
	pending := make(chan core.NewTxsEvent, 64)
	sub := backend.TxPool().SubscribeTransactions(pending, true)
	d.done.Go(func() {
		defer sub.Unsubscribe()
		d.mineBlocks(mining, pending, c.Interval)
	})
	return d, nil
}

// splitLoopback splits an address and refuses one that others could reach.
func splitLoopback(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q is not host:port", addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", 0, fmt.Errorf("address %q is not on loopback; the dev accounts' keys are public", addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not between 0 and 65535", p)
	}
	return host, int(n), nil
}

// assembleNode builds and starts the node as ethclient/simulated does. That package is not used itself because it
// panics on a port in use and does not say when a transaction arrives.
func assembleNode(host string, port int) (*Chain, *eth.Ethereum, error) {
	conf := node.DefaultConfig
	conf.DataDir = ""
	conf.P2P = p2p.Config{NoDiscovery: true}
	conf.HTTPHost, conf.HTTPPort = host, port
	conf.HTTPModules = []string{"eth", "net", "web3"}
	stack, err := node.New(&conf)
	if err != nil {
		return nil, nil, err
	}
	alloc := core.SystemContractAllocs()
	for _, a := range Accounts() {
		alloc[a.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(100), big.NewInt(params.Ether))}
	}
	framework, err := frameworkAlloc()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the Delegation Framework: %w", err), stack.Close())
	}
	maps.Copy(alloc, framework)
	ethConf := ethconfig.Defaults
	ethConf.Genesis = &core.Genesis{Config: params.AllDevChainProtocolChanges, GasLimit: ethConf.Miner.GasCeil,
		Alloc: alloc}
	ethConf.SyncMode = ethconfig.FullSync
	ethConf.TxPool.NoLocals = true
	ethConf.LogNoHistory = true
	backend, err := eth.New(stack, &ethConf)
	if err != nil {
		return nil, nil, errors.Join(err, stack.Close())
	}
	// Events are asked for by eth_getLogs, which no service brings along by itself.
	stack.RegisterAPIs([]rpc.API{{Namespace: "eth",
		Service: filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{}))}})
	if err := stack.Start(); err != nil {
		return nil, nil, errors.Join(err, stack.Close())
	}
	beacon, err := catalyst.NewSimulatedBeacon(0, common.Address{}, backend)
	if err == nil {
		err = beacon.Fork(backend.BlockChain().GetCanonicalHash(0))
	}
	if err != nil {
		return nil, nil, errors.Join(err, stack.Close())
	}
	return &Chain{node: stack, beacon: beacon, pool: backend.TxPool()}, backend, nil
}

// deployToken makes the token, the balances and the names, all in the first block.
func (d *Chain) deployToken(ctx context.Context) error {
	client := ethclient.NewClient(d.node.Attach())
	defer client.Close()
	sent, last, err := sendToken(ctx, client)
	if err != nil {
		return err
	}
	// The pool takes transactions in on its own time. All are waited for, so that they share the first block and the
	// chain begins alike each time.
	if err := pollUntil(ctx, func() bool { ready, _ := d.pool.Stats(); return ready == sent }); err != nil {
		return fmt.Errorf("transactions are not accepted: %w", err)
	}
	d.beacon.Commit()
	var receipt *types.Receipt
	err = pollUntil(ctx, func() (ok bool) {
		receipt, _ = client.TransactionReceipt(ctx, last) // an error says that the node still indexes
		newest, _ := client.BlockNumber(ctx)              // it serves a receipt before the newest state is that of its block
		return receipt != nil && newest >= receipt.BlockNumber.Uint64()
	})
	if err != nil {
		return fmt.Errorf("transactions are not mined: %w", err)
	}
	if receipt.Status != types.ReceiptStatusSuccessful {
		return errors.New("the last transaction was reverted")
	}
	return nil
}

// sendToken sends the transactions that make the token, the balances and the names. It returns how many there are, and
// the last.
func sendToken(ctx context.Context, client *ethclient.Client) (sent int, last common.Hash, err error) {
	var artifact struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(usdcJSON, &artifact); err != nil {
		return 0, last, err
	}
	accounts := Accounts()
	token := Book().Tokens["USDC"].Address
	send := func(to *common.Address, data []byte) error {
		tx, err := types.SignNewTx(accounts["deployer"].Key, types.LatestSignerForChainID(big.NewInt(ID)),
			&types.DynamicFeeTx{
				ChainID: big.NewInt(ID), Nonce: uint64(sent), To: to, Data: data, Gas: 2_000_000,
				GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(10 * params.GWei),
			})
		if err != nil {
			return err
		}
		last = tx.Hash()
		sent++
		return client.SendTransaction(ctx, tx)
	}
	if err := send(nil, artifact.Bytecode); err != nil {
		return 0, last, err
	}
	for _, a := range devAccounts {
		if a.usdc == 0 {
			continue
		}
		data, err := artifact.ABI.Pack("mint", accounts[a.name].Address, big.NewInt(a.usdc*1_000_000))
		if err != nil {
			return 0, last, err
		}
		if err := send(&token, data); err != nil {
			return 0, last, err
		}
	}
	names, err := packNames()
	if err != nil {
		return 0, last, err
	}
	return sent, last, send(nil, names)
}

// pollUntil asks until the answer is yes, or for 10 seconds.
func pollUntil(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// mineBlocks makes blocks while transactions wait, until ctx ends.
func (d *Chain) mineBlocks(ctx context.Context, pending <-chan core.NewTxsEvent, interval time.Duration) {
	timer := time.NewTimer(interval)
	timer.Stop()
	armed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-pending:
			if !armed {
				armed = true
				timer.Reset(interval)
			}
		case <-timer.C:
			block := d.beacon.Commit()
			if err := d.pool.Sync(); err != nil {
				d.log.Warn("transaction pool does not follow", "err", err)
			}
			d.log.Debug("block mined", "hash", block)
			// What did not fit, or what the miner skipped, waits one interval, so that this loop never spins.
			waiting, _ := d.pool.Stats()
			if armed = waiting > 0; armed {
				timer.Reset(interval)
			}
		}
	}
}

// URL returns where the chain serves JSON-RPC, e.g. "http://127.0.0.1:8545".
func (d *Chain) URL() string { return d.node.HTTPEndpoint() }

// Close stops the chain and waits until it has stopped. Calling it again does nothing and returns the same error.
func (d *Chain) Close() error {
	d.once.Do(func() {
		if d.stop != nil {
			d.stop()
		}
		d.done.Wait()
		d.err = errors.Join(d.beacon.Stop(), d.node.Close())
	})
	return d.err
}
