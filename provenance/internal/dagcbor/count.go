package dagcbor

// ShortCount reads a decimal count that surely fits 64 bits, in its one spelling; of all others it says false.
func ShortCount(b string) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for i := range len(b) {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(b[i]-'0')
	}
	return n, true
}
