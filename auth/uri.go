package auth

import "strings"

// validURI says whether s is a URI of RFC 3986, section 3: absolute, so with a scheme.
func validURI(s string) bool {
	i := strings.IndexByte(s, ':')
	if i < 0 || !isScheme(s[:i]) {
		return false
	}
	rest := s[i+1:]
	if len(rest) >= 2 && rest[0] == '/' && rest[1] == '/' {
		end := 2
		for end < len(rest) && rest[end] != '/' && rest[end] != '?' && rest[end] != '#' {
			end++
		}
		if _, _, ok := splitAuthority(rest[2:end]); !ok {
			return false
		}
		rest = rest[end:]
	}
	// Path and query are of the same characters; the first # ends them.
	n := spanOf(rest, pathChar|slashes)
	return n == len(rest) || rest[n] == '#' && isEncoded(rest[n+1:], pathChar|slashes)
}

// splitAuthority takes an authority of RFC 3986, section 3.2, apart. Host and port may be empty.
func splitAuthority(s string) (host, port string, ok bool) {
	if user, rest, found := strings.Cut(s, "@"); found {
		if !isEncoded(user, nameChar|colonAt) {
			return "", "", false
		}
		s = rest
	}
	if after, found := strings.CutPrefix(s, "["); found {
		inner, rest, found := strings.Cut(after, "]")
		if !found || !isIPv6(inner) || rest != "" && rest[0] != ':' {
			return "", "", false
		}
		return inner, strings.TrimPrefix(rest, ":"), consistsOf(strings.TrimPrefix(rest, ":"), digit)
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, isEncoded(host, nameChar) && consistsOf(port, digit)
}

// isPort says whether digits are a port that can exist, or none.
func isPort(digits string) bool { return len(digits) < 5 || len(digits) == 5 && digits <= "65535" }

// isIPv6 says whether s is an IPv6 address of RFC 3986: no zone.
func isIPv6(s string) bool {
	head, tail, short := strings.Cut(s, "::")
	n, ok := countGroups(head, !short)
	m, okTail := countGroups(tail, true)
	if !ok || !okTail {
		return false
	}
	if !short {
		return n == 8
	}
	return n+m <= 7 && !strings.Contains(tail, "::")
}

// countGroups counts the 16-bit groups of a part of an IPv6 address. Only the last part may end in an IPv4 address.
func countGroups(s string, last bool) (n int, ok bool) {
	if s == "" {
		return 0, true
	}
	parts := strings.Split(s, ":")
	for i, part := range parts {
		if last && i == len(parts)-1 && strings.Contains(part, ".") {
			if !isIPv4(part) {
				return 0, false
			}
			n += 2
			continue
		}
		if len(part) < 1 || len(part) > 4 || !consistsOf(part, digit|hexLetter) {
			return 0, false
		}
		n++
	}
	return n, true
}

func isIPv4(s string) bool {
	parts := strings.Split(s, ".")
	for _, part := range parts {
		n, ok := readDigits(part)
		if !ok || len(part) > 3 || n > 255 || len(part) > 1 && part[0] == '0' {
			return false
		}
	}
	return len(parts) == 4
}

func isScheme(s string) bool { return s != "" && classes[s[0]]&alpha != 0 && consistsOf(s, schemeChar) }

// isEncoded says whether every character of s is of one of the classes or begins a percent-encoded byte.
func isEncoded(s string, class uint16) bool { return spanOf(s, class) == len(s) }

// spanOf returns how many bytes at the start of s are characters of the classes, or percent-encoded bytes.
func spanOf(s string, class uint16) int {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&class != 0 {
			continue
		}
		if s[i] != '%' || i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			return i
		}
		i += 2
	}
	return len(s)
}

// consistsOf says whether every character of s is of one of the classes.
func consistsOf(s string, class uint16) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func allBytes(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

// Classes of characters in RFC 3986, section 2 and appendix A.
const (
	alpha = 1 << iota
	digit
	hexLetter
	mark      // - . _ ~
	subDelim  // ! $ & ' ( ) * + , ; =
	colonAt   // : @
	slashes   // / ?
	genDelims // # [ ]
	schemeChar

	nameChar = alpha | digit | mark | subDelim // of a host
	pathChar = nameChar | colonAt
	anyChar  = pathChar | slashes | genDelims // reserved and unreserved
)

var classes = func() (t [256]uint16) {
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= alpha
		t[c-'a'+'A'] |= alpha
	}
	set := func(s string, class uint16) {
		for _, c := range s {
			t[c] |= class
		}
	}
	set("0123456789", digit)
	set("abcdefABCDEF", hexLetter)
	set("-._~", mark)
	set("!$&'()*+,;=", subDelim)
	set(":@", colonAt)
	set("/?", slashes)
	set("#[]", genDelims)
	for c := range t {
		if t[c]&(alpha|digit) != 0 || c == '+' || c == '-' || c == '.' {
			t[c] |= schemeChar
		}
	}
	return t
}()

func isDigit(c byte) bool { return classes[c]&digit != 0 }
func isHex(c byte) bool   { return classes[c]&(digit|hexLetter) != 0 }
func isAlnum(c byte) bool { return classes[c]&(alpha|digit) != 0 }

// isStatement says whether c may stand in a statement.
func isStatement(c byte) bool { return c == ' ' || classes[c]&anyChar != 0 }
