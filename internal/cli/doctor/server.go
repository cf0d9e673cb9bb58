package doctor

import (
	"context"
	"net/http"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
)

// serverOf returns the address of the settings' server and who asks it.
func serverOf(cfg *config.Config) (url string, client *http.Client) {
	scheme := "http://"
	if cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	return scheme + cfg.Listen, cli.OwnClient(cfg.TLS.Cert)
}

// readStatus returns the HTTP status of a page, or 0.
func readStatus(ctx context.Context, client *http.Client, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
