package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// check says what is wrong with a target. No sentence has its address, which may be a secret.
func (t *Target) check() error {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return errors.New("its url is no address")
	case u.Scheme != "https" && !(u.Scheme == "http" && t.Gate.Private):
		return errors.New("its url must begin with https://")
	case t.Format != JSON && t.Format != Slack:
		return fmt.Errorf("its format is %q; there are json and slack", t.Format)
	case t.Format == JSON && len(t.Secret) < 16:
		return errors.New("its secret, by which receivers know us, must have 16 bytes at least")
	}
	return nil
}

// body is what is posted.
func (t *Target) body(w Wait, page string) ([]byte, error) {
	link := page + "/#approvals"
	text := fmt.Sprintf("The agent %s waits for the approval of wallet %s, until %s.",
		w.Agent, w.Wallet, w.Until.UTC().Format("2006-01-02 15:04 UTC"))
	if t.Format == Slack {
		return json.Marshal(map[string]any{"text": text + " <" + link + "|Look at it>"})
	}
	return json.Marshal(map[string]any{
		"type": "approval.waiting", "text": text, "run": w.Run, "effect": w.Effect, "agent": w.Agent, "wallet": w.Wallet,
		"until": w.Until.UTC().Format(time.RFC3339), "url": link,
	})
}

// Sign returns the signature of a delivery, as the header webhook-signature has it.
func Sign(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post makes one delivery. never says that the receiver will not take it, however often it is tried. An error does not
// name the address.
func (t *Target) post(ctx context.Context, c *http.Client, w Wait, page string, now time.Time) (never bool, err error) {
	body, err := t.body(w, page)
	if err != nil {
		return true, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return true, errors.New("its url is no address")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "writ")
	req.Header.Set("Webhook-Id", w.id())
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if len(t.Secret) > 0 {
		req.Header.Set("Webhook-Signature", Sign(t.Secret, w.id(), now, body))
	}
	res, err := c.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return false, fmt.Errorf("it cannot be reached: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		return false, nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return false, fmt.Errorf("it answers %d", code)
	default: // redirects too: a signed object goes nowhere else
		return true, fmt.Errorf("it answers %d, and so it would again", code)
	}
}
