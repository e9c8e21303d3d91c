package trace

// Range is a number of times; Most below 0 is without limit.
type Range struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

// Has reports whether n is in the range.
func (r Range) Has(n int) bool { return n >= r.Least && (r.Most < 0 || n <= r.Most) }
