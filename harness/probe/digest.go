package probe

import (
	"encoding/json"

	"kernellab/harness/plan"
)

// MarshalJSON writes the parts of a plan that a trace depends on; the trace's header
// has the digest of this. It leaves out texts for people and expectations that do not
// affect the driver.
func (p Plan) MarshalJSON() ([]byte, error) {
	type task struct{ Role, When string }
	type find struct{ Role, Expr string }
	type times struct{ Least, Most int }
	type way struct{ Name, Place, Aside string }
	type stop struct {
		Name, Place, ReturnOf, Role string
		Entry                       bool
		When, Aside                 string
		Finds                       []find
		Within                      string `json:",omitempty"`
		Armed                       []string
		Until                       string
		Step                        bool
		Hits                        *times
		Optional                    bool
		Absent                      string
		Stacks                      []string
		Reads                       []plan.Named
		Needs, Args                 []string // arguments: of shown values, and of rules
		Source                      string
	}
	out := struct {
		Tasks      []task
		Points     []stop
		Instead    []way `json:",omitempty"`
		Parents    bool
		Args, Open []string
	}{Parents: p.Parents, Args: p.Args, Open: p.Open}
	for _, t := range p.Tasks {
		out.Tasks = append(out.Tasks, task{t.Role, t.When})
	}
	for _, q := range p.Points {
		s := stop{
			Name: q.Name, Place: q.Place, ReturnOf: q.ReturnOf, Role: q.Role, Entry: q.Entry, When: q.When, Aside: q.Aside,
			Within: q.Within, Armed: q.Armed, Until: q.Until, Step: q.Step, Optional: q.Optional, Absent: q.Absent, Stacks: q.Stacks,
			Reads: q.Reads, Args: q.Args, Source: q.Source,
		}
		if q.Hits != nil {
			s.Hits = &times{q.Hits.Least, q.Hits.Most}
		}
		for _, f := range q.Finds {
			s.Finds = append(s.Finds, find{f.Name, f.Expr})
		}
		for _, v := range q.Show {
			s.Needs = append(s.Needs, members(v.Expr, "arg")...)
		}
		out.Points = append(out.Points, s)
	}
	for _, q := range p.Instead {
		out.Instead = append(out.Instead, way{q.Name, q.Place, q.Aside})
	}
	return json.Marshal(out)
}
