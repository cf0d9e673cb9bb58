// Service is a durable HTTP service around an agent: what it may not do by itself waits for a person, and goes on
// waiting over a restart.
//
//	POST /ask               {"ask": "tell bob hello"}    the answer, or "waiting"
//	GET  /waiting                                        what waits for the wallet
//	POST /waiting/{run}     {"approve": true}            signs it, or refuses it
//	GET  /runs/{run}                                     what came of a run
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
)

// A note is what the tool sends, with nested arguments as any JSON API has them.
type note struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

func send(_ context.Context, n note) (string, error) {
	log.Printf("a note went out")
	return "sent to " + n.To, nil
}

func main() {
	addr := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	path := flag.String("db", "service.db", "where the journal is kept")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, *path); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr, path string) (err error) {
	a, err := agent.Open(ctx, agent.Config{
		Name: "clerk", Store: "sqlite:" + path,
		Tools: []agent.Tool{agent.Func("note.send", "Sends a note.", agent.Once, send, "tell {to} {text}")},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("listening on http://%s", listener.Addr())
	srv := &http.Server{Handler: handler(a), ReadTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }() // ended by Shutdown; its end is waited for
	select {
	case err = <-done:
		return err
	case <-ctx.Done():
		err = srv.Shutdown(context.WithoutCancel(ctx))
		<-done
		return err
	}
}

// handler is the service. It listens on loopback and has no sign-in: put one in front of it, or use the writ server.
func handler(a *agent.Agent) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ask", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Ask string }
		if !read(w, r, &q) {
			return
		}
		answer, err := a.Ask(r.Context(), q.Ask)
		replyAnswer(w, answer, err)
	})
	mux.HandleFunc("GET /runs/{run}", func(w http.ResponseWriter, r *http.Request) {
		answer, err := find(r.Context(), a, r.PathValue("run"))
		replyAnswer(w, answer, err)
	})
	mux.HandleFunc("GET /waiting", func(w http.ResponseWriter, r *http.Request) {
		list, err := a.Approvals(r.Context())
		waits := []any{} // an empty list is [], not null
		for _, p := range list {
			waits = append(waits, map[string]any{"run": p.Run.String(), "what": p.Text, "args": p.Args, "until": p.Until})
		}
		reply(w, waits, err)
	})
	mux.HandleFunc("POST /waiting/{run}", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Approve bool }
		if !read(w, r, &q) {
			return
		}
		if err := decide(r.Context(), a, r.PathValue("run"), q.Approve); err != nil {
			reply(w, nil, err)
			return
		}
		answer, err := find(r.Context(), a, r.PathValue("run"))
		replyAnswer(w, answer, err)
	})
	return mux
}

func find(ctx context.Context, a *agent.Agent, id string) (*agent.Answer, error) {
	c, err := cid.Decode(id)
	if err != nil {
		return nil, agent.ErrNotFound
	}
	run, err := a.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	return run.Wait(ctx)
}

func decide(ctx context.Context, a *agent.Agent, id string, approve bool) error {
	list, err := a.Approvals(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		switch {
		case p.Run.String() != id:
		case approve:
			return p.Approve(ctx)
		default:
			return p.Refuse(ctx, "refused by the desk")
		}
	}
	return agent.ErrNotFound
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(into)
	if err != nil {
		http.Error(w, "send a JSON object; see the head of this program", http.StatusBadRequest)
	}
	return err == nil
}

func replyAnswer(w http.ResponseWriter, a *agent.Answer, err error) {
	if err != nil {
		reply(w, nil, err)
		return
	}
	reply(w, map[string]string{
		"run": a.Run.String(), "head": a.Head.String(), "outcome": a.Outcome, "text": a.Text,
	}, nil)
}

func reply(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, agent.ErrNotFound):
		http.Error(w, "there is no such run, or nothing of it waits", http.StatusNotFound)
		return
	case err != nil:
		log.Print(err)
		http.Error(w, "that did not work; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print(err)
	}
}
