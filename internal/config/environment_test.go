package config

import (
	"testing"
)

func TestUnknownVariablesAreNamed(t *testing.T) {
	c := Default()
	c.Chain.Key = "env:WRIT_TREASURY"
	c.Models = []Model{{Name: "m", Key: "env:WRIT_OPENROUTER"}}
	for _, test := range []struct{ text, near string }{
		{"WRIT_LISTN=127.0.0.1:1", "WRIT_LISTEN"},
		{"WRIT_CHAIN_RPCS=http://x", "WRIT_CHAIN_RPC"},
		{"WRIT_CHAIN.RPC=http://x", "WRIT_CHAIN_RPC"},
		{"writ_data=/x", "WRIT_DATA"},
		{"WRIT_POLICIE=deny-all", "WRIT_POLICIES"},
		{"WRIT_LIMIT_RATE=1", "WRIT_LIMITS_RATE"},
		{"WRIT_SERVR=http://x", "WRIT_SERVER"},
		{"WRIT_MODELS=x", "-"}, // a list of objects has no form in one text
		{"WRIT_SOMETHING_ELSE_ALTOGETHER=1", "-"},
		{"WRIT_PORT=8420", "-"},

		{"WRIT_LISTEN=127.0.0.1:1", ""},
		{"WRIT_CHAIN_RPC=http://x", ""},
		{"WRIT_TLS_CERT=x", ""},
		{"WRIT_HOME=/x", ""},
		{"WRIT_PASSWORD_FILE=/x", ""},
		{"WRIT_CONTEXT=x", ""},
		{"WRIT_TREASURY=0x1", ""},  // settings name them
		{"WRIT_OPENROUTER=sk", ""}, // in a list too
		{"WRITE=1", ""},
		{"HOME=/x", ""},
		// of our own tests
		{"WRIT_CRASH_DIR=/x", ""}, {"WRIT_TEST_KEY=x", ""}, {"WRIT_E2E_LONG=1", ""}, {"WRIT_STORE_CHILD=x", ""},
		{"WRIT_FLOOD=1", ""}, {"WRIT_FLOOD_P95=1", ""}, {"WRIT_HOSTILE_CHILD=1", ""}, {"WRIT_KUBO=/x", ""},
		{"WRIT_MODEL_URL=http://x", ""},
		// of a container beside a service that is called writ
		{"WRIT_SERVICE_HOST=10.0.0.1", ""}, {"WRIT_SERVICE_PORT=8420", ""}, {"WRIT_SERVICE_PORT_HTTP=8420", ""},
		{"WRIT_PORT=tcp://10.0.0.1:8420", ""}, {"WRIT_PORT_8420_TCP=tcp://10.0.0.1:8420", ""},
		{"WRIT_PORT_8420_TCP_ADDR=10.0.0.1", ""},
	} {
		got := UnknownVariables([]string{"PATH=/bin", test.text}, &c)
		switch {
		case test.near == "" && len(got) > 0:
			t.Errorf("%s: %s", test.text, got[0])
		case test.near == "":
		case len(got) != 1:
			t.Errorf("%s: it is not told", test.text)
		case test.near == "-" && got[0].Near != "", test.near != "-" && got[0].Near != test.near:
			t.Errorf("%s: near %q, want %q", test.text, got[0].Near, test.near)
		}
	}
	if got := UnknownVariables([]string{"WRIT_TREASURY=0x1"}, nil); len(got) != 1 {
		t.Errorf("without settings: %v", got)
	}
}

// Each setting that has a form in one text is known by its variable.
func TestEverySettingsVariableIsKnown(t *testing.T) {
	c := Default()
	for _, s := range c.Settings() {
		if l, ok := findLeaf(&c, s.Path); ok {
			if got := UnknownVariables([]string{envName(l.path) + "=x"}, nil); len(got) > 0 {
				t.Errorf("%s: %s", s.Path, got[0])
			}
		}
	}
}
