package node

import (
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/tools/ens"
)

func TestTheRegistryOfNames(t *testing.T) {
	own := common.HexToAddress("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65")
	for _, tt := range []struct {
		rule string
		c    config.Chain
		want common.Address
		ok   bool
	}{
		{"Ethereum has the usual one", config.Chain{ID: 1}, ens.Registry, true},
		{"another chain has none", config.Chain{ID: 8453}, common.Address{}, true},
		{"one that is named", config.Chain{ID: 8453, ENS: own.Hex()}, own, true},
		{"none is wanted", config.Chain{ID: 1, ENS: "none"}, common.Address{}, true},
		{"a name is no registry", config.Chain{ID: 1, ENS: "registry"}, common.Address{}, false},
		{"a wrong checksum", config.Chain{ID: 1, ENS: "0x15d34AAf54267DB7D7c367839AAf71A00a2c6a65"}, common.Address{}, false},
	} {
		if got, err := registryOf(tt.c); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: got %s, %v; want %s", tt.rule, got, err, tt.want)
		}
	}
}
