package eth_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/tools/mined"
)

// A node that has forgotten, lags or lies gives no answer, and never one that is held against a record.
func TestWhatIsNoAnswerAboutATransaction(t *testing.T) {
	tx, block, other := common.Hash{1}.Hex(), common.Hash{2}.Hex(), common.Hash{3}.Hex()
	at := mined.Place{Chain: 5, Tx: common.Hash{1}, Number: 9, Block: common.Hash{2}}
	node := func(chain, receipt, blocks string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Method string }
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			says := map[string]string{"eth_chainId": `"` + chain + `"`, "eth_getTransactionReceipt": receipt,
				"eth_getBlockByNumber": blocks}[q.Method]
			w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":` + says + `}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	of := func(tx, block string) string {
		return `{"transactionHash":"` + tx + `","blockHash":"` + block + `","status":"0x1","logs":[]}`
	}
	holds := func(hash, txs string) string { return `{"hash":"` + hash + `","transactions":[` + txs + `]}` }
	says := func(rest string) string {
		return `{"transactionHash":"` + tx + `","blockHash":"` + block + `"` + rest + `}`
	}
	has := node("0x5", of(tx, block), "null")
	for name, tt := range map[string]struct {
		urls []string
		want mined.Receipt // if there is no error
		err  string
	}{
		"it is there":            {[]string{has}, mined.Receipt{Stands: true, Block: at.Block, OK: true}, ""},
		"two agree":              {[]string{has, has}, mined.Receipt{Stands: true, Block: at.Block, OK: true}, ""},
		"one does not answer":    {[]string{"http://127.0.0.1:1", has}, mined.Receipt{Stands: true, Block: at.Block, OK: true}, ""},
		"in another block":       {[]string{node("0x5", of(tx, other), holds(block, ""))}, mined.Receipt{Stands: true, Block: common.Hash{3}, OK: true}, ""},
		"its block has gone":     {[]string{node("0x5", of(tx, other), holds(other, ""))}, mined.Receipt{Block: common.Hash{3}, OK: true}, ""},
		"it is not there":        {[]string{node("0x5", "null", holds(block, `"`+other+`"`))}, mined.Receipt{Stands: true}, ""},
		"it was forgotten":       {[]string{node("0x5", "null", holds(block, `"`+tx+`"`))}, mined.Receipt{}, "no longer what became of it"},
		"the node lags":          {[]string{node("0x5", "null", "null")}, mined.Receipt{}, "does not have block 9"},
		"the node gives another": {[]string{node("0x5", of(other, block), "null")}, mined.Receipt{}, "gave another"},
		"two contradict":         {[]string{has, node("0x5", "null", holds(block, ""))}, mined.Receipt{}, "contradict each other"},
		"it has no status":       {[]string{node("0x5", says(`,"logs":[]`), "null")}, mined.Receipt{}, "does not say what became of"},
		"its status is null":     {[]string{node("0x5", says(`,"status":null,"logs":[]`), "null")}, mined.Receipt{}, "does not say what became of"},
		"its status is 2":        {[]string{node("0x5", says(`,"status":"0x2","logs":[]`), "null")}, mined.Receipt{}, "does not say what became of"},
		"its status is true":     {[]string{node("0x5", says(`,"status":true,"logs":[]`), "null")}, mined.Receipt{}, "not of its form"},
		"it has no events":       {[]string{node("0x5", says(`,"status":"0x1"`), "null")}, mined.Receipt{}, "does not say what became of"},
		"its events are null":    {[]string{node("0x5", says(`,"status":"0x1","logs":null`), "null")}, mined.Receipt{}, "does not say what became of"},
		"it reverted":            {[]string{node("0x5", says(`,"status":"0x0","logs":[]`), "null")}, mined.Receipt{Stands: true, Block: at.Block}, ""},
		"zeros before its status": {[]string{node("0x5", says(`,"status":"0x01","logs":[]`), "null")},
			mined.Receipt{Stands: true, Block: at.Block, OK: true}, ""},
		"a sick one beside":      {[]string{node("0x5", says(`,"logs":[]`), "null"), has}, mined.Receipt{Stands: true, Block: at.Block, OK: true}, ""},
		"a block without a hash": {[]string{node("0x5", "null", `{"number":"0x9","transactions":[]}`)}, mined.Receipt{}, "gave another"},
		"a block of another number": {[]string{node("0x5", "null", `{"number":"0x8","hash":"`+other+`","transactions":[]}`)},
			mined.Receipt{}, "gave another"},
		"a block that lists nothing": {[]string{node("0x5", "null", `{"number":"0x9","hash":"`+block+`","transactions":null}`)},
			mined.Receipt{}, "gave another"},
		"another chain":  {[]string{node("0x6", of(tx, block), "null")}, mined.Receipt{}, "no endpoint of yours"},
		"nobody answers": {[]string{"http://127.0.0.1:1"}, mined.Receipt{}, "no endpoint of chain 5"},
	} {
		chains, err := eth.DialAll(tt.urls)
		if err != nil {
			t.Fatal(err)
		}
		got, err := chains.Mined(t.Context(), at)
		switch {
		case (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		case errors.Is(err, mined.ErrNobody) != (name == "another chain"):
			t.Errorf("%s: whether it is another chain's is taken for %v", name, err)
		case err == nil && (got.Stands != tt.want.Stands || got.Block != tt.want.Block || got.OK != tt.want.OK):
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// Null is no answer: not chain 0, not a contract without code, and not a log that was never anchored.
func TestNullIsNoAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		body map[string]string // by method; the rest of the response
		err  string
	}{
		"all of it":             {nil, ""},
		"no chain":              {map[string]string{"eth_chainId": `"id":1,"result":null`}, "eth_chainId: the result is not of its form"},
		"a chain as a number":   {map[string]string{"eth_chainId": `"id":1,"result":5`}, "not of its form"},
		"no code":               {map[string]string{"eth_getCode": `"id":1,"result":null`}, "eth_getCode: the result is not of its form"},
		"no events":             {map[string]string{"eth_getLogs": `"id":1,"result":null`}, "says nothing of the contract's events"},
		"events in an object":   {map[string]string{"eth_getLogs": `"id":1,"result":{}`}, "not of its form"},
		"no result":             {map[string]string{"eth_getLogs": `"id":1`}, "not of its form"},
		"another's response":    {map[string]string{"eth_getLogs": `"id":7,"result":[]`}, "the response is to another question"},
		"the id as a text":      {map[string]string{"eth_getLogs": `"id":"1","result":[]`}, ""},
		"an error of no id":     {map[string]string{"eth_getLogs": `"id":null,"error":{"code":-32005,"message":"limit exceeded"}`}, "limit exceeded"},
		"an error that is text": {map[string]string{"eth_getLogs": `"id":1,"error":"slow down"`}, "not JSON-RPC"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Method string }
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			body, bent := tt.body[q.Method]
			if !bent {
				body = `"id":1,"result":` + map[string]string{"eth_chainId": `"0x5"`, "eth_getCode": `"0x"`, "eth_getLogs": `[]`}[q.Method]
			}
			w.Write([]byte(`{"jsonrpc":"2.0",` + body + `}`))
		}))
		t.Cleanup(s.Close)
		c, err := eth.Dial(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Anchors(t.Context(), [20]byte{1}, 0); (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
	}
}
