package config

import (
	"os"
	"strings"
	"testing"
)

// What is missing at a reload is a mistake, and no wish for the defaults, which may allow more.
func TestWhatIsMissingAtAReloadIsNoDefault(t *testing.T) {
	const strict = "policies: strict.yaml\nlimits: {rate: 5}\n"
	for _, tt := range []struct{ name, before, after, says string }{
		{"the same", strict, strict, ""},
		{"other policies", strict, "policies: other.yaml\n", ""},
		{"policies came", "limits: {rate: 5}\n", strict, ""},
		{"never a file", "", "", ""},
		{"a file came", "", strict, ""},
		{"the file is gone", strict, "", "writ.yaml is gone or empty"},
		{"the file is empty", strict, "\n", "writ.yaml is gone or empty"},
		{"remarks only", "limits: {rate: 5}\n", "# later\n", "writ.yaml is gone or empty"},
		{"policies went", strict, "limits: {rate: 5}\n", "policies is not set any more, and it was"},
	} {
		t.Chdir(t.TempDir())
		load := func(text string) *Config {
			t.Helper()
			_ = os.Remove(DefaultFile)
			if text != "" {
				if err := os.WriteFile(DefaultFile, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Load(Sources{})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		earlier := load(tt.before)
		err := load(tt.after).CheckAfter(earlier)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
	}
}
