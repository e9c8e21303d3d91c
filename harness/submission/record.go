package submission

import (
	"fmt"

	"kernellab/harness/variant"
	"kernellab/internal/yamlnode"
)

// maxRecorded limits the number of values in a record.
const maxRecorded = 16

// recorded reads the record of the student's task. A mistake in it is a remark and costs
// nothing.
func (s *Submission) recorded(f *files) {
	data, there := f.data[variant.File]
	if !there {
		return
	}
	r, problem := record(data)
	if problem != nil {
		problem.Part, problem.File, problem.Free = PartTask, variant.File, true
		problem.Hint = "copy the file from the folder that you were given"
		s.Problems = append(s.Problems, problem)
		return
	}
	s.Recorded = r
}

// record reads the content of the file.
func record(data []byte) (*variant.Record, *Problem) {
	body, problem := parse(data)
	if problem != nil {
		return nil, problem
	}
	bad := func(line int, message string, args ...any) (*variant.Record, *Problem) {
		return nil, &Problem{Line: line, Message: fmt.Sprintf(message, args...)}
	}
	entries, ok := pairs(body)
	if body == nil || !ok {
		return bad(0, "want the lab, the student and the variant, each with a colon")
	}
	r := &variant.Record{Values: map[string]string{}}
	for _, p := range entries {
		text, plain := yamlnode.Scalar(p.Value)
		to := map[string]*string{"lab": &r.Lab, "student": &r.Student, "secret": &r.Secret}[p.Key]
		switch {
		case to != nil && plain:
			*to = text
		case p.Key == "variant":
			values, ok := pairs(p.Value)
			if !ok || len(values) > maxRecorded {
				return bad(p.Line, "variant: want up to %d names with values", maxRecorded)
			}
			for _, v := range values {
				if r.Values[v.Key], ok = yamlnode.Scalar(v.Value); !ok {
					return bad(v.Line, "variant: want a value for %s", clip(v.Key))
				}
			}
		default:
			return bad(p.Line, "unknown entry %q", clip(p.Key))
		}
	}
	if r.Lab == "" || len(r.Values) == 0 {
		return bad(0, "want the lab and the variant")
	}
	if err := variant.CheckID(r.Student); err != nil {
		return bad(0, "student: %v", err)
	}
	return r, nil
}
