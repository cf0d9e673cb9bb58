package auth

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Bounds on a message, which EIP-4361 leaves open.
const (
	MaxMessage   = 8 << 10   // bytes of a whole message
	MaxResources = 16        // entries of its Resources
	maxChain     = 1<<53 - 1 // the largest chain id that JavaScript reads exactly
	maxNonce     = 128
	maxRequestID = 128
)

// A Message is a text that follows the grammar of EIP-4361, section "ABNF Message Format", to the letter. Its
// version is always 1. A field that may be absent is nil then, which is not the same as empty.
type Message struct {
	Scheme     string // empty if the message names none
	Domain     string // an RFC 3986 authority, which may hold a userinfo; see [Verify] for what is accepted
	Address    common.Address
	Statement  *string
	URI        string
	Chain      uint64
	Nonce      string
	IssuedAt   Stamp
	Expiration *Stamp
	NotBefore  *Stamp
	RequestID  *string
	Resources  []string // nil if the message has no Resources line
}

// A Stamp is a time and how the message spells it.
type Stamp struct {
	Text string    // an RFC 3339 date-time
	Time time.Time // UTC; a leap second is the first instant of the next minute
}

const greeting = " wants you to sign in with your Ethereum account:"

// Parse reads a message. It accepts what the grammar accepts, within our bounds, and nothing else: if it succeeds,
// [Message.String] gives raw again. An error is a [*Fault] that names the line. Parse says nothing about whether a
// message should be accepted; [Verify] does.
func Parse(raw []byte) (*Message, error) {
	if len(raw) > MaxMessage {
		return nil, newFault(CodeSize, "", "the message has %d bytes; at most %d are read", len(raw), MaxMessage)
	}
	if i := notPrintable(raw); i >= 0 {
		f := newFault(CodeASCII, "message", "the byte 0x%02x is not printable ASCII", raw[i])
		f.Line, f.Column = 1+bytes.Count(raw[:i], []byte("\n")), i-bytes.LastIndexByte(raw[:i], '\n')
		return nil, f
	}
	p := &parser{rest: string(raw)}
	p.parseMessage()
	if p.err != nil {
		return nil, p.err
	}
	return &p.m, nil
}

// notPrintable returns where the first byte stands that is neither printable ASCII nor LF, or -1.
func notPrintable(raw []byte) int {
	for i := 0; i < len(raw); i++ {
		for ; i+8 <= len(raw); i += 8 { // eight bytes at once, as long as all of them are above ' ' - 1 and below '~' + 1
			const ones, high = 0x0101010101010101, 0x8080808080808080
			w := binary.LittleEndian.Uint64(raw[i:])
			if (w|(w+ones)|(w-' '*ones))&high != 0 {
				break
			}
		}
		for end := min(i+8, len(raw)); i < end; i++ {
			if c := raw[i]; c != '\n' && (c < ' ' || c > '~') {
				return i
			}
		}
		i--
	}
	return -1
}

// A parser reads a message line by line. The first error sticks; after it, every line is empty.
type parser struct {
	rest string
	line int  // of the line read last, from 1
	col  int  // where in it the value begins that is read now, from 1
	done bool // the last line has been read
	err  *Fault

	// What is read, and what it points to: one piece of memory for all of it.
	m                     Message
	statement, requestID  string
	expiration, notBefore Stamp
}

func (p *parser) parseMessage() {
	m := &p.m
	p.parseGreeting(m)
	p.parseAddress(m)
	p.expectEmpty("the line after the address must be empty")
	first := p.nextLine()
	second := p.nextLine()
	uri, ok := strings.CutPrefix(second, "URI: ")
	if first != "" || !ok { // otherwise the message has no statement
		p.statement = first
		m.Statement = &p.statement
		for i := range len(first) {
			if !isStatement(first[i]) {
				p.line, p.col = p.line-1, i+1
				p.failOnce(CodeStatementChar, "statement", "the character %q is not allowed in it", first[i])
				break
			}
		}
		if second != "" {
			p.failOnce(CodeLine, "statement", "an empty line must follow it")
		}
		uri = p.readField("URI")
	}
	if m.URI = uri; !validURI(uri) {
		p.failOnce(CodeURIForm, "URI", "not an absolute URI of RFC 3986")
	}
	if v := p.readField("Version"); v != "1" {
		p.failOnce(CodeVersion, "Version", "only version 1 is known")
	}
	p.parseChain(m)
	if m.Nonce = p.readField("Nonce"); len(m.Nonce) < 8 || len(m.Nonce) > maxNonce || !consistsOf(m.Nonce, alpha|digit) {
		p.failOnce(CodeNonceForm, "Nonce", "not 8 to %d letters and digits", maxNonce)
	}
	m.IssuedAt = p.parseStamp("Issued At", p.readField("Issued At"))
	if s, ok := p.readOption("Expiration Time: "); ok {
		p.expiration = p.parseStamp("Expiration Time", s)
		m.Expiration = &p.expiration
	}
	if s, ok := p.readOption("Not Before: "); ok {
		p.notBefore = p.parseStamp("Not Before", s)
		m.NotBefore = &p.notBefore
	}
	if s, ok := p.readOption("Request ID: "); ok {
		p.requestID = s
		m.RequestID = &p.requestID
		if len(s) > maxRequestID || !isEncoded(s, pathChar) {
			p.failOnce(CodeRequestIDForm, "Request ID", "not at most %d characters of the kind pchar in RFC 3986", maxRequestID)
		}
	}
	if s, ok := p.readOption("Resources:"); ok {
		if s != "" {
			p.failOnce(CodeLine, "Resources", "nothing may follow on this line")
		}
		p.parseResources(m)
	}
	if !p.done {
		p.atEnd(p.nextLine())
		p.failOnce(CodeLine, "message", "no line is expected here")
	}
}

