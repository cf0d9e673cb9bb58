package arg_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/tools/arg"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		s          string
		name, tool bool
	}{
		{"to", true, true},
		{"a_1", true, true},
		{strings.Repeat("a", 64), true, true},
		{strings.Repeat("a", 65), false, false},
		{"erc20.transfer", false, true},
		{"a.b.c", false, true},
		{"", false, false},
		{"9x.pay", false, false},
		{"x.9pay", false, false},
		{"_x", false, false},
		{"x.", false, false},
		{".x", false, false},
		{"x..y", false, false},
		{"Erc20.transfer", false, false},
		{"perPage", true, false},
		{"x-y", false, false},
		{"\u00e4", false, false},
	} {
		if got := arg.IsName(tt.s); got != tt.name {
			t.Errorf("IsName(%q) = %v, want %v", tt.s, got, tt.name)
		}
		if got := arg.IsToolName(tt.s); got != tt.tool {
			t.Errorf("IsToolName(%q) = %v, want %v", tt.s, got, tt.tool)
		}
	}
}
