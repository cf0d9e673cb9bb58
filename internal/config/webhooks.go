package config

import "fmt"

// A Webhook is an address that is told what waits for a wallet's approval. Addresses are references, since those of
// such services are secrets themselves.
type Webhook struct {
	Name    string `yaml:"name" about:"what logs call it"`
	URL     Secret `yaml:"url" path:"secret" about:"where its address is, file: or env:, since such addresses are often secrets"`
	Secret  Secret `yaml:"secret" path:"secret" about:"the key by which it knows that a notice is ours (HMAC-SHA256, as Standard Webhooks say), 16 bytes or more; needed with json"`
	Format  string `yaml:"format" about:"json, or slack for what takes Slack's; json if empty"`
	Private bool   `yaml:"private" about:"the address may lead to private networks, and be http"`
}

// maxWebhooks bounds the addresses that are told.
const maxWebhooks = 16

func (c *Config) checkWebhooks() error {
	if len(c.Webhooks) > maxWebhooks {
		return c.badSetting("webhooks", "there are %d; at most %d are told", len(c.Webhooks), maxWebhooks)
	}
	names := map[string]bool{}
	for i, w := range c.Webhooks {
		bad := func(format string, args ...any) error {
			return c.badSetting("webhooks", "entry %d: %s", i+1, fmt.Sprintf(format, args...))
		}
		switch {
		case w.Name == "" || len(w.Name) > 64 || names[w.Name]:
			return bad("each webhook has a name of its own, of 1 to 64 bytes")
		case w.URL == "":
			return bad("url is missing: file:PATH or env:NAME, where the address is")
		case w.Format != "" && w.Format != "json" && w.Format != "slack":
			return bad("format: %q is none; there are json and slack", w.Format)
		case w.Secret == "" && w.Format != "slack":
			return bad("secret is missing; receivers of json know a notice by its signature")
		}
		names[w.Name] = true
		for _, s := range []Secret{w.URL, w.Secret} {
			if err := s.checkForm(); s != "" && err != nil {
				return bad("%s", err)
			}
		}
	}
	return nil
}
