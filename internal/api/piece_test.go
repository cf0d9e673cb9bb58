package api

import (
	"testing"

	"github.com/writ-run/writ/internal/news"
)

// Text that comes late is of an answer that is over, and would stand before the next one; text behind a gap would stand
// where it does not belong.
func TestOnlyTextThatGoesOnIsGiven(t *testing.T) {
	s := &Stream{next: 5, heard: 3}
	for _, tt := range []struct {
		rule  string
		piece news.Piece
		want  bool
	}{
		{"of a call that has its reply", news.Piece{Of: 2, Text: "late"}, false},
		{"the first of a call", news.Piece{Of: 4, Text: "he"}, true},
		{"a place in the queue is none of its text", news.Piece{Of: 4, Place: 1}, true},
		{"the next", news.Piece{Of: 4, Text: "ll", From: 2}, true},
		{"behind a gap", news.Piece{Of: 4, Text: "rld", From: 8}, false},
		{"and all that follows it", news.Piece{Of: 4, Text: "!", From: 11}, false},
		{"the next call begins anew", news.Piece{Of: 6, Text: "again"}, true},
		{"joined in the middle", news.Piece{Of: 7, Text: "end", From: 9}, false},
		{"nothing", news.Piece{}, false},
	} {
		s.piece = tt.piece
		if got := s.takePiece(); got != tt.want || s.piece != (news.Piece{}) {
			t.Errorf("%s: got %v, want %v; %+v is left", tt.rule, got, tt.want, s.piece)
		}
	}
}
