package wire

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// maxInt is the largest integer that every JSON reader keeps exact.
const maxInt = 1 << 53

// A form is what a text may look like; the "form" tag of a field names it. The tag "max" bounds the bytes of a text,
// the items of a list, or a number.
type form struct {
	pattern *regexp.Regexp // nil for any text
	schema  string         // the pattern, for JSON Schema
	says    string
}

var forms = map[string]form{
	"text":      {says: "a text"},
	"cid":       newForm(`^b[a-z2-7]{58}$`, "a CIDv1 in base32"),
	"address":   newForm(`^0x[0-9a-fA-F]{40}$`, "an Ethereum address, 0x and 40 hex digits"),
	"did":       newForm(`^did:key:z[1-9A-HJ-NP-Za-km-z]{40,80}$`, "a did:key"),
	"name":      newForm(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$`, "a name of 1 to 64 letters, digits and . _ : / -"),
	"tool":      newForm(`^[A-Za-z0-9_-]{1,64}$`, "a name of 1 to 64 letters, digits, _ and -"),
	"key":       newForm(`^[A-Za-z0-9._:-]{8,64}$`, "an idempotency key of 8 to 64 letters, digits and . _ : -"),
	"media":     newForm(`^[a-z]{2,16}/[a-z0-9][a-z0-9.+-]{0,63}$`, "a media type in lower case, such as text/plain"),
	"file":      newForm(`^[^\x00-\x1f\x7f/\\"<>]{1,100}$`, "a file's name of 1 to 100 bytes, without slashes, quotes and brackets"),
	"hex32":     newForm(`^[0-9a-f]{64}$`, "64 lower-case hex digits"),
	"hex":       newForm(`^0x([0-9a-fA-F]{2})*$`, "0x and an even number of hex digits"),
	"units":     newForm(`^(0|[1-9][0-9]{0,77})$`, "a decimal count of smallest units"),
	"base64":    newForm(`^[A-Za-z0-9+/]+={0,2}$`, "base64"),
	"base64url": newForm(`^[A-Za-z0-9_-]+$`, "base64url without padding"),
	"path":      newForm(`^/[!-~]*$`, "a path"),
}

func newForm(pattern, says string) form { return form{regexp.MustCompile(pattern), pattern, says} }

// checkForm walks a decoded value. The texts and lists in it have the forms that their fields' tags name.
func checkForm(v reflect.Value, path string, tag reflect.StructTag) error {
	limit, err := strconv.ParseUint(tag.Get("max"), 10, 64)
	bounded := err == nil
	most := uint64(maxInt) // that a number may be
	if bounded {
		most = min(most, limit)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return checkForm(v.Elem(), path, tag)
	case reflect.Struct:
		return checkFields(v, path)
	case reflect.Slice:
		if bounded && uint64(v.Len()) > limit {
			return Errorf(CodeParams, "%s has %d items or bytes; at most %d are taken.", path, v.Len(), limit)
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil // raw JSON or a signature
		}
		for i := range v.Len() {
			// The tag's bound is that of the list.
			if err := checkForm(v.Index(i), path, reflect.StructTag(`form:"`+tag.Get("form")+`"`)); err != nil {
				return err
			}
		}
	case reflect.String:
		if bounded && uint64(v.Len()) > limit {
			return Errorf(CodeParams, "%s has %d bytes; at most %d are taken.", path, v.Len(), limit)
		}
		if f := forms[tag.Get("form")]; f.pattern != nil && !f.pattern.MatchString(v.String()) {
			return Errorf(CodeParams, "%s must be %s.", path, f.says)
		}
	case reflect.Int64:
		if n := v.Int(); n < 0 || uint64(n) > most {
			return Errorf(CodeParams, "%s is %d; it is at least 0 and at most %d.", path, n, most)
		}
	case reflect.Uint64:
		if n := v.Uint(); n > most {
			return Errorf(CodeParams, "%s is %d; it is at most %d.", path, n, most)
		}
	}
	return nil
}

func checkFields(v reflect.Value, path string) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "" && !f.Anonymous || key == "-" || opts == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		if err := checkForm(v.Field(i), joinPath(path, key), f.Tag); err != nil {
			return err
		}
	}
	return nil
}

func joinPath(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}

var rawType = reflect.TypeFor[json.RawMessage]()
