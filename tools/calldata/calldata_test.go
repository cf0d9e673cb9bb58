package calldata_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

const vault = "0x00000000000000000000000000000000000000ff"

func compile(t testing.TB, entry, props, required string) *tools.Def {
	t.Helper()
	d, err := tools.Compile(tools.Spec{
		Name: "vault.put", About: "Puts.", Class: tools.ChainTx, Book: devchain.Book(),
		Spend: &tools.Spend{Amount: "assets", Asset: "asset", To: "to"},
		Schema: fmt.Appendf(nil, `{"type":"object","additionalProperties":false,"required":[%s],"properties":{%s},
			"x-contract":{"address":"%s","function":%s}}`, required, props, vault, entry),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const moves = `"assets":{"type":"string","format":"amount","x-asset":"asset"},
	"asset":{"type":"string","format":"token","const":"USDC"},"to":{"type":"string","format":"address","const":"` + vault + `"}`

func every(t testing.TB) *tools.Def {
	f, err := calldata.Parse([]byte(`{"type":"function","name":"put","stateMutability":"nonpayable","inputs":[
		{"name":"assets","type":"uint256"},{"name":"who","type":"address"},{"name":"n","type":"int16"},{"name":"h","type":"bytes4"},
		{"name":"b","type":"bytes"},{"name":"text","type":"string"},{"name":"ok","type":"bool"},{"name":"list","type":"uint64[]"},
		{"name":"pairs","type":"tuple[2]","components":[{"name":"x","type":"int256"},{"name":"y","type":"address"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	props, err := f.Properties()
	if err != nil {
		t.Fatal(err)
	}
	entry, err := f.Entry()
	if err != nil {
		t.Fatal(err)
	}
	delete(props, "assets")
	said, required := moves, `"assets"`
	for name, p := range props {
		said += fmt.Sprintf(",%q:%s", name, marshal(t, p))
		required += fmt.Sprintf(",%q", name)
	}
	return compile(t, string(entry), said, required)
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const said = `{"assets":"5.25","who":"bob","n":-7,"h":"0xdeadbeef","b":"0x0102","text":"h\u200bi","ok":true,"list":["1","18446744073709551615"],
	"pairs":[{"x":"-9","y":"alice"},{"x":"0","y":"bob"}]}`

// What is made of arguments is read back as these arguments, and in one spelling only.
func TestThereAndBack(t *testing.T) {
	d := every(t)
	args, err := d.Read([]byte(said))
	if err != nil {
		t.Fatal(err)
	}
	c, err := calldata.Of(d, args, common.Address{})
	if err != nil || c.To.Hex() != args.To.Hex() || !c.Value.IsZero() {
		t.Fatalf("%+v, %v", c, err)
	}
	back, err := calldata.Read(d, c)
	if err != nil || back.Amount != args.Amount || back.To != args.To || back.Value("who").Addr != args.Value("who").Addr {
		t.Errorf("%+v, %v", back, err)
	}
	for rule, change := range map[string]func(*calldata.Call){
		"coin besides":     func(c *calldata.Call) { c.Value = uint256.NewInt(1) },
		"another contract": func(c *calldata.Call) { c.To[0] = 1 },
		"another function": func(c *calldata.Call) { c.Data[0]++ },
		"bytes behind":     func(c *calldata.Call) { c.Data = append(c.Data, 0) },
		"too short":        func(c *calldata.Call) { c.Data = c.Data[:3] },
	} {
		bad := calldata.Call{To: c.To, Value: c.Value, Data: bytes.Clone(c.Data)}
		change(&bad)
		if _, err := calldata.Read(d, bad); err == nil {
			t.Errorf("%s: it is read", rule)
		}
	}
}

// Whatever bytes are read as a call are just those that are made of what was read.
func FuzzRead(f *testing.F) {
	d := every(f)
	args, err := d.Read([]byte(said))
	if err != nil {
		f.Fatal(err)
	}
	c, err := calldata.Of(d, args, common.Address{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := calldata.Call{To: c.To, Value: new(uint256.Int), Data: data}
		args, err := calldata.Read(d, in)
		if err != nil {
			return
		}
		out, err := calldata.Of(d, args, common.Address{})
		if err != nil || !bytes.Equal(out.Data, data) || args.Amount.IsZero() {
			t.Errorf("%x: %x, %v", data, out.Data, err)
		}
	})
}

// Whatever is read as a signature is one that reads as itself again.
func FuzzParseSignature(f *testing.F) {
	for _, s := range []string{
		"balanceOf(address)", "f()", "f((uint256,address)[],bool)", "symbol", "f(", "f(,)", "f((((", "f(a)", "f(uint256[][][])", "f()()",
		"f(uint8[99999999999])", "f(uint256[1000000000])", "f(uint8[1000][1000][1000])", "f(tuple)", "f(function)", "f(fixed128x18)", "f(())",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fn, err := calldata.ParseSignature(s)
		if err != nil {
			return
		}
		again, err := calldata.ParseSignature(fn.Method.Sig)
		if err != nil || again.Method.Sig != fn.Method.Sig {
			t.Errorf("%q is %q, and that is %v, %v", s, fn.Method.Sig, again, err)
		}
	})
}

// Events that cannot be read cost nothing.
func FuzzEvent(f *testing.F) {
	f.Add("Transfer(address indexed from, address indexed to, uint256 value)", make([]byte, 32), uint8(2))
	f.Add("E(uint256[])", bytes.Repeat([]byte{0xff}, 64), uint8(0))
	f.Fuzz(func(t *testing.T, s string, data []byte, n uint8) {
		e, err := calldata.ParseEvent(s)
		if err != nil {
			return
		}
		topics := append([]common.Hash{e.ID}, make([]common.Hash, n%4)...)
		values, ok := e.Read(topics, data)
		if ok && len(values) > len(e.Inputs) {
			t.Errorf("%q: %v", s, values)
		}
	})
}
