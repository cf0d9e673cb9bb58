package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// maxNested bounds the values inside one another that [CheckDoubled] looks at.
const maxNested = 128

// CheckDoubled refuses a JSON value in which a member of an object stands twice: encoding/json takes the last one, and
// another reader the first. What else is wrong with the text is an error too.
func CheckDoubled(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := checkMembers(d, 0); err != nil {
		return err
	}
	if d.More() {
		return &SyntaxError{int(d.InputOffset()), "more follows the value"}
	}
	return nil
}

func checkMembers(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return fmt.Errorf("read the JSON: %w", err)
	}
	open, isOpen := token.(json.Delim)
	if !isOpen {
		return nil
	}
	if depth == maxNested {
		return &SyntaxError{int(d.InputOffset()), fmt.Sprintf("more than %d values are inside one another", maxNested)}
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			name, err := d.Token()
			if err != nil {
				return fmt.Errorf("read the JSON: %w", err)
			}
			text, _ := name.(string)
			if seen[text] {
				return &SyntaxError{int(d.InputOffset()), fmt.Sprintf("the member %.40q stands twice", text)}
			}
			seen[text] = true
		}
		if err := checkMembers(d, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("read the JSON: %w", err)
	}
	return nil
}
