package grade

import (
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/ftrace"
	"kernellab/harness/trace"
)

// traced gives an environment what ftrace recorded.
func (v *view) traced(env *expr.Recording, r round) {
	f := v.trace.Ftrace()
	env.Ftrace = f
	env.Traced = func(name string) bool {
		return slices.ContainsFunc(f.Filter, func(s string) bool { return plainSymbol(s) == plainSymbol(v.symbolOf(name)) })
	}
	env.Enabled = func(name string) bool {
		return slices.ContainsFunc(f.Events, func(s string) bool { return s == name || strings.HasSuffix(s, ":"+name) })
	}
	env.Option = func(name string) bool { return slices.Contains(f.Options, name) }
	env.Agrees = func(point string) (bool, error) {
		stop := r.first(point)
		if stop == nil {
			return false, notHit(point)
		}
		rows, _ := ftrace.Compare(v.trace)
		i := slices.IndexFunc(rows, func(row ftrace.Row) bool { return row.Stop.Seq == stop.Seq })
		return i >= 0 && rows[i].Case == ftrace.SameStack, nil
	}
	env.Events = func(event string, pid int, word string) int {
		n := 0
		for _, r := range f.Records {
			if r.Event == event && (r.PID == pid || ftrace.About(r, pid)) && (word == "" || hasWord(r, word)) {
				n++
			}
		}
		return n
	}
}

func hasWord(r trace.FtraceRecord, word string) bool {
	return slices.Contains(strings.Fields(r.Text), word)
}
