// Package contract makes tools of a contract's functions, as its ABI describes them.
//
// [Read] finds a function in an ABI and makes its inputs typed arguments: addresses are names
// of the [tools.Book] or 0x, small integers are integers, larger ones decimal texts, tuples are objects. A call is
// answered at one block, which the result names; what the contract returns is decoded with the ABI's names, and what it
// says when it reverts too, by its own errors. A function that writes is of class chain: it is simulated, signed and
// sent by [Function.Sender], as a payment is, and what moves by it is what its [Move] says.
package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

const maxReturn = 32 << 10 // bytes that a call returns

// A Client is what a call needs of a node.
type Client interface {
	ChainID(ctx context.Context) (*big.Int, error)
	HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error)
	CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, block common.Hash) ([]byte, error)
}

// A Move says which arguments of a function that writes say what moves. Amount is an input, in smallest units of Asset,
// a token of the book; or, of a payable function, another name by which the amount of native coin that goes along is an
// argument. To is the input that says who gets it; the contract if empty. The zero Move is of what moves nothing.
type Move struct{ Amount, Asset, To string }

// A Config says which function of which contract is a tool. Spec has what the operator knows of it: name, labels,
// clearance, utterances; its Book is required. Its class is read of functions that read, and chain of all others.
type Config struct {
	Spend    Move
	Wallet   bool // the user's own wallet sends what the function writes
	Lets     bool // the contract is let take the amount first, by the same transaction: see [tools.Contract]
	Address  common.Address
	ABI      []byte // a list, or an object with the member abi
	Function string // its name, or its signature if there are several of the name: balanceOf(address)
	Spec     tools.Spec
}

// A Function is a tool that calls one function of a contract. Before [Function.On] it can be described only.
type Function struct {
	client  Client
	address common.Address
	abi     abi.ABI
	fn      *calldata.Function
	spec    tools.Spec
}

// Read reads the ABI and makes the function's description.
func Read(c Config) (*Function, error) {
	if c.Spec.Book == nil {
		return nil, errors.New("a book of names is required")
	}
	parsed, err := calldata.ReadABI(c.ABI)
	if err != nil {
		return nil, err
	}
	f := &Function{address: c.Address, abi: parsed, spec: c.Spec}
	method, err := calldata.FindMethod(parsed, c.Function)
	if err != nil {
		return nil, err
	}
	f.fn = calldata.New(method)
	f.spec.Class, f.spec.Definition = tools.Read, provenance.NewRaw(c.ABI).CID.String()
	does := "Reads %s of the contract %s."
	if !method.IsConstant() {
		f.spec.Class, does = tools.ChainTx, "Calls %s of the contract %s by a transaction from the agent's account."
		if c.Wallet {
			f.spec.Class, does = tools.WalletTx, "Has the user's own wallet call %s of the contract %s."
		}
		if c.Lets {
			does = "Has the user's own wallet call %s of the contract %s, which is let take the amount by the same transaction."
		}
	} else if c.Spend != (Move{}) || c.Lets {
		return nil, fmt.Errorf("the function %s only reads, and has a spend", method.RawName)
	}
	if f.spec.About == "" {
		f.spec.About = fmt.Sprintf(does, method.Sig, c.Address.Hex())
	}
	if f.spec.Schema, err = f.schema(c.Spend, c.Lets); err != nil {
		return nil, fmt.Errorf("the function %s: %w", method.RawName, err)
	}
	def, err := tools.Compile(f.spec)
	if err != nil {
		return nil, err
	}
	f.spec = def.Spec()
	return f, nil
}

// On returns the tool on a chain.
func (f *Function) On(c Client) *Function {
	on := *f
	on.client = c
	return &on
}

// Spec describes the tool.
func (f *Function) Spec() tools.Spec { return f.spec }

// A result is what a call returns.
type result struct {
	Values    map[string]any `json:"values"`
	Chain     uint64         `json:"chain"`
	Block     string         `json:"block"`
	BlockHash string         `json:"block_hash"`
}

