package vectors

// What a test of a database of its own needs.
var Literal = literal

func (x *Postgres) Table() string { return x.table }
