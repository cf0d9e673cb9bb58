package tools

import "reflect"

// MeanSame says whether two sets of arguments mean the same: one amount in two spellings does, as does one account.
// What another agent is told (told) may end with the full stop of the request.
func (a Args) MeanSame(b Args, spend *Spend, told bool) bool {
	if spend != nil && (a.Amount != b.Amount || a.To != b.To) || len(a.Values) != len(b.Values) {
		return false
	}
	for i, v := range a.Values {
		if spend != nil && (v.Name == spend.Amount || v.Name == spend.Asset || v.Name == spend.To) {
			continue
		}
		w := b.Values[i]
		if told && w.Text == v.Text+"." {
			w.Text = v.Text
		}
		if !reflect.DeepEqual(v, w) {
			return false
		}
	}
	return true
}
