package calldata_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/tools/calldata"
)

// A batch has the bytes that viem 2's encodeExecuteData makes of it (viem/experimental/erc7821), and one spelling.
func TestABatch(t *testing.T) {
	account := common.HexToAddress("0x00000000000000000000000000000000000a11ce")
	calls := []calldata.Call{
		{From: account, To: common.HexToAddress("0x1111111111111111111111111111111111111111"), Value: new(uint256.Int), Data: []byte{0xab, 0xcd}},
		{From: account, To: common.HexToAddress("0x2222222222222222222222222222222222222222"), Value: uint256.NewInt(7), Data: []byte{1}},
	}
	got, err := calldata.PackBatch(account, calls...)
	if err != nil || got.To != account || !got.Value.IsZero() {
		t.Fatalf("%+v, %v", got, err)
	}
	word := func(tail string) string { return strings.Repeat("0", 64-len(tail)) + tail }
	right := func(head string) string { return head + strings.Repeat("0", 64-len(head)) }
	want := "e9ae5c53" + right("01") + word("40") + word("1c0") +
		word("20") + word("2") + word("40") + word("e0") +
		word(strings.Repeat("1", 40)) + word("0") + word("60") + word("2") + right("abcd") +
		word(strings.Repeat("2", 40)) + word("7") + word("60") + word("1") + right("01")
	if common.Bytes2Hex(got.Data) != want {
		t.Errorf("got %x, want %s", got.Data, want)
	}
	read, ok := calldata.ReadBatch(got)
	if !ok || len(read) != 2 || read[1].To != calls[1].To || !read[1].Value.Eq(calls[1].Value) || !bytes.Equal(read[0].Data, calls[0].Data) {
		t.Errorf("read as %+v, %v", read, ok)
	}
	for rule, change := range map[string]func(c *calldata.Call){
		"to another account":             func(c *calldata.Call) { c.To = calls[0].To },
		"with coin":                      func(c *calldata.Call) { c.Value = uint256.NewInt(1) },
		"in a mode that lets calls fail": func(c *calldata.Call) { c.Data[5] = 1 },
		"with a byte behind":             func(c *calldata.Call) { c.Data = append(c.Data, 0) },
		"cut":                            func(c *calldata.Call) { c.Data = c.Data[:200] },
	} {
		c := got
		c.Data = bytes.Clone(got.Data)
		change(&c)
		if _, ok := calldata.ReadBatch(c); ok {
			t.Errorf("%s it is a batch", rule)
		}
	}
}
