package policies

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/tools/arg"
)

const office = head + `rules:
  - {id: open, at: output, effect: permit, when: 'in_window(now, "Mon-Fri 09:00-18:00", "America/New_York")'}
  - {id: net, at: tool.call, tool: web.get, effect: permit, unless: 'in_cidr(args.host, "10.0.0.0/8", "fd00::/8")'}
`

var webTool = []ToolType{{Name: "web.get", Params: []arg.Param{{Name: "host", Kind: arg.String}}}}

func loadOffice(t *testing.T) *Set {
	t.Helper()
	s, err := Load([]byte(office), Options{Layer: "operator", Tools: webTool})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHoursAndNetworks(t *testing.T) {
	s := loadOffice(t)
	for when, want := range map[string]Outcome{
		"2026-11-25T14:00:00Z": Permit, "2026-11-25T13:59:59Z": Deny, "2026-11-28T14:00:00Z": Deny, "1969-12-31T14:00:00Z": Deny,
	} {
		at, err := time.Parse(time.RFC3339, when)
		if err != nil {
			t.Fatal(err)
		}
		if d := (Layers{s}).Decide(&Request{Point: Output, Now: at.UnixMilli()}); d.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", when, d.Outcome, d.Message, want)
		}
	}
	for host, want := range map[string]Outcome{
		"192.0.2.1": Permit, "10.1.2.3": Deny, "::ffff:10.1.2.3": Deny, "fd00::1": Deny, "2001:db8::1": Permit,
		// What is no address is no reason to go on: names and odd spellings of addresses are errors.
		"example.org": Deny, "": Deny, "010.1.2.3": Deny, "10.1": Deny, "fd00::1%eth0": Deny, "0x0a010203": Deny,
	} {
		r := &Request{Point: ToolCall, Tool: "web.get", Args: []arg.Value{{Name: "host", Kind: arg.String, Set: true, Text: host}}}
		if d := (Layers{s}).Decide(r); d.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", host, d.Outcome, d.Message, want)
		}
	}
}

func TestPlacesThatDoNotLoad(t *testing.T) {
	for when, want := range map[string]string{
		`in_window(now, "Mon-Fri 9-18", "UTC")`:                `are not hours`,
		`in_window(now, "09:00-18:00", "Europe/Berln")`:        `there is no time zone "Europe/Berln"; did you mean "Europe/Berlin"?`,
		`in_window(now, "09:00-18:00")`:                        `in_window takes 3 argument(s), not 2`,
		`in_window(now, agent, "UTC")`:                         `in_window needs a time, hours and a zone`,
		`in_window(agent, "09:00-18:00", "UTC")`:               `in_window needs a time, hours and a zone`,
		`in_cidr(agent, "10.0.0.1/8")`:                         `it would be 10.0.0.0/8`,
		`in_cidr(agent, "10.0.0.0")`:                           `is not a network`,
		`in_cidr(agent, "::ffff:10.0.0.0/104")`:                `is not a network`,
		`in_cidr(agent)`:                                       `in_cidr takes 2 to 17 argument(s), not 1`,
		`in_cidr(now, "10.0.0.0/8")`:                           `in_cidr needs a text and networks`,
		`expires - now < days(106751991168)`:                   `out of range`,
		`in_cidr(agent` + strings.Repeat(`, "::/0"`, 17) + `)`: `in_cidr takes 2 to 17`,
	} {
		_, err := Load([]byte(head+"rules: [{id: a, at: output, effect: permit, when: '"+when+"'}]\n"), Options{Layer: "operator"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
	}
	if _, err := CompileRoute(`in_window(now, "09:00-18:00", "UTC")`); err != nil {
		t.Errorf("UTC in a route: %v", err)
	}
	if _, err := CompileRoute(`in_window(now, "09:00-18:00", "Asia/Tokyo")`); err == nil {
		t.Error("a route records no zones, so it must not use one")
	}
}

// A set is judged by the zones and files that were recorded with it, not by those that are there now.
func TestPartsAreRecorded(t *testing.T) {
	s := loadOffice(t)
	parts := s.Parts()
	if len(parts) != 1 || parts[0].Name != "zone/America/New_York" {
		t.Fatalf("parts: %+v", parts)
	}
	ny, _ := calendar.Rules("Asia/Tokyo")
	for name, c := range map[string]struct {
		parts map[string][]byte
		want  string
	}{
		"as recorded":       {map[string][]byte{parts[0].Name: parts[0].Data}, ""},
		"none recorded":     {map[string][]byte{}, `the part "zone/America/New_York" is not recorded with the set`},
		"of another place":  {map[string][]byte{parts[0].Name: ny}, ""},
		"not rules at all":  {map[string][]byte{parts[0].Name: []byte("TZif2")}, "malformed time zone information"},
		"too long for one":  {map[string][]byte{parts[0].Name: make([]byte, maxPartBytes+1)}, "at most 262144 are read, so make two of it"},
		"rules of nonsense": {map[string][]byte{parts[0].Name: append([]byte("TZif2"), make([]byte, 39)...)}, "malformed"},
	} {
		again, err := Load([]byte(office), Options{Layer: "operator", Tools: webTool, Parts: c.parts})
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		if err == nil {
			noon := int64(1_795_618_800_000) // Wed 2026-11-25 15:00 UTC: office hours in New York, midnight in Tokyo
			want := Permit
			if name == "of another place" {
				want = Deny
			}
			if d := (Layers{again}).Decide(&Request{Point: Output, Now: noon}); d.Outcome != want {
				t.Errorf("%s: %s (%s), want %s", name, d.Outcome, d.Message, want)
			}
		}
	}
}

func TestASetInAFile(t *testing.T) {
	src := []byte(head + "sets: {friends: {file: friends.txt}}\nrules: [{id: a, at: spend, effect: permit, when: 'in_set(to, \"friends\")'}]\n")
	file := "# who may be paid\n0x00000000000000000000000000000000000000a1\n\n0x00000000000000000000000000000000000000a2\n"
	read := func(content string, err error) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if name != "friends.txt" {
				t.Errorf("the file %q is read", name)
			}
			return []byte(content), err
		}
	}
	s, err := Load(src, Options{Layer: "operator", File: read(file, nil)})
	if err != nil {
		t.Fatal(err)
	}
	parts := s.Parts()
	if len(parts) != 1 || parts[0].Name != "set/friends" || string(parts[0].Data) != file {
		t.Fatalf("parts: %q", parts)
	}
	again, err := Load(src, Options{Layer: "operator", Parts: map[string][]byte{"set/friends": parts[0].Data}})
	if err != nil || !slices.EqualFunc(again.Parts(), parts, func(a, b Part) bool { return a.Name == b.Name && string(a.Data) == string(b.Data) }) {
		t.Errorf("from the record: %v, %v", again, err)
	}
	for content, want := range map[string]string{
		"": `the set "friends" is empty`, "# nobody\n": "is empty", "alice\n0x00000000000000000000000000000000000000a1\n": "not both",
		"alice\nalice\n": "twice", "0x12\n": "is not an address",
	} {
		if _, err := Load(src, Options{Layer: "operator", File: read(content, nil)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", content, err, want)
		}
	}
	if _, err := Load(src, Options{Layer: "operator", File: read("", errors.New("no such file"))}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Load(src, Options{Layer: "operator"}); err == nil || !strings.Contains(err.Error(), "cannot be read here") {
		t.Errorf("without a reader: %v", err)
	}
}
