package cli

import (
	"crypto/ed25519"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
)

// A served server is the one that `writ serve` runs by the settings of this folder.
type served struct{ data, url, cert string }

// readServed reads the settings as `writ serve` does, if there are any.
func (s *Shell) readServed() (out served, err error) {
	if _, err := os.Stat(config.DefaultFile); err != nil && s.Env("WRIT_DATA") == "" {
		return out, nil
	}
	cfg, err := config.Load(config.Sources{Env: os.LookupEnv})
	if err != nil {
		return out, Usage("%s", err)
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return out, Usage("listen: %s", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	return served{cfg.Data, scheme + net.JoinHostPort(host, port), cfg.TLS.Cert}, nil
}

// FindData finds the data folder of the server on this machine: the flag's, else that of the settings, else that of a
// running writ dev. url is the server's address, if the settings say it.
func (s *Shell) FindData(flag string) (data, url string, err error) {
	if flag != "" {
		return flag, "", nil
	}
	at, err := s.readServed()
	if err != nil {
		return "", "", err
	}
	if at.data != "" && hasOperator(at.data) {
		return at.data, at.url, nil
	}
	var n DevNote
	if s.Load("dev.json", &n) == nil && n.Data != "" {
		return n.Data, "", nil
	}
	if at.data != "" {
		return "", "", Usage("there is no operator's key in %s, the data folder of the settings; writ serve makes it",
			at.data)
	}
	return "", "", Usage("name the server's data folder: --data DIR, or data in %s", config.DefaultFile)
}

func hasOperator(data string) bool {
	_, err := os.Stat(filepath.Join(data, "operator.key"))
	return err == nil
}

// An Operated server is one on this machine whose operator's key is here.
type Operated struct {
	URL    string
	Client *http.Client // that trusts the server's own certificate
	Key    ed25519.PrivateKey
}

// FindOperator finds the server on this machine, and its operator's key in the data folder; see [Shell.FindData].
func (s *Shell) FindOperator(data, server string) (of Operated, err error) {
	data, at, err := s.FindData(data)
	if err != nil {
		return of, err
	}
	if !hasOperator(data) {
		return of, Usage("there is no operator's key in %s", data)
	}
	if of.Key, err = datadir.OperatorKey(data); err != nil {
		return of, err
	}
	settings, err := s.readServed()
	if err != nil {
		return of, err
	}
	of.URL, of.Client = at, OwnClient(settings.cert)
	if server != "" || s.Env("WRIT_SERVER") != "" || at == "" {
		of.URL, err = s.FindServer(server)
	}
	return of, err
}
