package library_test

import (
	"fmt"
	"testing"

	"github.com/writ-run/writ/internal/library"
)

// What a search of a reader of 1 % of 10,000 chunks costs, and of one of all of them.
func BenchmarkSearch(b *testing.B) {
	l, err := library.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	shelf(b, l, 10_000, 100)
	everybody := []library.Reader{}
	for i := range 60 {
		everybody = append(everybody, library.Reader{Wallet: fmt.Sprintf("0xw%d", i)})
	}
	if _, err := l.Put(b.Context(), text("shared", "payroll of all", everybody...)); err != nil {
		b.Fatal(err)
	}
	who := library.Reader{Wallet: "0xw7", Session: "s", Agent: "a"}
	for b.Loop() {
		if _, err := l.Search(b.Context(), who, "payroll of number707 term5", 8); err != nil {
			b.Fatal(err)
		}
	}
}
