package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Each setting that docs/chains.md names is one, and it names all of a chain.
func TestTheChainsPageNamesTheSettings(t *testing.T) {
	b, err := os.ReadFile("../../docs/chains.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	keys := map[string]bool{}
	of := reflect.TypeFor[Chain]()
	for i := range of.NumField() {
		key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
		keys[key] = true
		if !strings.Contains(page, "`chain."+key+"`") {
			t.Errorf("docs/chains.md does not name chain.%s", key)
		}
	}
	for _, m := range regexp.MustCompile("`chain\\.([a-z_]+)`").FindAllStringSubmatch(page, -1) {
		if !keys[m[1]] {
			t.Errorf("docs/chains.md names chain.%s, which is no setting", m[1])
		}
	}
}