func (p *parser) parseGreeting(m *Message) {
	head, ok := strings.CutSuffix(p.nextLine(), greeting)
	if !ok {
		p.failOnce(CodeLine, "domain", "the first line must end with %q", greeting[1:])
		return
	}
	m.Domain = head
	if scheme, domain, ok := strings.Cut(head, "://"); ok {
		m.Scheme, m.Domain, p.col = scheme, domain, len(scheme)+len("://")+1
		if !isScheme(scheme) {
			p.col = 1
			p.failOnce(CodeSchemeForm, "scheme", "not a scheme of RFC 3986")
		}
	}
	host, port, ok := splitAuthority(m.Domain)
	switch {
	case !ok:
		p.failOnce(CodeDomainForm, "domain", "not an authority of RFC 3986")
	case host == "":
		p.failOnce(CodeDomainForm, "domain", "the host is empty")
	case !isPort(port):
		p.failOnce(CodeDomainForm, "domain", "there is no such port")
	}
}

func (p *parser) parseAddress(m *Message) {
	s := p.nextLine()
	if p.err != nil {
		return
	}
	if !isAddress(s) {
		p.failOnce(CodeAddressForm, "address", "not 0x and 40 hex digits")
		return
	}
	var ok bool
	if m.Address, ok = readAddress(s[2:]); !ok {
		p.failOnce(CodeAddressChecksum, "address", "its capitals are not those of EIP-55")
	}
}

