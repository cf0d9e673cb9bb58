package workshop

import (
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

func TestMistakes(t *testing.T) {
	literals := map[string]money.Asset{"usdc": usdcAsset, "calls": money.Calls}
	for _, c := range []struct {
		src  string
		want []string
	}{
		{`size <= 10`, []string{`size < 10`, `size > 10`, `size <= 11`, `size <= 9`}},
		{`!approved`, []string{`approved`}},
		{`not (turn == 0)`, []string{` (turn == 0)`, `not (turn != 0)`, `not (turn == 1)`}},
		{`class in ["a", "b"]`, []string{`class not in ["a", "b"]`, `class in [ "b"]`, `class in ["a"]`}},
		{`class not in ["a"]`, []string{`class  in ["a"]`}},
		{`amount < usdc("0")`, []string{`amount <= usdc("0")`, `amount >= usdc("0")`, `amount < usdc("0.000001")`}},
		{`left("day") > calls(1)`, []string{`left("day") >= calls(1)`, `left("day") <= calls(1)`, `left("day") > calls(2)`, `left("day") > calls(0)`}},
		{`tool == "x" && approved == true`, []string{`tool != "x" && approved == true`, `tool == "x~" && approved == true`,
			`tool == "x" || approved == true`, `tool == "x" && approved != true`, `tool == "x" && approved == false`}},
		{`now - 5 < -5`, []string{`now + 5 < -5`, `now - 6 < -5`, `now - 4 < -5`, `now - 5 <= -5`, `now - 5 >= -5`, `now - 5 < -6`, `now - 5 < -4`}},
		{`to == addr("0x00000000000000000000000000000000000000a1")`, []string{`to != addr("0x00000000000000000000000000000000000000a1")`,
			`to == addr("0x00000000000000000000000000000000000000a0")`}},
	} {
		var got []string
		for _, m := range listMistakes(c.src, literals) {
			got = append(got, m.text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.src, got, c.want)
		}
	}
}

func TestMutateTellsWhichTestIsMissing(t *testing.T) {
	src := head + `rules:
  - {id: a, at: output, effect: permit, when: 'size < 10', unless: 'turn > 3'}
tests:
  - {name: in, at: output, given: {size: 9}, want: {outcome: permit, rule: a}}
  - {name: out, at: output, given: {size: 10}, want: {outcome: deny}}
`
	m, err := mutateSet(t, src)
	if err != nil {
		t.Fatal(err)
	}
	killed, of := m.Score()
	if killed == 0 || killed == of || m.Left != 0 {
		t.Errorf("%d of %d killed, %d left", killed, of, m.Left)
	}
	i := slices.IndexFunc(m.Mutants, func(x Mutant) bool { return x.What == "unless is gone" })
	if x := m.Mutants[i]; x.Fate != Survived || !strings.Contains(x.Request, "turn: 4") || x.Want != "deny" || x.Mistaken != "permit" || x.Line != 5 {
		t.Errorf("got %+v", x)
	}
	// The tests that it asks for kill the rest.
	src += "  - {name: turns, at: output, given: {turn: 4}, want: {outcome: deny}}\n" +
		"  - {name: turns in, at: output, given: {turn: 3}, want: {outcome: permit}}\n"
	m, err = mutateSet(t, src)
	if killed, of := m.Score(); err != nil || killed != of {
		t.Errorf("%d of %d killed: %v: %+v", killed, of, err, m.Mutants)
	}
	if _, err := mutateSet(t, strings.Replace(src, "turn: 3", "turn: 5", 1)); err == nil || !strings.Contains(err.Error(), `the test "turns in" fails`) {
		t.Errorf("a set that fails its tests: %v", err)
	}
}

func TestMutateKnowsWhatNoTestCanTell(t *testing.T) {
	// With the first rule gone the second permits as much, so no test can notice.
	src := head + `rules:
  - {id: a, at: output, effect: permit, when: 'size < 10'}
  - {id: b, at: output, effect: permit, when: 'size < 20'}
tests:
  - {name: in, at: output, given: {size: 19}, want: {outcome: permit}}
  - {name: out, at: output, given: {size: 20}, want: {outcome: deny}}
`
	m, err := mutateSet(t, src)
	if err != nil {
		t.Fatal(err)
	}
	if x := m.Mutants[0]; x.What != "the rule is gone" || x.Fate != Equivalent {
		t.Errorf("got %+v", x)
	}
}

// The built-in sets are held to what writ asks of others: every comparison is seen both ways, and mistakes are noticed.
func TestBuiltinSetsKillTheirMutants(t *testing.T) {
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		s := mustLoad(t, "operator", string(src))
		m, err := Mutate(s, testsOf(t, s))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		killed, of := m.Score()
		t.Logf("%s: %d rules, %d tests, %d%% covered, %d of %d mutants killed, %d made", name, s.Size(), len(Test(s, testsOf(t, s))), Cover(s, testsOf(t, s)).Percent(), killed, of, len(m.Mutants))
		if killed*100 < of*95 || m.Left > 0 {
			for _, x := range m.Mutants {
				if x.Fate == Survived {
					t.Errorf("%s:%d: %s: survived: %s: %s, not %s", name, x.Line, x.What, x.Request, x.Want, x.Mistaken)
				}
			}
		}
	}
}

func mutateSet(t *testing.T, src string) (Mutation, error) {
	t.Helper()
	s := mustLoad(t, "operator", src)
	return Mutate(s, testsOf(t, s))
}
