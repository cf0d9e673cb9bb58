package wire

import "testing"

func TestOriginsAreThoseOfPagesAndApps(t *testing.T) {
	for s, want := range map[string]struct{ any, web bool }{
		"https://app.example.com":      {true, true},
		"http://localhost:5173":        {true, true},
		"https://[::1]:8443":           {true, true},
		"capacitor://localhost":        {true, false},
		"ionic://localhost":            {true, false},
		"tauri://localhost":            {true, false},
		"app://-":                      {true, false},
		"chrome-extension://abcdefghi": {true, false},
		"null":                         {},
		"":                             {},
		"*":                            {},
		"https://*":                    {},
		"https://*.example.com":        {},
		"capacitor://":                 {},
		"capacitor:localhost":          {},
		"capacitor://localhost/":       {},
		"capacitor://user@localhost":   {},
		"https://a.example/x":          {},
		"https://a.example?x":          {},
		"https://a.example,b.example":  {},
		"file://host":                  {},
		"data://x":                     {},
		"javascript://x":               {},
		"app.example.com":              {},
	} {
		if got := IsOrigin(s); got != want.any {
			t.Errorf("%q is an origin: %v, want %v", s, got, want.any)
		}
		if got := IsWebOrigin(s); got != want.web {
			t.Errorf("%q is an origin of the web: %v, want %v", s, got, want.web)
		}
	}
}
