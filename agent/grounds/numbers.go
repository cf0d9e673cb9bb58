package grounds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AddRequest takes in what the user wrote.
func (e *Evidence) AddRequest(text string) { e.addText("request", "", text) }

// AddEarlier takes in what was said earlier in the run's thread.
func (e *Evidence) AddEarlier(text string) { e.addText("earlier in the thread", "", text) }

// AddResult takes in what a tool returned in a step.
func (e *Evidence) AddResult(step uint64, output []byte) {
	where := fmt.Sprintf("step %d", step)
	d := json.NewDecoder(bytes.NewReader(output))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		e.addText(where, "", string(output))
		return
	}
	e.addValue(where, "", v, 0)
	e.addCitations(step, v)
}

const maxDepth = 32

func (e *Evidence) addValue(where, name string, v any, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case string:
		e.addText(where, name, v)
	case json.Number:
		e.addText(where, name, v.String())
	case []any:
		if n := len(v); n > 0 {
			e.addNumber(value{big.NewRat(int64(n), 1), "count in " + where, "", false})
		}
		for _, x := range v {
			e.addValue(where, name, x, depth+1)
		}
	case map[string]any:
		_, cite := v["cite"]
		_, chunk := v["chunk"]
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if cite && chunk && key == "covers" {
				continue // how well a passage fits is no figure of it
			}
			e.addValue(where, key, v[key], depth+1)
		}
	}
}

// addCitations notes what passages of documents are called.
func (e *Evidence) addCitations(step uint64, v any) {
	whole, _ := v.(map[string]any)
	list, _ := whole["documents"].([]any)
	for _, x := range list {
		passage, _ := x.(map[string]any)
		if cite, ok := passage["cite"].(string); ok {
			if e.cites == nil {
				e.cites = map[string]uint64{}
			}
			e.cites[cite] = step
		}
	}
}

var capitals = regexp.MustCompile(`\b[A-Z][A-Z0-9]{1,9}\b`)

func (e *Evidence) addText(where, field, text string) {
	name := field
	e.words = append(e.words, given{where, strings.ToLower(text)})
	if e.symbols == nil {
		e.symbols = map[string]string{}
	}
	for _, s := range capitals.FindAllString(text, -1) {
		if e.symbols[s] == "" && len(e.symbols) < maxKnown {
			e.symbols[s] = where
		}
	}
	if !wholeNumber.MatchString(text) || notAmounts[name] {
		name = "" // numbers within a text are not added up
	}
	for _, day := range dateForm.FindAllString(text, -1) {
		if year, ok := parseNumber(day[:4]); ok {
			e.addNumber(value{n: year, where: where})
		}
	}
	rest := text
	for _, form := range []*regexp.Regexp{hexForm, cidForm, dateForm} {
		rest = form.ReplaceAllString(rest, " ")
	}
	for _, at := range numberForm.FindAllStringIndex(rest, -1) {
		s := rest[at[0]:at[1]]
		if at[0] > 0 && isWord(rest[at[0]-1]) || at[1] < len(rest) && isWord(rest[at[1]]) {
			continue // a part of a name
		}
		if n, ok := parseNumber(strings.TrimRight(s, ",.")); ok {
			e.addNumber(value{n, where, name, field == "decimals"})
		}
	}
}

// wholeNumber is a text that is a number, perhaps with a symbol.
var wholeNumber = regexp.MustCompile(`^\d[\d,]*(?:\.\d+)?(?: [A-Z][A-Z0-9]{0,9})?$`)

// notAmounts are fields whose numbers count or name something, so that nothing comes of adding them up.
var notAmounts = map[string]bool{
	"decimals": true, "block": true, "number": true, "time": true, "from": true, "cite": true, "words_rank": true,
	"meaning_rank": true, "chain": true, "nonce": true,
}

func (e *Evidence) addNumber(v value) {
	if len(e.known) == maxKnown {
		return
	}
	if v.name != "" {
		if e.byName == nil {
			e.byName = map[string][]int{}
		}
		e.byName[v.name] = append(e.byName[v.name], len(e.known))
	}
	e.known = append(e.known, v)
}

// parseNumber reads a decimal number whose thousands may be set apart by commas.
func parseNumber(s string) (*big.Rat, bool) {
	if len(s) > 100 {
		return nil, false
	}
	return new(big.Rat).SetString(strings.ReplaceAll(s, ",", ""))
}

// decimalsOf returns how many digits a number has after its point.
func decimalsOf(s string) int {
	if _, after, ok := strings.Cut(s, "."); ok {
		return len(after)
	}
	return 0
}

// findNumber looks for a number that is given as it is. That a token has six decimals says nothing of another six.
func (e *Evidence) findNumber(n *big.Rat, decimals bool) string {
	for _, v := range e.known {
		if v.n.Cmp(n) == 0 && (decimals || !v.decimals) {
			return v.where
		}
	}
	return ""
}