// Call calls the function at the newest block. Its errors are [*tools.Error]: bad_argument, reverted, no_contract,
// unreadable, wrong_chain, chain_unavailable.
func (f *Function) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if f.client == nil {
		return nil, errors.New("the function is on no chain")
	}
	if f.spec.Class != tools.Read {
		return nil, errors.New("the function is signed and sent, not called")
	}
	data, err := f.fn.Pack(f.spec.Book, in.Args)
	if err != nil {
		return nil, err
	}
	id, err := f.client.ChainID(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	if !id.IsUint64() || id.Uint64() != f.spec.Book.Chain {
		return nil, errorf("wrong_chain",
			"The node serves chain %s, but the address book is for chain %d; tell the operator.", id, f.spec.Book.Chain)
	}
	head, err := f.client.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, unavailable(err)
	}
	out, err := f.client.CallContractAtHash(ctx, ethereum.CallMsg{To: &f.address, Data: data}, head.Hash())
	if err != nil {
		return nil, f.explain(err)
	}
	values, err := f.unpack(out)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(result{values, f.spec.Book.Chain, head.Number.String(), head.Hash().Hex()})
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

func errorf(code, format string, args ...any) *tools.Error {
	return &tools.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unavailable says that nothing answered. The node's own words stay in the error, for the operator.
func unavailable(err error) error {
	told := errorf("chain_unavailable", "The chain cannot be reached now; try again in a minute.")
	return fmt.Errorf("%w (%w)", told, err)
}

// explain tells why a call was refused: by the contract's own errors, by a reason, or without one.
func (f *Function) explain(err error) error {
	data, reverted := ethclient.RevertErrorData(err)
	if e, ok := errors.AsType[rpc.Error](err); !reverted && (!ok || !strings.HasPrefix(e.Error(), "execution reverted")) {
		return unavailable(err)
	}
	return errorf("reverted", "The contract refuses the call%s.", f.Reason(data))
}

// tokenErrors are the errors of ERC-20 tokens, as of ERC-6093.
var tokenErrors = sync.OnceValue(func() abi.ABI {
	const list = `[
{"type":"error","name":"ERC20InsufficientBalance","inputs":[{"name":"sender","type":"address"},{"name":"balance","type":"uint256"},{"name":"needed","type":"uint256"}]},
{"type":"error","name":"ERC20InvalidSender","inputs":[{"name":"sender","type":"address"}]},
{"type":"error","name":"ERC20InvalidReceiver","inputs":[{"name":"receiver","type":"address"}]},
{"type":"error","name":"ERC20InsufficientAllowance","inputs":[{"name":"spender","type":"address"},{"name":"allowance","type":"uint256"},{"name":"needed","type":"uint256"}]},
{"type":"error","name":"ERC20InvalidApprover","inputs":[{"name":"approver","type":"address"}]},
{"type":"error","name":"ERC20InvalidSpender","inputs":[{"name":"spender","type":"address"}]}]`
	parsed, err := abi.JSON(strings.NewReader(list))
	if err != nil {
		panic("contract: the errors of tokens: " + err.Error()) // a constant of this program
	}
	return parsed
})

// Reason tells by which error a contract has reverted, as the end of a sentence.
func (f *Function) Reason(data []byte) string {
	if reason, err := abi.UnpackRevert(data); err == nil {
		return fmt.Sprintf(", saying %q", calldata.Clean(reason, 100))
	}
	if len(data) >= 4 && len(data) <= maxReturn {
		e, err := f.abi.ErrorByID([4]byte(data[:4]))
		if err != nil { // a token's, perhaps, that the contract calls
			known := tokenErrors()
			e, err = known.ErrorByID([4]byte(data[:4]))
		}
		if err == nil {
			if values, err := e.Inputs.Unpack(data[4:]); err == nil {
				b, _ := json.Marshal(calldata.Show(values))
				return fmt.Sprintf(" with the error %s%s", calldata.Clean(e.Name, 100), calldata.Clean(string(b), 300))
			}
		}
	}
	return " and does not say why"
}

// unpack decodes what the contract returned, by the ABI's names; values without one are 0, 1 and so on.
func (f *Function) unpack(out []byte) (map[string]any, error) {
	switch {
	case len(out) == 0 && len(f.fn.Method.Outputs) > 0:
		return nil, errorf("no_contract", "There is no contract at %s that has this function; tell the operator.",
			f.address.Hex())
	case len(out) > maxReturn:
		return nil, errorf("unreadable", "The contract returns %d bytes; at most %d are read.", len(out), maxReturn)
	}
	values, err := f.fn.Method.Outputs.Unpack(out)
	if err != nil {
		return nil, errorf("unreadable", "The contract does not answer as its ABI says; tell the operator.")
	}
	named := map[string]any{}
	for i, v := range values {
		name := f.fn.Method.Outputs[i].Name
		if _, twice := named[name]; name == "" || twice {
			name = fmt.Sprint(i)
		}
		named[name] = calldata.Show(v)
	}
	return named, nil
}
