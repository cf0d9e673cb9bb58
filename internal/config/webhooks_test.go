package config

import (
	"strings"
	"testing"
)

func TestAWebhookThatIsWrongIsNamed(t *testing.T) {
	good := Webhook{Name: "ops", URL: "env:HOOK", Secret: "file:/run/secrets/hook"}
	for rule, tt := range map[string]struct {
		all  []Webhook
		want string
	}{
		"none":              {nil, ""},
		"as it should be":   {[]Webhook{good, {Name: "chat", URL: "env:CHAT", Format: "slack"}}, ""},
		"no name":           {[]Webhook{{URL: "env:HOOK", Secret: "env:K"}}, "entry 1: each webhook has a name"},
		"one name twice":    {[]Webhook{good, good}, "entry 2: each webhook has a name"},
		"no address":        {[]Webhook{{Name: "ops", Secret: "env:K"}}, "url is missing"},
		"an address itself": {[]Webhook{{Name: "ops", URL: "https://hooks.example/s3cret", Secret: "env:K"}}, "write file:PATH or env:NAME"},
		"no secret":         {[]Webhook{{Name: "ops", URL: "env:HOOK"}}, "secret is missing"},
		"another format":    {[]Webhook{{Name: "ops", URL: "env:HOOK", Secret: "env:K", Format: "xml"}}, `"xml" is none`},
		"too many":          {make([]Webhook, maxWebhooks+1), "at most 16"},
	} {
		err := (&Config{Webhooks: tt.all}).checkWebhooks()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: got %v, want %q", rule, err, tt.want)
		}
	}
}
