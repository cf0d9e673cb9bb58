package policies

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
)

// hostileSet puts one condition into a rule. It is a block scalar, so that YAML leaves it as it is.
func hostileSet(condition string) string {
	return "schema: writ/policies/1\nname: hostile\nassets: {USDC: 6, ETH: 18}\n" +
		"budgets: [{id: total, cap: 'usdc(\"100\")', scope: session}]\n" +
		"sets: {friends: ['0x00000000000000000000000000000000000000a1']}\n" +
		"rules:\n  - id: r\n    at: spend\n    effect: permit\n    when: |-\n      " +
		strings.ReplaceAll(condition, "\n", "\n      ") + "\n"
}

func hostileRequest() *Request {
	return &Request{Point: Spend, Now: math.MaxInt64, Turn: 3, Tool: "pay", Class: "chain", Amount: usdc(5_000_000),
		Budgets: []Budget{{"operator/total", usdc(100_000_000), usdc(0), usdc(0)}}}
}

// maxHostileBytes bounds what refusing one hostile source may allocate, besides reading it.
const maxHostileBytes = 4 << 20

func judgeHostile(t *testing.T, want, condition string) {
	t.Helper()
	src := []byte(hostileSet(condition))
	for _, o := range []Options{{Layer: "operator"}, {Layer: "operator", Untrusted: true}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Load(src, o)
		got := "refused"
		if err == nil {
			d := Layers{s}.Decide(hostileRequest())
			switch {
			case strings.Contains(d.Message, "could not be evaluated"):
				got = "error"
			case d.Outcome == Permit:
				got = "true"
			default:
				got = "false"
			}
		} else if le, ok := errors.AsType[*LoadError](err); !ok || len(le.Problems) == 0 {
			t.Errorf("%.60q: not a LoadError: %v", condition, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > maxHostileBytes {
			t.Errorf("%.60q used %d bytes", condition, used)
		}
		if got != want {
			t.Errorf("%.60q (untrusted %v): %s, want %s: %v", condition, o.Untrusted, got, want, err)
		}
	}
}

func TestHostileConditions(t *testing.T) {
	f, err := os.Open("testdata/hostile/conditions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		want, condition, _ := strings.Cut(line, " ")
		judgeHostile(t, want, strings.TrimLeft(condition, " "))
		n++
	}
	t.Logf("%d conditions", n)
	if n < 150 {
		t.Errorf("only %d conditions were read", n)
	}
}

func TestHostileSizes(t *testing.T) {
	for _, c := range []string{
		strings.Repeat("(", 60_000) + "true" + strings.Repeat(")", 3),
		strings.Repeat("(", 10<<20),
		strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000),
		strings.Repeat("(", 33) + "true" + strings.Repeat(")", 33),
		strings.Repeat("!", 4000) + "approved",
		strings.Repeat("not ", 1000) + "approved",
		strings.Repeat("- ", 2000) + "turn > 0",
		strings.Repeat("[", 3000),
		strings.Repeat("{", 3000),
		strings.Repeat("true ? ", 500) + "true",
		strings.Repeat("2**", 1000) + "2 > 1",
		strings.Repeat("turn + ", 500) + "1 > 0",
		strings.Repeat("turn < ", 500) + "9",
		strings.Repeat("approved || ", 300) + "approved",
		strings.Repeat("args.", 700) + "x",
		"tool == \"" + strings.Repeat("a", 5000) + "\"",
		"tool == \"" + strings.Repeat("a", 1<<20) + "\"",
		"tool in [" + strings.Repeat("\"a\",", 65) + "\"b\"]",
		strings.Repeat("if approved {", 300),
		strings.Repeat("let a = 1; ", 300) + "true",
		strings.Repeat("1", 4000) + " > turn",
		strings.Repeat("0x", 2000),
		strings.Repeat("in_set(", 31) + "to",
		strings.Repeat("/*", 2000),
		strings.Repeat("\"", 4001),
		strings.Repeat("'\\", 2000),
		strings.Repeat("?.", 2000),
		strings.Repeat("|", 4000),
		strings.Repeat("#", 4000),
	} {
		judgeHostile(t, "refused", c)
	}
	long := "turn == 3" + strings.Repeat(" ", 4<<10-9)
	if _, err := Load([]byte(hostileSet("tool == \"pay\"")+"# "+long), Options{Layer: "operator"}); err != nil {
		t.Errorf("a long comment in the YAML is refused: %v", err)
	}
}

func TestHostileSources(t *testing.T) {
	head := "schema: writ/policies/1\nname: x\n"
	rule := "rules: [{id: a, at: output, effect: permit}]\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, src := range map[string]string{
		"empty":                        "",
		"only a comment":               "# nothing\n",
		"not a mapping":                "- a\n",
		"not UTF-8":                    head + rule + "about: \"\xff\"\n",
		"too long":                     head + rule + "#" + strings.Repeat("x", 64<<10),
		"two documents":                head + rule + "---\n" + head + rule,
		"a second, broken one":         head + rule + "---\n{",
		"a bomb of aliases":            bomb,
		"an anchor":                    head + "about: &x hello\n" + rule,
		"a merge key":                  head + "<<: {name: y}\n" + rule,
		"a tag":                        head + "about: !!binary aGVsbG8=\n" + rule,
		"a custom tag":                 head + "about: !go/struct x\n" + rule,
		"a key twice":                  head + "name: y\n" + rule,
		"a list as a key":              head + "[a]: b\n" + rule,
		"deep nesting":                 head + "about: " + strings.Repeat("[", 8000),
		"deep nesting, closed":         head + "about: " + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "\n" + rule,
		"a bell in a text":             head + "about: \"a\\ab\"\n" + rule,
		"reordered text":               head + "about: \"a\\u202Eb\"\n" + rule,
		"a hidden space":               head + "about: \"a\\u200Bb\"\n" + rule,
		"a null name":                  "schema: writ/policies/1\nname: ~\n" + rule,
		"a name with a slash":          "schema: writ/policies/1\nname: ../x\n" + rule,
		"another schema":               "schema: writ/policies/2\nname: x\n" + rule,
		"no schema":                    "name: x\n" + rule,
		"more than 256 rules":          head + "rules:\n" + strings.Repeat("  - {id: a, at: output, effect: permit}\n", 257),
		"a variable of its own":        head + "variables: {a: 'a + 1'}\nrules: [{id: a, at: output, effect: permit, when: 'a > 1'}]\n",
		"variables in a circle":        head + "variables: {a: 'b + 1', b: 'a + 1'}\nrules: [{id: a, at: output, effect: permit, when: 'a > 1'}]\n",
		"a variable over a field":      head + "variables: {size: '1'}\nrules: [{id: a, at: output, effect: permit, when: 'size > 1'}]\n",
		"an asset over a function":     head + "assets: {addr: 6}\n" + rule,
		"an asset over calls":          head + "assets: {CALLS: 6}\n" + rule,
		"an asset over a field of usd": head + "assets: {USD: 2}\n" + rule,
		"too many decimals":            head + "assets: {X: 37}\n" + rule,
		"negative decimals":            head + "assets: {X: -1}\n" + rule,
		"octal decimals":               head + "assets: {X: 010}\n" + rule,
		"a cap that is no constant":    head + "budgets: [{id: a, cap: 'left(\"a\")', scope: session}]\n" + rule,
		"a cap that overflows":         head + "assets: {X: 0}\nbudgets: [{id: a, cap: 'x(\"1\") - x(\"2\")', scope: session}]\n" + rule,
	} {
		for _, o := range []Options{{Layer: "operator"}, {Layer: "grant", Untrusted: true}} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Load([]byte(src), o)
			runtime.ReadMemStats(&after)
			if _, ok := errors.AsType[*LoadError](err); !ok {
				t.Errorf("%s: loaded, or not a LoadError: %v", name, err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > maxHostileBytes {
				t.Errorf("%s used %d bytes", name, used)
			}
		}
	}
	// Variables that use the one above twice double what there is to look at, so that is bounded; each is computed once.
	for _, op := range []string{"v%d + v%d", "v%d * v%d", "v%d - v%d"} {
		chain := head + "variables:\n  v0: 'size + 1'\n" + doubling(60, op) +
			"rules: [{id: a, at: output, effect: permit, when: 'v60 > 0'}]\n"
		if _, err := Load([]byte(chain), Options{Layer: "operator"}); err == nil || !strings.Contains(err.Error(), "written out") {
			t.Errorf("a chain of %s: %v", op, err)
		}
	}
	chain := head + "variables:\n  v0: 'size + 1'\n" + doubling(8, "v%d + v%d") +
		"rules: [{id: a, at: output, effect: permit, when: 'v8 > 0'}]\n"
	s, err := Load([]byte(chain), Options{Layer: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	if d := (Layers{s}).Decide(&Request{Point: Output}); d.Outcome != Permit {
		t.Errorf("2^8 > 0: %s: %s", d.Outcome, d.Message)
	}
	if d := (Layers{s}).Decide(&Request{Point: Output, Size: math.MaxInt64 >> 5}); d.Outcome != Deny {
		t.Errorf("an overflow of a variable: %s", d.Outcome)
	}
}

// doubling returns n variables, each of which uses the one above twice.
func doubling(n int, op string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  v%d: '"+op+"'\n", i+1, i, i)
	}
	return b.String()
}
