package definition_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/wire"
)

// A caller's tool that a provider could not tell from another one is refused, in one sentence.
func TestAClientToolHasANameOfItsOwn(t *testing.T) {
	agents := []string{"erc20.transfer", "web.fetch"}
	for names, other := range map[string]string{
		"erc20__transfer": "erc20.transfer", "erc20.transfer": "erc20.transfer", "web__fetch": "web.fetch",
		"mine a__b a.b": "a__b", "mine mine": "mine", "erc20_transfer fetch": "", "": "",
	} {
		var list []wire.ClientTool
		for name := range strings.FieldsSeq(names) {
			list = append(list, wire.ClientTool{Name: name})
		}
		err := definition.CheckClientNames(list, agents)
		if (err != nil) != (other != "") || err != nil && !strings.Contains(err.Error(), "the tool "+other+" that") {
			t.Errorf("%s: %v", names, err)
		}
	}
}
