package openai

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/model/endpoint"
)

const probeTimeout = 400 * time.Millisecond

// A Found is a server on this machine that speaks the dialect.
type Found struct {
	URL    string   // a base URL for [Config], with "/v1"
	Models []string // their names, sorted; at most 64
}

// Probe asks each base URL for its models, all at once, and returns those that answered, in the order of the URLs.
// Only this machine is asked: other URLs are passed over. No key is sent. It takes less than half a second.
func Probe(ctx context.Context, urls []string) []Found {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy: loopback is here
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	found := make([]Found, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		wg.Go(func() { found[i] = askServer(ctx, client, strings.TrimRight(u, "/")) })
	}
	wg.Wait()
	return slices.DeleteFunc(found, func(f Found) bool { return f.URL == "" })
}

func askServer(ctx context.Context, client *http.Client, base string) Found {
	u, err := url.Parse(base)
	if err != nil || !endpoint.IsLoopback(u.Hostname()) {
		return Found{}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/models", nil)
	if err != nil {
		return Found{}
	}
	res, err := client.Do(req)
	if err != nil {
		return Found{}
	}
	defer res.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(b, &list) != nil || list.Data == nil {
		return Found{}
	}
	f := Found{URL: base}
	for _, m := range list.Data {
		if m.ID != "" && len(m.ID) <= 200 && len(f.Models) < 64 {
			f.Models = append(f.Models, m.ID)
		}
	}
	slices.Sort(f.Models)
	return f
}
