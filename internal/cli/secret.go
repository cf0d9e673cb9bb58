package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/charmbracelet/x/term"
	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
)

// RevealSecret reads what a reference points to: file:PATH or env:NAME. Errors never hold the secret.
func (s *Shell) RevealSecret(ref string) (string, error) {
	kind, where, _ := strings.Cut(ref, ":")
	switch {
	case kind == "file" && where != "":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", Usage("the key file cannot be read: %s", err)
		}
		if len(b) > 64<<10 {
			return "", Usage("%s is too large for a key", where)
		}
		return strings.TrimSpace(string(b)), nil
	case kind == "env" && where != "":
		v := s.Env(where)
		if v == "" {
			return "", Usage("the environment variable %s is empty; put the key there, or use file:PATH", where)
		}
		return strings.TrimSpace(v), nil
	}
	return "", Usage("a key is given as file:PATH or env:NAME, never as itself: command lines are read by others")
}

// OpenWallet opens the wallet that a reference names.
func (s *Shell) OpenWallet(ctx context.Context, ref string) (*auth.Wallet, error) {
	if path, ok := strings.CutPrefix(ref, "keystore:"); ok {
		return s.openKeystore(ctx, path)
	}
	secret, err := s.RevealSecret(ref)
	if err != nil {
		return nil, err
	}
	w, err := auth.ParseWallet(secret)
	if err != nil {
		return nil, Usage("%s does not hold a wallet's private key: 64 hex digits are expected", ref)
	}
	return w, nil
}

// openKeystore opens an encrypted key file. The password is asked for on the terminal, or taken from the file that
// --password-file or WRIT_PASSWORD_FILE names.
func (s *Shell) openKeystore(ctx context.Context, path string) (*auth.Wallet, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, Usage("the key file cannot be read: %s", err)
	}
	var password []byte
	f, isFile := s.In.(*os.File)
	switch file := cmp.Or(s.PasswordFile, s.Env("WRIT_PASSWORD_FILE")); {
	case file != "":
		if password, err = os.ReadFile(file); err != nil {
			return nil, Usage("the password file cannot be read: %s", err)
		}
		password = []byte(strings.TrimRight(string(password), "\r\n"))
	case isFile && IsTerminal(f):
		fmt.Fprintf(s.Err, "Password of %s: ", path)
		before, _ := term.GetState(f.Fd())
		stop := context.AfterFunc(ctx, func() { // a password that nobody gives must not leave the terminal without echo
			if before != nil {
				term.SetState(f.Fd(), before)
			}
			os.Exit(ExitInterrupt)
		})
		password, err = term.ReadPassword(f.Fd())
		stop()
		fmt.Fprintln(s.Err)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
	default:
		return nil, Usage("the key file needs a password: run this on a terminal, or name a file with --password-file or " +
			"WRIT_PASSWORD_FILE")
	}
	k, err := keystore.DecryptKey(b, string(password))
	if errors.Is(err, keystore.ErrDecrypt) {
		return nil, Failf(ExitSignature, "password", "the password does not open %s", path)
	} else if err != nil {
		return nil, Usage("%s is not an encrypted key file", path)
	}
	return auth.ParseWallet(fmt.Sprintf("%x", crypto.FromECDSA(k.PrivateKey)))
}
