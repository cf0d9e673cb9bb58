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
		"another chain":          {[]string{node("0x6", of(tx, block), "null")}, mined.Receipt{}, "no endpoint of yours"},
		"nobody answers":         {[]string{"http://127.0.0.1:1"}, mined.Receipt{}, "no endpoint of chain 5"},
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
