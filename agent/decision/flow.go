package decision

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// BlameArguments says which arguments of a call come from where: "the recipient and the amount come from untrusted
// content: web content of evil.example". foreign are those that the user did not write.
func BlameArguments(spend *tools.Spend, foreign []string, l label.Label) string {
	roles := map[string]string{}
	if s := spend; s != nil {
		roles = map[string]string{s.Amount: "the amount", s.Asset: "the asset", s.To: "the recipient"}
	}
	var words []string
	for _, name := range foreign {
		if roles[name] != "" {
			words = append(words, roles[name])
		} else {
			words = append(words, fmt.Sprintf("the argument %q", name))
		}
	}
	from := label.DescribeOrigins(l.Origins)
	return fmt.Sprintf("%s may come from untrusted content: %s", wording.JoinWithAnd(words), from)
}

// DescribeReaders says who would be given a call's arguments: "agent.mailer, and through it mail.send". all are the
// tool, and those through which an agent that is called may give them on.
func DescribeReaders(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	behind := all[1:]
	if len(behind) > 4 {
		behind = append(slices.Clone(behind[:3]), fmt.Sprintf("%d other tools", len(behind)-3))
	}
	return all[0] + ", and through it " + wording.JoinWithAnd(behind) + ","
}
