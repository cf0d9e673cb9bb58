package policies

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
)

// What is here asks when and where: hours of the week in a time zone, and addresses of networks.

// utc is a zone without rules, so it is known everywhere and recorded nowhere.
var utc = func() *calendar.Zone {
	rules, _ := calendar.Rules("UTC")
	z, err := calendar.NewZone("UTC", rules)
	if err != nil {
		panic("policies: " + err.Error()) // it is embedded; a test reads every zone
	}
	return z
}()

func (sc *scope) findZone(name string) (*calendar.Zone, error) {
	if name == utc.Name() {
		return utc, nil
	}
	if sc.zone == nil {
		return nil, fmt.Errorf("only UTC is known here, not the time zone %q", wording.Clip(name, 60))
	}
	return sc.zone(name)
}

// literalArguments returns the arguments from the i-th on, which must be string literals.
func literalArguments(n *ast.CallNode, i int) ([]string, bool) {
	var out []string
	for _, a := range n.Arguments[i:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		out = append(out, s.Value)
	}
	return out, true
}

// compileInWindow compiles in_window(now, "Mon-Fri 09:00-18:00", "America/New_York").
func (sc *scope) compileInWindow(n *ast.CallNode) (*expression, *conditionError) {
	at, err := sc.compile(n.Arguments[0])
	if err != nil {
		return nil, err
	}
	lit, ok := literalArguments(n, 1)
	if !ok || at.Kind != cond.Int {
		return nil, errorAt(n, `in_window needs a time, hours and a zone: `+
			`in_window(now, "Mon-Fri 09:00-18:00", "America/New_York")`)
	}
	weekly, perr := calendar.ParseWeekly(lit[0])
	if perr != nil {
		return nil, errorAt(n.Arguments[1], "%v", perr)
	}
	zone, perr := sc.findZone(lit[1])
	if perr != nil {
		e := errorAt(n.Arguments[2], "%v", perr)
		if sc.zone != nil {
			e.hint = wording.Nearest(lit[1], calendar.Names())
		}
		return nil, e
	}
	h := &cond.Hours{Weekly: weekly, Zone: zone}
	list := &expression{Node: n.Arguments[1], Op: "list", Shown: h.String()}
	return &expression{Kind: cond.Bool, Node: n, Op: "in_window", Kids: []*expression{at, list}, Hours: h,
		Bool: func(f *frame) (bool, error) {
			ms, err := at.Int(f)
			if err != nil {
				return false, err
			}
			return weekly.Holds(zone, ms)
		}}, nil
}

const maxPrefixes = 16

// compileInCIDR compiles in_cidr(args.host, "10.0.0.0/8", "fd00::/8").
func (sc *scope) compileInCIDR(n *ast.CallNode) (*expression, *conditionError) {
	ip, err := sc.compile(n.Arguments[0])
	if err != nil {
		return nil, err
	}
	lit, ok := literalArguments(n, 1)
	if !ok || ip.Kind != cond.String {
		return nil, errorAt(n, `in_cidr needs a text and networks: in_cidr(args.host, "10.0.0.0/8", "fd00::/8")`)
	}
	nets, perr := parsePrefixes(lit)
	if perr != nil {
		return nil, errorAt(n.Arguments[1], "%v", perr)
	}
	list := &expression{Node: n.Arguments[1], Op: "list", Shown: strings.Join(lit, " or ")}
	for _, p := range nets { // a first address of each, for a suggestion
		list.List = append(list.List, value{Kind: cond.String, Text: p.Addr().String()})
	}
	return &expression{Kind: cond.Bool, Node: n, Op: "in_cidr", Kids: []*expression{ip, list},
		Bool: func(f *frame) (bool, error) {
			s, err := ip.Text(f)
			if err != nil {
				return false, err
			}
			in, err := inPrefixes(s, nets)
			if err != nil {
				return false, fmt.Errorf("%s is %w", ip.Source(), err)
			}
			return in, nil
		}}, nil
}

// parsePrefixes reads networks as RFC 4632 and RFC 4291 write them: 10.0.0.0/8, fd00::/8. Bits beyond the length are
// an error, since whoever wrote them meant something else.
func parsePrefixes(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network, such as 10.0.0.0/8 or fd00::/8", wording.Clip(s, 60))
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("the network %s has bits beyond its length; it would be %s", wording.Clip(s, 60), p.Masked())
		}
		out = append(out, p)
	}
	return out, nil
}

var errNoIP = errors.New("not an IP address") // and not which: it comes from outside

// inPrefixes says whether s is an address of one of the networks. What is no IP address is an error: as a mere no it
// would slip through a forbid. An IPv4 address in IPv6's clothes (::ffff:10.0.0.1) is the IPv4 address.
func inPrefixes(s string, nets []netip.Prefix) (bool, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return false, errNoIP
	}
	a = a.Unmap()
	for _, p := range nets {
		if p.Contains(a) {
			return true, nil
		}
	}
	return false, nil
}
