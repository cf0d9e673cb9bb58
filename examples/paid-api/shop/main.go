// Shop sells a forecast over HTTP by x402, as anybody may: who asks gets 402 and an offer, who pays gets the forecast.
// It settles payments by itself, with the account of bob on a dev chain, whose key is public. It knows nothing of writ.
//
// What it sells at /forecast costs 0.01 USDC. At /broken it takes the money and fails; at /liar it says that it was
// paid and takes nothing; /greedy costs more each time.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
)

type shop struct {
	chain *ethclient.Client
	bob   devchain.Account
	token common.Address

	mu    sync.Mutex // guards what follows, and sells to one at a time
	nonce uint64
	price int64 // of what is greedy, in millionths
}

func main() {
	log.SetFlags(0)
	c, err := ethclient.Dial(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := &shop{chain: c, bob: devchain.Accounts()["bob"], token: devchain.Book().Tokens["USDC"].Address, price: 10_000}
	fmt.Printf("http://%s\n", ln.Addr())
	log.Fatal(http.Serve(ln, s))
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	payment, price := r.Header.Get("PAYMENT-SIGNATURE"), int64(10_000)
	if r.URL.Path == "/greedy" {
		price, s.price = s.price, s.price+1000
	}
	if payment == "" {
		s.offer(w, r, price)
		return
	}
	said := map[string]any{"success": true, "network": "eip155:1337", "transaction": common.Hash{1}.Hex()}
	if r.URL.Path != "/liar" {
		tx, err := s.settle(r.Context(), payment)
		if err != nil {
			log.Print(err)
			s.offer(w, r, price)
			return
		}
		said["transaction"] = tx
	}
	if r.URL.Path == "/broken" {
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	w.Header().Set("PAYMENT-RESPONSE", encode(said))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, `{"tomorrow":"sunny, 21 degrees"}`)
}

func encode(v any) string {
	b, _ := json.Marshal(v) // it cannot fail: all are texts and numbers
	return base64.StdEncoding.EncodeToString(b)
}

func (s *shop) offer(w http.ResponseWriter, r *http.Request, price int64) {
	w.Header().Set("PAYMENT-REQUIRED", encode(map[string]any{
		"x402Version": 2, "error": "pay first", "resource": map[string]any{"url": r.URL.String()},
		"accepts": []any{map[string]any{
			"scheme": "exact", "network": "eip155:1337", "amount": fmt.Sprint(price), "asset": s.token.Hex(),
			"payTo": s.bob.Address.Hex(), "maxTimeoutSeconds": 60,
			"extra": map[string]any{"name": "USD Coin (dev)", "version": "2"},
		}},
	}))
	w.WriteHeader(http.StatusPaymentRequired)
}

// settle has the token take a payment, and waits until it has.
func (s *shop) settle(ctx context.Context, header string) (string, error) {
	var p struct {
		Payload struct {
			Signature     hexutil.Bytes
			Authorization struct{ From, To, Value, ValidAfter, ValidBefore, Nonce string }
		}
	}
	raw, err := base64.StdEncoding.DecodeString(header)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil || len(p.Payload.Signature) != 65 {
		return "", errors.New("no payment that can be read")
	}
	a, sig := p.Payload.Authorization, p.Payload.Signature
	if common.HexToAddress(a.To) != s.bob.Address || a.Value != "10000" {
		return "", errors.New("not what it costs")
	}
	word := func(n string) []byte {
		v, _ := new(big.Int).SetString(n, 10)
		return common.BigToHash(v).Bytes()
	}
	address := func(s string) []byte { return common.LeftPadBytes(common.HexToAddress(s).Bytes(), 32) }
	data := slices.Concat(crypto.Keccak256([]byte("transferWithAuthorization(address,address,uint256,uint256,uint256," +
		"bytes32,uint8,bytes32,bytes32)"))[:4], address(a.From), address(a.To), word(a.Value), word(a.ValidAfter),
		word(a.ValidBefore), common.HexToHash(a.Nonce).Bytes(), word(fmt.Sprint(sig[64])), sig[:64])
	tx, err := types.SignNewTx(s.bob.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: s.nonce, To: &s.token, Data: data, Gas: 200_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = s.chain.SendTransaction(ctx, tx)
	}
	if err != nil {
		return "", err
	}
	for s.nonce++; ; time.Sleep(20 * time.Millisecond) {
		r, err := s.chain.TransactionReceipt(ctx, tx.Hash())
		switch {
		case err == nil && r.Status == types.ReceiptStatusSuccessful:
			return tx.Hash().Hex(), nil
		case err == nil:
			return "", errors.New("the token refuses it")
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}
