package reporttest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

var (
	mentioned = regexp.MustCompile(`\b([0-9]+)\[([^\]]+)\]`)
	unhit     = regexp.MustCompile(`^([a-z_0-9]+) (?:was not hit|was never hit|never came)(?: by the ([a-z]+))?(?: for call ([0-9]+))?\b`)
	uncalled  = regexp.MustCompile(`^the program never called ([a-z_0-9]+):`)
	asides    = regexp.MustCompile(`([a-z_0-9]+) by ([0-9]+)\[[^\]]+\] ([0-9]+) times`)
	calls     = regexp.MustCompile(`^the program called ([a-z_0-9]+) .*, seen ([0-9]+) hits$`)
	childEnd  = regexp.MustCompile(`^the child ends .*, seen killed by (SIG[A-Z0-9]+)$`)
	killed    = regexp.MustCompile(`killed by (SIG[A-Z0-9]+)(?: instead|, after printing)`)
	status    = regexp.MustCompile(`; exit status ([0-9]+), after printing`)
	unprinted = regexp.MustCompile(`did not print ("[^"]*"(?:, "[^"]*")*)`)
	early     = regexp.MustCompile(`printed ("[^"]*") before ("[^"]*")`)
	timeout   = regexp.MustCompile(`did not end within`)
	quote     = regexp.MustCompile(`"([^"]*)"`)
)

// FalseFindings returns what the findings of a run that fails say that is not in its
// trace, and the findings in whose sentences it knows no fact. It leaves out those about
// answers, which are no facts of the run.
func FalseFindings(findings []verdict.Finding, t *trace.Trace) (wrong []string) {
	var exit trace.Exit
	for _, e := range t.Events {
		if e.Exit != nil {
			exit = *e.Exit
		}
	}
	lines := strings.Split(exit.Output, "\n")
	hits := func(is func(trace.Event) bool) (n int) {
		for _, e := range t.Events {
			if e.Kind == trace.KindStop && is(e) {
				n++
			}
		}
		return n
	}
	counted := func(point, role, round string) int {
		return hits(func(e trace.Event) bool {
			return e.Aside == "" && e.Point == point && (role == "" || e.Role == role) && (round == "" || strconv.Itoa(e.Round) == round)
		})
	}
	for _, f := range findings {
		if f.Kind == verdict.FindAnswer {
			continue
		}
		facts := 0
		claim := func(ok bool, format string, args ...any) {
			facts++
			if !ok {
				wrong = append(wrong, fmt.Sprintf("%q: %s", f.Message, fmt.Sprintf(format, args...)))
			}
		}
		for _, m := range mentioned.FindAllStringSubmatch(f.Message, -1) {
			n := hits(func(e trace.Event) bool { return e.Task != nil && who(e.Task) == m[0] })
			claim(n > 0, "the trace has no task %s", m[0])
		}
		if m := unhit.FindStringSubmatch(f.Message); m != nil {
			claim(counted(m[1], m[2], m[3]) == 0, "the trace has it")
		}
		if m := uncalled.FindStringSubmatch(f.Message); m != nil {
			claim(counted(m[1], "", "") == 0, "the trace has it")
		}
		for _, m := range asides.FindAllStringSubmatch(f.Message, -1) {
			n := hits(func(e trace.Event) bool {
				return e.Aside != "" && e.Point == m[1] && e.Task != nil && strconv.Itoa(e.Task.PID) == m[2]
			})
			claim(strconv.Itoa(n) == m[3], "the trace has %d", n)
		}
		if m := calls.FindStringSubmatch(f.Message); m != nil {
			n := counted(m[1], "", "")
			claim(strconv.Itoa(n) == m[2], "the trace has %d", n)
		}
		if m := childEnd.FindStringSubmatch(f.Message); m != nil {
			code := trace.Word(trace.Constants()[m[1]])
			n := hits(func(e trace.Event) bool {
				return e.Aside == "" && e.Point == "release_task" && e.Reads["exit_code"]&0x7f == code
			})
			claim(n > 0, "the trace has another exit_code")
		}
		if m := killed.FindStringSubmatch(f.Message); m != nil {
			claim(exit.Signal == m[1], "the trace has %q", exit.Signal)
		}
		if m := status.FindStringSubmatch(f.Message); m != nil {
			claim(exit.Signal == "" && strconv.Itoa(exit.Code) == m[1], "the trace has %d %s", exit.Code, exit.Signal)
		}
		if m := unprinted.FindStringSubmatch(f.Message); m != nil {
			for _, line := range quote.FindAllStringSubmatch(m[1], -1) {
				claim(!slices.Contains(lines, line[1]), "the trace has the line %s", line[0])
			}
		}
		if m := early.FindStringSubmatch(f.Message); m != nil {
			first, second := slices.Index(lines, strings.Trim(m[1], `"`)), slices.Index(lines, strings.Trim(m[2], `"`))
			claim(first >= 0 && second > first, "the trace has the lines %d and %d", first, second)
		}
		if timeout.MatchString(f.Message) {
			claim(exit.TimedOut, "the trace has an end")
		}
		if facts == 0 {
			wrong = append(wrong, fmt.Sprintf("%q: no fact is known in it", f.Message))
		}
	}
	return wrong
}
