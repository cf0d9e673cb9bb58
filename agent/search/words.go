package search

import (
	"strings"
	"unicode"
)

// splitTerms cuts a text into terms: words in lower case without marks on their letters, without their endings, numbers
// in digits. Words that say nothing are left out. A word with a hyphen is its parts, and in an index also the whole.
func splitTerms(text string, index bool) (list []string) {
	add := func(w string) {
		if t := termOf(w); t != "" {
			list = append(list, t)
		}
	}
	rs := []rune(text)
	for i := 0; i < len(rs); {
		if rs[i] == '%' {
			list = append(list, "percent")
		}
		if !isLetter(rs[i]) {
			i++
			continue
		}
		at := i
		for i++; i < len(rs) && (isLetter(rs[i]) || joins(rs, i)); i++ {
		}
		parts := strings.Split(fold(rs[at:i]), "-")
		for _, p := range parts {
			add(p)
		}
		if index && len(parts) > 1 {
			add(strings.Join(parts, ""))
		}
	}
	return list
}

func isLetter(r rune) bool {
	return r < unicode.MaxASCII && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') ||
		r > unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// joins says whether what is at i, no letter, is within a word: an apostrophe, a hyphen, or a point or comma between
// digits.
func joins(rs []rune, i int) bool {
	if i+1 >= len(rs) || !isLetter(rs[i+1]) || !isLetter(rs[i-1]) {
		return false
	}
	digit := func(r rune) bool { return r >= '0' && r <= '9' }
	switch rs[i] {
	case '\'', '\u2019', '-':
		return true
	case '.', ',':
		return digit(rs[i-1]) && digit(rs[i+1])
	}
	return false
}

// fold writes a word in lower case, without marks, apostrophes, and commas between digits.
func fold(rs []rune) string {
	var b strings.Builder
	for _, r := range rs {
		r = unicode.ToLower(r)
		switch {
		case r == ',' || r == '\'' || r == '\u2019' || unicode.Is(unicode.Mn, r):
			if r == '\'' || r == '\u2019' {
				b.WriteByte('\'')
			}
		case r >= 0xC0 && r < 0x180:
			b.WriteString(bases[r])
			if bases[r] == "" {
				b.WriteRune(r)
			}
		default:
			b.WriteRune(r)
		}
	}
	s := strings.TrimSuffix(b.String(), "'s")
	return strings.ReplaceAll(s, "'", "")
}

var bases = func() map[rune]string {
	m := map[rune]string{}
	for base, letters := range map[string]string{
		"a": "àáâãäåāăą", "ae": "æ", "c": "çćĉċč", "d": "ďđ", "e": "èéêëēĕėęě", "g": "ĝğġģ", "h": "ĥħ", "i": "ìíîïĩīĭįı",
		"j": "ĵ", "k": "ķ", "l": "ĺļľŀł", "n": "ñńņňŉ", "o": "òóôõöøōŏő", "oe": "œ", "r": "ŕŗř", "s": "śŝşš", "ss": "ß",
		"t": "ţťŧ", "u": "ùúûüũūŭůűų", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
	} {
		for _, r := range letters {
			m[r] = base
		}
	}
	return m
}()

// termOf returns a word's term; "" if it says nothing.
func termOf(w string) string {
	if w == "" || len(w) > maxTerm || stopWords[w] {
		return ""
	}
	if n, ok := numerals[w]; ok {
		return n
	}
	if base, ok := irregular[w]; ok {
		w = base
	}
	return stem(w)
}

func setOf(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// stopWords say nothing about what a text is of. Single letters are what apostrophes and lists leave.
var stopWords = setOf(`a an the this that these those it its they them their theirs he she his her him i me my mine we us our
ours you your yours who whom whose which what when where why how and or but nor if then than so as at by for from in into of
off on onto out over to up with within without about is are was were be been being am do does did doing done have has had
having can could may might must shall should will would there here any anything some something someone anyone anybody
somebody somewhere every everything each all both such same other another very too also just only even still yet much many
more most few less no not never yes please tell say says said let lets get gets got s t d re ve ll m isnt arent wasnt werent
dont doesnt didnt cant cannot couldnt wont wouldnt shouldnt ok okay else ever per via vs etc exactly really actually
currently right possible allowed supposed need needs happen happens know want like kind sort`)

// numerals are written in digits.
var numerals = map[string]string{
	"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
	"nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
	"sixteen": "16", "eighteen": "18", "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60",
	"seventy": "70", "eighty": "80", "ninety": "90", "twice": "2", "third": "3rd", "fourth": "4th", "fifth": "5th",
	"first": "1st", "dozen": "12",
}

func pairs(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for i, w := range words {
			if i > 0 {
				m[w] = words[0]
			}
		}
	}
	return m
}

// irregular are forms that no rule of endings finds, by their verb or noun, which stands first.
var irregular = pairs(`pay paid
spend spent
hold held
choose chose chosen
send sent
keep kept
lose lost
meet met
run ran
buy bought
sell sold
take took taken
give gave given
write wrote written
begin began begun
leave left
make made
find found
build built
go went gone
tell told
win won
rise rose risen
fall fell fallen
break broke broken
speak spoke spoken
withdraw withdrew withdrawn
draw drew drawn
know knew known
grow grew grown
bring brought
think thought
lend lent
bear bore borne
steal stole stolen
freeze froze frozen
forget forgot forgotten
teach taught
catch caught
sit sat
see saw seen
feel felt
read reads
forbid forbade forbidden
person people persons
child children
man men
woman women
datum data
index indices
expense expenditure`)

// alikes are words that mean much the same where people write of work, money, rules and time. A line is read in both
// directions. They are of the language, not of any collection: a word that a collection uses in its own way stands in
// no line.
const alikes = `pay payment payout disburse remit compensate compensation
cost price fee charge expense
salary wage pay stipend compensation remuneration earn
spend expense budget expenditure
maximum max most limit cap ceiling highest
minimum min least floor lowest smallest
limit cap bound threshold restrict
big large size amount
amount sum quantity
grant funding award fund subsidy
fund finance money
money cash treasury fund
treasury reserve holding
vote ballot poll voting election
elect vote choose pick select appoint
choose pick select
quorum turnout
member participant holder
join become enroll enter register signup
leave quit resign exit depart
remove expel kick ban dismiss evict oust
ban block prohibit forbid
forbid prohibit ban disallow
allow permit forbid prohibit
permission approval consent authorization
approve accept authorize ratify confirm
sign signature signer cosign
reject refuse decline deny turndown
propose proposal suggest suggestion motion
submit send file hand deliver
deadline due date
duration long last period length term
wait delay pause cooldown
week weekly
month monthly
year annual yearly annually
quarter quarterly
day daily
hour hourly
often frequency frequent interval
meeting call session gathering
meet gather convene
lead head chair leader run
chair lead head preside moderator
responsible charge accountable owner
duty responsibility task job
job role position
person human individual
worker employee staff contributor
team group squad crew
contractor freelancer consultant
vendor supplier provider
audit review inspection examine
review check examine inspect
check verify confirm
report summary statement
publish post release announce
announce tell inform notify communicate
notify alert inform warn
message email mail letter
contact reach write
complain complaint grievance
dispute conflict disagreement argument
appeal contest challenge
punish penalty sanction fine
fine penalty
bug vulnerability flaw defect
reward bounty prize bonus
bonus reward premium
hack breach attack compromise incident
incident emergency outage accident
emergency crisis urgent
urgent emergency immediate
stop halt suspend pause freeze
pause freeze suspend
start begin open launch commence
end close finish expire conclude
expire lapse end
cancel revoke withdraw abort
change modify amend alter edit update
amend amendment change
rule policy guideline regulation
store keep save hold
keep retain store preserve
retain keep retention
delete erase remove purge
backup copy
lose loss missing misplace
replace substitute swap
key credential password
password passphrase secret
laptop computer notebook machine
device computer hardware equipment
equipment hardware gear
travel trip journey
trip travel journey
hotel lodging accommodation room
flight plane airline fly air
train rail railway
meal food dinner lunch eat
reimburse refund repay
refund reimburse
receipt invoice bill
invoice bill
tax levy vat
insurance insure cover
contract agreement
law legal lawyer
lawyer attorney counsel
vacation holiday leave
ill sick illness
sick ill illness
parent parental maternity paternity
event conference
conference event summit
speaker talk presenter
language tongue
translate translation
name call title
address location
office premises building
live located based
country nation
community forum
moderate moderator
donate donation gift contribute
gift present donation
sell sale dispose
buy purchase acquire procure
exchange swap trade convert
price value worth
rate percentage percent ratio
percent percentage share proportion
share portion fraction
interest yield return
risk danger hazard
safe secure security
protect secure guard safeguard
private confidential secret
confidential private secret
privacy confidential
data information
information detail data
document file paper
record log
archive store
website site page web
software code program
code source repository
deploy release ship rollout
test trial
trial probation test
train training teach
learn study course education
education course training learning
mentor coach buddy
new recent
old former previous
recent last latest
frequent often
fast quick speed rapid
slow delay
increase raise grow
raise increase
decrease reduce lower cut
reduce cut lower decrease
majority most half
unanimous all
tie draw deadlock
delegate proxy representative
represent delegate
owner holder possess
own possess hold
found founder create establish
create make establish found
establish found create
happen occur
fail failure
help support assist assistance
support help assist
answer reply respond response
respond reply answer
ask request
request ask apply application
apply application request
require must need mandatory
optional voluntary
partner partnership
client customer
company firm business
firm company
auditor reviewer
guest visitor
plant tree garden
water irrigation
house building home
repair fix mend
fix repair mend patch
clean cleaning
car vehicle
bike bicycle
weekend saturday sunday
morning am
midnight night
`

// likes holds, for each term, the terms that mean much the same.
var likes = func() map[string][]string {
	m := map[string][]string{}
	has := map[[2]string]bool{}
	for line := range strings.Lines(alikes) {
		words := strings.Fields(line)
		for i := range words {
			words[i] = termOf(words[i])
		}
		for _, a := range words {
			for _, b := range words {
				if a != "" && b != "" && a != b && !has[[2]string{a, b}] {
					has[[2]string{a, b}] = true
					m[a] = append(m[a], b)
				}
			}
		}
	}
	return m
}()
