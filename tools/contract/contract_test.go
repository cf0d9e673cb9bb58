package contract

import (
	"context"
	"encoding/hex"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

const tokenABI = `[
{"type":"function","name":"balanceOf","stateMutability":"view","inputs":[{"name":"_owner","type":"address"}],"outputs":[{"name":"","type":"uint256"}]},
{"type":"function","name":"allowance","stateMutability":"view","inputs":[{"name":"","type":"address"},{"name":"","type":"address"}],"outputs":[{"name":"left","type":"uint256"}]},
{"type":"function","name":"symbol","stateMutability":"view","inputs":[],"outputs":[{"name":"","type":"string"}]},
{"type":"function","name":"decimals","stateMutability":"view","inputs":[],"outputs":[{"name":"","type":"uint8"}]},
{"type":"function","name":"transferFrom","stateMutability":"view","inputs":[{"name":"from","type":"address"},{"name":"to","type":"address"},{"name":"value","type":"uint256"}],"outputs":[{"name":"","type":"bool"}]},
{"type":"function","name":"transfer","stateMutability":"nonpayable","inputs":[{"name":"to","type":"address"},{"name":"value","type":"uint256"}],"outputs":[{"name":"","type":"bool"}]},
{"type":"function","name":"get","stateMutability":"view","inputs":[{"name":"a","type":"uint8"}],"outputs":[]},
{"type":"function","name":"get","stateMutability":"view","inputs":[{"name":"a","type":"bool"}],"outputs":[]},
{"type":"error","name":"ERC20InsufficientAllowance","inputs":[{"name":"spender","type":"address"},{"name":"balance","type":"uint256"},{"name":"needed","type":"uint256"}]}
]`

func function(t *testing.T, source, name string) *Function {
	t.Helper()
	f, err := Read(Config{Address: devchain.Book().Tokens["USDC"].Address, ABI: []byte(source), Function: name,
		Spec: tools.Spec{Name: "x.y", Book: devchain.Book()}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func call(t *testing.T, f *Function, args string) (string, error) {
	t.Helper()
	def, err := tools.Compile(f.Spec())
	if err != nil {
		t.Fatal(err)
	}
	a, err := def.Read([]byte(args))
	if err != nil {
		return "", err
	}
	out, err := f.Call(t.Context(), tools.Input{Args: a})
	return string(out), err
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestAContractIsReadOnARealChain(t *testing.T) {
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range []struct{ name, args, want, code string }{
		{"balanceOf", `{"owner":"agent"}`, `"values":{"0":"`, ""},
		{"allowance", `{"arg0":"agent","arg1":"bob"}`, `"values":{"left":"0"}`, ""},
		{"symbol", `{}`, `"values":{"0":"USDC"}`, ""},
		{"decimals", `{}`, `"values":{"0":"6"}`, ""},
		{"transferFrom", `{"from":"agent","to":"bob","value":"5"}`, "The contract refuses the call with the error " +
			`ERC20InsufficientAllowance["0x0000000000000000000000000000000000000000","0","5"]`, "reverted"},
		{"get(bool)", `{"a":true}`, "does not say why", "reverted"},
		{"balanceOf", `{"owner":"nobody"}`, "unknown", "unknown_name"},
	} {
		out, err := call(t, function(t, tokenABI, tt.name).On(c), tt.args)
		if err != nil {
			out = err.Error()
		}
		if codeOf(err) != tt.code || tt.code != "unknown_name" && !strings.Contains(out, tt.want) {
			t.Errorf("%s %s: got %s (%s), want %s", tt.name, tt.args, out, codeOf(err), tt.want)
		}
		if err == nil && (!strings.Contains(out, `"block_hash":"0x`) || !strings.Contains(out, `"chain":1337`)) {
			t.Errorf("%s: %s names no block", tt.name, out)
		}
	}
	nowhere := function(t, tokenABI, "symbol").On(c)
	nowhere.address = common.Address{1}
	if _, err := call(t, nowhere, `{}`); codeOf(err) != "no_contract" {
		t.Errorf("no contract: %v", err)
	}
}

func TestFunctionsThatAreRefused(t *testing.T) {
	deep := `[{"type":"function","name":"f","stateMutability":"view","inputs":[{"name":"a","type":"uint8[][][][]"}],"outputs":[]}]`
	for name, tt := range map[string]struct{ source, function, want string }{
		"an unknown one":          {tokenABI, "balanceof", `did you mean "balanceOf"?`},
		"one of two":              {tokenABI, "get", "name one by its signature"},
		"no ABI":                  {"{", "f", "the ABI cannot be read"},
		"lists in lists in lists": {deep, "f", "nested deeper"},
		"too long":                {strings.Repeat(" ", calldata.MaxABI+1), "f", "more than"},
	} {
		_, err := Read(Config{ABI: []byte(tt.source), Function: tt.function, Spec: tools.Spec{Name: "x.y", Book: devchain.Book()}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if f := function(t, `{"abi":`+tokenABI+`}`, "symbol"); f.Spec().Definition == "" || f.Spec().Class != tools.Read {
		t.Errorf("an artifact: %+v", f.Spec())
	}
}

// canned answers every call with the same bytes.
type canned struct {
	out  []byte
	sent []byte
}

func (c *canned) ChainID(context.Context) (*big.Int, error) { return big.NewInt(1337), nil }
func (c *canned) HeaderByNumber(context.Context, *big.Int) (*types.Header, error) {
	return &types.Header{Number: big.NewInt(7), Difficulty: new(big.Int)}, nil
}
func (c *canned) CallContractAtHash(_ context.Context, m ethereum.CallMsg, _ common.Hash) ([]byte, error) {
	c.sent = m.Data
	return c.out, nil
}

const everyABI = `[{"type":"function","name":"f","stateMutability":"pure","inputs":[
{"name":"n","type":"uint256"},{"name":"i","type":"int16"},{"name":"b","type":"bytes"},{"name":"h","type":"bytes4"},{"name":"ok","type":"bool"},
{"name":"s","type":"string"},{"name":"who","type":"address[]"},{"name":"two","type":"uint64[2]"},
{"name":"p","type":"tuple","components":[{"name":"to","type":"address"},{"name":"x","type":"int256"}]}],
"outputs":[{"name":"n","type":"uint256"},{"name":"i","type":"int16"},{"name":"b","type":"bytes"},{"name":"h","type":"bytes4"},{"name":"ok","type":"bool"},
{"name":"s","type":"string"},{"name":"who","type":"address[]"},{"name":"two","type":"uint64[2]"},
{"name":"p","type":"tuple","components":[{"name":"to","type":"address"},{"name":"x","type":"int256"}]}]}]`

// What is encoded of the arguments decodes to the same values: every type goes there and back.
func TestEveryTypeGoesThereAndBack(t *testing.T) {
	f := function(t, everyABI, "f")
	bob := devchain.Book().Names["bob"].Hex()
	args := `{"n":"115792089237316195423570985008687907853269984665640564039457584007913129639935","i":-7,"b":"0x0102","h":"0xdeadbeef",` +
		`"ok":true,"s":"h\u200bi","who":["bob","` + bob + `"],"two":["1","18446744073709551615"],"p":{"to":"bob","x":"-9"}}`
	c := &canned{}
	if _, err := call(t, f.On(c), args); codeOf(err) != "no_contract" { // it has answered nothing yet
		t.Fatal(err)
	}
	c.out = c.sent[4:]
	got, err := call(t, f.On(c), args)
	want := `"values":{"b":"0x0102","h":"0xdeadbeef","i":"-7","n":"115792089237316195423570985008687907853269984665640564039457584007913129639935",` +
		`"ok":true,"p":{"to":"` + bob + `","x":"-9"},"s":"hi","two":["1","18446744073709551615"],"who":["` + bob + `","` + bob + `"]}`
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, bad := range []struct{ from, to string }{
		{`"n":"1157`, `"n":"91157`}, {`"x":"-9"`, `"x":"1e3"`}, {`"x":"-9"`, `"x":"007"`}, {`0xdeadbeef`, `0xdead`}, {`0x0102`, `0102`},
		{`["bob",`, `["nobody",`}, {`["1","18446744073709551615"]`, `["1","18446744073709551616"]`}, {`"i":-7`, `"i":40000`},
	} {
		if _, err := call(t, f.On(c), strings.Replace(args, bad.from, bad.to, 1)); codeOf(err) != "bad_argument" {
			t.Errorf("%s: %v", bad.to, err)
		}
	}
}

// Bytes that are not what the ABI says, also lists that are said to be endless, cost nothing and are an error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 32*20))
	bomb, _ := hex.DecodeString(strings.Repeat("0000000000000000000000000000000000000000000000000000000000000020", 40))
	f.Add(bomb)
	fn, err := Read(Config{ABI: []byte(everyABI), Function: "f", Spec: tools.Spec{Name: "x.y", Book: devchain.Book()}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		values, err := fn.unpack(out)
		if err == nil && reflect.ValueOf(values).Len() != len(fn.fn.Method.Outputs) {
			t.Errorf("%x: %v", out, values)
		}
	})
}
