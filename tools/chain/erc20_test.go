package chain

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
)

func TestReasonOfARevertIsShortAndPrintable(t *testing.T) {
	// Error(string), as Solidity's require makes it.
	says := func(s string) []byte {
		b := append(common.FromHex("08c379a0"), common.LeftPadBytes([]byte{32}, 32)...)
		b = append(b, common.LeftPadBytes(big.NewInt(int64(len(s))).Bytes(), 32)...)
		return append(b, common.RightPadBytes([]byte(s), (len(s)+31)/32*32)...)
	}
	for _, tt := range []struct {
		rule string
		data []byte
		want string
	}{
		{"a text is quoted", says("paused"), `the token refused it, saying "paused"`},
		{"control characters and quotes are dropped", says("a\n\"\u202eb"), `the token refused it, saying "ab"`},
		{"a long text is cut", says(strings.Repeat("x", 500)), `the token refused it, saying "` + strings.Repeat("x", 100) + `"`},
		{"a custom error has no text", common.FromHex("e450d38c"), "the token refused it"},
		{"nothing has no text", nil, "the token refused it"},
		{"a length that lies", append(common.FromHex("08c379a0"), bytes.Repeat([]byte{0xff}, 64)...), "the token refused it"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got := reasonOf(tt.data); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// An rpcError is what go-ethereum's client makes of a node's answer.
type rpcError struct {
	code int
	text string
	data any
}

func (e *rpcError) Error() string  { return e.text }
func (e *rpcError) ErrorCode() int { return e.code }
func (e *rpcError) ErrorData() any { return e.data }

func TestRefusedIsToldFromOtherErrors(t *testing.T) {
	for _, tt := range []struct {
		rule string
		err  error
		want bool
	}{
		{"a revert with data", &rpcError{3, "execution reverted", "0xe450d38c"}, true},
		{"a revert without data, as some nodes answer", &rpcError{-32000, "execution reverted: paused", nil}, true},
		{"another answer of the node", &rpcError{-32000, "intrinsic gas too low", nil}, false},
		{"no answer", errors.New("connection refused"), false},
		{"no error", nil, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if _, got := errors.AsType[*refusal](explainRefusal(tt.err)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAcceptedReturnValues(t *testing.T) {
	for out, want := range map[string]bool{
		"":                                true, // as USDT
		strings.Repeat("00", 31) + "01":   true,
		strings.Repeat("00", 32):          false,
		strings.Repeat("00", 31) + "02":   false,
		"01":                              false,
		strings.Repeat("00", 31) + "0101": false,
	} {
		b, _ := hex.DecodeString(out)
		if got := checkAnswer(b) == nil; got != want {
			t.Errorf("%s: got %v, want %v", out, got, want)
		}
	}
}

func FuzzUnpackTransfer(f *testing.F) {
	f.Add(packTransfer(common.Address{1}, uint256.NewInt(5)))
	f.Fuzz(func(t *testing.T, data []byte) {
		to, n, ok := unpackTransfer(data)
		if !ok {
			return
		}
		u, _ := uint256.FromBig(n)
		if again := packTransfer(to, u); !bytes.Equal(again, data) {
			t.Errorf("%x reads as %s to %s, which is written %x", data, n, to, again)
		}
	})
}
