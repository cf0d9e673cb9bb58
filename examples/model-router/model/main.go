// Command model stands for two providers on this machine, so that the example needs no network: /small/v1 and
// /premium/v1 speak as OpenAI's Chat Completions do, and say who they are. While the file that the first argument names
// is there, small answers 503, as a provider that is overloaded.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: model FILE")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", ln.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{provider}/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		provider := r.PathValue("provider")
		if _, err := os.Stat(os.Args[1]); err == nil && provider == "small" {
			http.Error(w, `{"error":{"message":"overloaded","type":"server_error"}}`, http.StatusServiceUnavailable)
			return
		}
		answer(w, r, provider)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(s.Serve(ln))
}

// answer streams one sentence and what it cost in tokens.
func answer(w http.ResponseWriter, r *http.Request, provider string) {
	var asked struct{ Model string }
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil {
		http.Error(w, `{"error":{"message":"not JSON"}}`, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(choices, usage string) {
		fmt.Fprintf(w, `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":%q,"choices":%s%s}`+"\n\n",
			asked.Model, choices, usage)
	}
	send(fmt.Sprintf(`[{"index":0,"delta":{"role":"assistant","content":%q}}]`, "The model "+provider+" answers."), "")
	send(`[{"index":0,"delta":{},"finish_reason":"stop"}]`, "")
	send(`[]`, fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":5,"total_tokens":%d}`, len(body)/4, len(body)/4+5))
	fmt.Fprint(w, "data: [DONE]\n\n")
}