func (p *parser) parseChain(m *Message) {
	s := p.readField("Chain ID")
	if s == "" || !consistsOf(s, digit) || len(s) > 1 && s[0] == '0' {
		p.failOnce(CodeChainForm, "Chain ID", "not a decimal number without leading zeros")
		return
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || n > maxChain {
		p.failOnce(CodeChainRange, "Chain ID", "not between 1 and 2^53 - 1")
	}
	m.Chain = n
}

func (p *parser) parseResources(m *Message) {
	m.Resources = make([]string, 0, 3)
	for !p.done && p.err == nil {
		line := p.nextLine()
		p.atEnd(line)
		uri, ok := strings.CutPrefix(line, "- ")
		if ok {
			p.col = len("- ") + 1
		}
		switch {
		case !ok || !validURI(uri):
			p.failOnce(CodeResourceForm, "Resources", "not %q and an absolute URI of RFC 3986", "- ")
		case len(m.Resources) == MaxResources:
			p.failOnce(CodeResourceCount, "Resources", "more than %d", MaxResources)
		}
		m.Resources = append(m.Resources, uri)
	}
}

// nextLine returns the next line. There is always a first one, which may be empty.
func (p *parser) nextLine() string {
	if p.err != nil {
		return ""
	}
	p.line++
	p.col = 1
	if p.done {
		p.failOnce(CodeLine, "message", "it ends before this line")
		return ""
	}
	line := p.rest
	if i := strings.IndexByte(line, '\n'); i >= 0 {
		line, p.rest = line[:i], line[i+1:]
	} else {
		p.rest, p.done = "", true
	}
	return line
}

// atEnd refuses an empty line if it is the last: editors add a line break at the end of a file.
func (p *parser) atEnd(line string) {
	if p.done && line == "" {
		p.failOnce(CodeLine, "message", "the line break before it is not part of a message: take it off the end")
	}
}

func (p *parser) expectEmpty(why string) {
	if p.nextLine() != "" {
		p.failOnce(CodeLine, "message", "%s", why)
	}
}

// readField returns the value of the next line, which must be the named one.
func (p *parser) readField(name string) string {
	s := p.nextLine()
	if len(s) < len(name)+2 || s[:len(name)] != name || s[len(name):len(name)+2] != ": " {
		p.failOnce(CodeLine, name, "%q was expected on this line", name+": ")
		return ""
	}
	p.col = len(name) + len(": ") + 1
	return s[len(name)+2:]
}

// readOption returns the value of the next line if it begins with prefix.
func (p *parser) readOption(prefix string) (string, bool) {
	if p.done || p.err != nil || !strings.HasPrefix(p.rest, prefix) {
		return "", false
	}
	s := p.nextLine()
	p.col = len(prefix) + 1
	return s[len(prefix):], true
}

func (p *parser) parseStamp(name, s string) Stamp {
	t, ok := parseTime(s)
	if !ok {
		p.failOnce(CodeTimeForm, name, "not a date-time of RFC 3339 that exists")
	}
	return Stamp{s, t}
}

func (p *parser) failOnce(code Code, field, format string, args ...any) {
	if p.err == nil {
		p.err = newFault(code, field, format, args...)
		p.err.Line, p.err.Column = max(p.line, 1), max(p.col, 1)
	}
}

// String returns the one text of the message. It is what [Parse] read, byte for byte.
func (m *Message) String() string {
	var b strings.Builder
	b.Grow(1 << 10)
	if m.Scheme != "" {
		b.WriteString(m.Scheme + "://")
	}
	b.WriteString(m.Domain + greeting + "\n" + m.Address.Hex() + "\n\n")
	if m.Statement != nil {
		b.WriteString(*m.Statement + "\n")
	}
	b.WriteString("\nURI: " + m.URI + "\nVersion: 1\nChain ID: " + strconv.FormatUint(m.Chain, 10))
	b.WriteString("\nNonce: " + m.Nonce + "\nIssued At: " + m.IssuedAt.Text)
	if m.Expiration != nil {
		b.WriteString("\nExpiration Time: " + m.Expiration.Text)
	}
	if m.NotBefore != nil {
		b.WriteString("\nNot Before: " + m.NotBefore.Text)
	}
	if m.RequestID != nil {
		b.WriteString("\nRequest ID: " + *m.RequestID)
	}
	if m.Resources != nil {
		b.WriteString("\nResources:")
		for _, r := range m.Resources {
			b.WriteString("\n- " + r)
		}
	}
	return b.String()
}

// parseAddress reads 0x and 40 hex digits with the capitals of EIP-55.
func parseAddress(s string) (common.Address, bool) {
	if !isAddress(s) {
		return common.Address{}, false
	}
	return readAddress(s[2:])
}

func isAddress(s string) bool {
	return len(s) == 42 && s[:2] == "0x" && consistsOf(s[2:], digit|hexLetter)
}

// readAddress reads 40 hex digits and says whether their capitals are those of EIP-55: a letter is a capital if the
// digit in its place of the hash of the lower-case address is 8 or more.
func readAddress(digits string) (a common.Address, checksummed bool) {
	var lower [40]byte
	for i := range lower {
		c := digits[i] | 0x20 // leaves digits as they are
		lower[i] = c
		if c > '9' {
			c -= 'a' - '0' - 10
		}
		a[i/2] = a[i/2]<<4 | (c - '0')
	}
	hash := crypto.Keccak256Hash(lower[:])
	for i := range lower {
		nibble := hash[i/2] >> 4
		if i%2 == 1 {
			nibble = hash[i/2] & 15
		}
		if c := digits[i]; c > '9' && (c < 'a') != (nibble >= 8) {
			return common.Address{}, false
		}
	}
	return a, true
}

// parseTime reads a date-time of RFC 3339, section 5.6. The letters T and Z may be lower case. A second of 60 is
// accepted where one can be: in the last minute, UTC, of June or December. At most nine digits of a second's fraction
// are read; the RFC sets no bound.
func parseTime(s string) (time.Time, bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	year, ok1 := readDigits(s[0:4])
	month, ok2 := readDigits(s[5:7])
	day, ok3 := readDigits(s[8:10])
	hour, ok4 := readDigits(s[11:13])
	minute, ok5 := readDigits(s[14:16])
	second, ok6 := readDigits(s[17:19])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 {
		return time.Time{}, false
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	nano, rest, ok := parseFraction(s[19:])
	if !ok {
		return time.Time{}, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute-offset, second, nano, time.UTC)
	return t, second < 60 || followsLeapSecond(t)
}

// parseFraction reads the fraction of a second that s may begin with, of at most nine digits, in nanoseconds.
func parseFraction(s string) (nano int, rest string, ok bool) {
	if s[0] != '.' {
		return 0, s, true
	}
	n := 1
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n == 1 || n > 10 {
		return 0, "", false
	}
	nano, _ = readDigits(s[1:n])
	for range 10 - n {
		nano *= 10
	}
	return nano, s[n:], true
}

// parseOffset reads the time zone that s is, in minutes east of UTC.
func parseOffset(s string) (minutes int, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return 0, false
	}
	h, ok1 := readDigits(s[1:3])
	m, ok2 := readDigits(s[4:6])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	if minutes = h*60 + m; s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

// followsLeapSecond says whether t is a midnight, in UTC, before which there may have been a leap second.
func followsLeapSecond(t time.Time) bool {
	return t.Hour() == 0 && t.Minute() == 0 && t.Day() == 1 && (t.Month() == time.January || t.Month() == time.July)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// readDigits returns the number that s is, if all of it is digits.
func readDigits(s string) (n int, ok bool) {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != ""
}