// units returns by how many digits amounts in smallest units are larger than those that are shown: as the run was told,
// else as tokens and coins mostly have it. Gwei go with wei.
func (e *Evidence) units() []int64 {
	var told []int64
	for _, v := range e.known {
		if v.decimals && v.n.IsInt() && v.n.Num().IsInt64() && v.n.Num().Int64() <= 36 {
			told = append(told, v.n.Num().Int64())
		}
	}
	switch {
	case len(told) == 0:
		return []int64{6, 8, 9, 18}
	case slices.Contains(told, 18):
		told = append(told, 9)
	}
	slices.Sort(told)
	return slices.Compact(told)
}

// findShifted looks for the same amount in smallest units, rounded as it is shown.
func (e *Evidence) findShifted(n *big.Rat, decimals int) string {
	units := e.units()
	for _, v := range e.known {
		if !v.n.IsInt() || v.n.Num().BitLen() < 7 {
			continue // small numbers are near to anything
		}
		for _, d := range units {
			scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(d), nil))
			whole := new(big.Rat).Quo(v.n, scale)
			if whole.Cmp(n) == 0 || decimals >= 2 && isRounded(whole, n, decimals) {
				return "unit of " + v.where
			}
		}
	}
	return ""
}

// isRounded says whether shown is exact, rounded or cut off at its last digit.
func isRounded(exact, shown *big.Rat, decimals int) bool {
	off := new(big.Rat).Sub(exact, shown)
	return isNear(exact, shown, decimals) || off.Sign() > 0 && off.Cmp(lastDigit(decimals)) < 0
}

func lastDigit(decimals int) *big.Rat {
	return new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil))
}

// isNear says whether shown is exact, or rounded at its last digit.
func isNear(exact, shown *big.Rat, decimals int) bool {
	off := new(big.Rat).Abs(new(big.Rat).Sub(exact, shown))
	return off.Cmp(new(big.Rat).Quo(lastDigit(decimals), big.NewRat(2, 1))) <= 0
}

// findRounded looks for a number that is shown with fewer digits. Of one digit nothing can be said.
func (e *Evidence) findRounded(n *big.Rat, text string) string {
	digits := len(strings.Trim(strings.NewReplacer(",", "", ".", "").Replace(text), "0"))
	if digits < 2 {
		return ""
	}
	for _, v := range e.known {
		if !v.n.IsInt() && isRounded(v.n, n, decimalsOf(text)) {
			return "rounded from " + v.where
		}
	}
	return ""
}

// findComputed looks for a sum or a difference of numbers that stand in fields of the same name, or what is found in
// different steps: 5 and 7 of "units" are 12, a block number and a balance are nothing.
func (e *Evidence) findComputed(n *big.Rat) string {
	for _, name := range slices.Sorted(maps.Keys(e.byName)) {
		at := e.byName[name]
		at = at[:min(len(at), maxPairs)]
		sum := new(big.Rat)
		for _, i := range at {
			sum.Add(sum, e.known[i].n)
		}
		if len(at) > 1 && sum.Cmp(n) == 0 {
			return "sum of " + name
		}
		for k, i := range at {
			for _, j := range at[k+1:] {
				a, b := e.known[i].n, e.known[j].n
				if new(big.Rat).Add(a, b).Cmp(n) == 0 {
					return "sum of " + name
				}
				if new(big.Rat).Abs(new(big.Rat).Sub(a, b)).Cmp(n) == 0 && n.Sign() != 0 {
					return "difference of " + name
				}
			}
		}
	}
	return ""
}

// findShare looks for a percentage: of one number of another in a field of the same name or of their sum, or by how
// much one is more or less than another.
func (e *Evidence) findShare(n *big.Rat, decimals int) string {
	hundred := big.NewRat(100, 1)
	for _, name := range slices.Sorted(maps.Keys(e.byName)) {
		at := e.byName[name]
		at = at[:min(len(at), maxPairs)]
		sum := new(big.Rat)
		for _, i := range at {
			sum.Add(sum, e.known[i].n)
		}
		is := func(part, whole *big.Rat) bool {
			if whole.Sign() == 0 {
				return false
			}
			share := new(big.Rat).Mul(new(big.Rat).Quo(part, whole), hundred)
			change := new(big.Rat).Abs(new(big.Rat).Sub(share, hundred))
			return isNear(share, n, decimals) || isNear(change, n, decimals)
		}
		for _, i := range at {
			if is(e.known[i].n, sum) && len(at) > 1 {
				return "percentage of " + name
			}
			for _, j := range at {
				if i != j && is(e.known[i].n, e.known[j].n) {
					return "percentage of " + name
				}
			}
		}
	}
	return ""
}

// groundOfDate looks for a day: as it is written, or as a time in seconds or milliseconds since 1970.
func (e *Evidence) groundOfDate(text string) string {
	if by := e.findWord(text); by != "" {
		return by
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return ""
	}
	for _, v := range e.known {
		if !v.n.IsInt() || !v.n.Num().IsInt64() {
			continue
		}
		for _, at := range []time.Time{time.Unix(v.n.Num().Int64(), 0), time.UnixMilli(v.n.Num().Int64())} {
			if at.UTC().Format(time.DateOnly) == day.Format(time.DateOnly) {
				return "date of " + v.where
			}
		}
	}
	return ""
}
