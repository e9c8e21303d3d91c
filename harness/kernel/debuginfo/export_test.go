package debuginfo

// Spans are the runs of code that the file tells of.
func Spans(f *File) [][2]uint64 {
	var all [][2]uint64
	for _, s := range f.index.spans {
		all = append(all, [2]uint64{s.Low, s.High})
	}
	return all
}
