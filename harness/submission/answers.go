package submission

// answers reads the answers out of the files.
func (s *Submission) answers(f *files, o Options) {
	if o.Answers == None {
		return
	}
}
