package calldata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/ethereum/go-ethereum/accounts/abi"

	"github.com/writ-run/writ/internal/wording"
)

// MaxABI is how many bytes an ABI may have.
const MaxABI = 1 << 20

// ReadABI reads a contract's ABI: a list, or an object with the member abi, as compilers write it.
func ReadABI(text []byte) (abi.ABI, error) {
	if len(text) > MaxABI {
		return abi.ABI{}, fmt.Errorf("the ABI has more than %d bytes", MaxABI)
	}
	list := text
	var artifact struct{ ABI json.RawMessage }
	if json.Unmarshal(text, &artifact) == nil && len(artifact.ABI) > 0 {
		list = artifact.ABI
	}
	parsed, err := abi.JSON(bytes.NewReader(list))
	if err != nil {
		return abi.ABI{}, fmt.Errorf("the ABI cannot be read: %s", wording.Reveal(wording.Clip(err.Error(), 200)))
	}
	return parsed, nil
}

// FindMethod returns the function that is meant by its name, or by its signature if there are several of the name. The
// error says what there is.
func FindMethod(of abi.ABI, name string) (abi.Method, error) {
	return findNamed(of.Methods, "function", name, func(m abi.Method) (string, string) { return m.RawName, m.Sig })
}

// FindEvent is FindMethod of events. An anonymous event is none that can be looked for.
func FindEvent(of abi.ABI, name string) (abi.Event, error) {
	events := maps.Clone(of.Events)
	maps.DeleteFunc(events, func(_ string, e abi.Event) bool { return e.Anonymous })
	return findNamed(events, "event", name, func(e abi.Event) (string, string) { return e.RawName, e.Sig })
}

func findNamed[T any](all map[string]T, kind, name string, names func(T) (raw, sig string)) (found T, err error) {
	var raws, sigs []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		raw, sig := names(all[key])
		raws = append(raws, raw)
		if sig == name || raw == name {
			found, sigs = all[key], append(sigs, sig)
		}
	}
	switch {
	case len(sigs) == 1:
		return found, nil
	case len(sigs) > 1:
		return found, fmt.Errorf("the ABI has several %ss %s; name one by its signature, such as %s", kind, name, sigs[0])
	}
	hint := ""
	if near := wording.Nearest(name, raws); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return found, fmt.Errorf("the ABI has no %s %q%s", kind, wording.Reveal(name), hint)
}
