package calldata

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/wording"
)

// MaxText bounds a text that a contract says, in bytes.
const MaxText = 4 << 10

// Show makes JSON of a decoded value for readers: integers are decimal texts, bytes and addresses 0x, and texts have
// nothing in them that cannot be seen.
func Show(v any) any { return show(reflect.ValueOf(v)) }

func show(v reflect.Value) any {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case *big.Int:
		return x.String()
	case common.Address:
		return x.Hex()
	case []byte:
		return "0x" + hex.EncodeToString(x)
	case string:
		return Clean(x, MaxText)
	case bool:
		return x
	}
	switch {
	case v.CanInt() || v.CanUint():
		return fmt.Sprint(v.Interface())
	case v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8:
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		return "0x" + hex.EncodeToString(b)
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = show(v.Index(i))
		}
		return out
	case v.Kind() == reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			out[name] = show(v.Field(i))
		}
		return out
	}
	return nil
}

// Clean cuts a text of somebody else to n bytes that can be seen.
func Clean(s string, n int) string {
	if len(s) > 2*n {
		s = s[:2*n]
	}
	return wording.Clip(wording.Visible(strings.ToValidUTF8(s, "\uFFFD")), n)
}
