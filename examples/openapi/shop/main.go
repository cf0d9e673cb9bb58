// Shop is an HTTP interface, as anybody may run one: it takes orders, each key once, from who has its token. It knows
// nothing of writ.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

type order struct {
	ID     int             `json:"id"`
	Item   string          `json:"item"`
	Count  int             `json:"count"`
	ShipTo json.RawMessage `json:"ship_to,omitempty"`
	Margin string          `json:"internal_margin"` // which is nobody's business
}

func main() {
	var mu sync.Mutex
	var orders []order
	byKey := map[string]order{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		write(w, 200, map[string]any{"orders": orders})
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		o, again := byKey[key]
		if !again {
			if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
				write(w, 400, map[string]string{"error": "no order"})
				return
			}
			o.Count = max(o.Count, 1)
			o.ID, o.Margin = len(orders)+1, "40%"
			orders, byKey[key] = append(orders, o), o
		}
		write(w, 201, o)
	})
	token := "Bearer " + os.Getenv("SHOP_TOKEN")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", ln.Addr())
	log.Fatal(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != token {
			write(w, 401, map[string]string{"error": "who are you?"})
			return
		}
		mux.ServeHTTP(w, r)
	})))
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
