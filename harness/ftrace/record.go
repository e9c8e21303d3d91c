package ftrace

import (
	"regexp"
	"strconv"
	"strings"

	"kernellab/harness/trace"
)

// maxRecords and maxText bound what a trace keeps of a record, in records and in bytes.
const (
	maxRecords = 4000
	maxText    = 1 << 20
)

var (
	// recordLine is a line of the file trace: the task, the processor, flags, the time in
	// seconds, and what was recorded (print_trace_line in kernel/trace/trace.c).
	recordLine = regexp.MustCompile(`^ *(.{1,16})-(\d+) +\[(\d+)\] +(?:\S+ +)?(\d+)\.(\d{6}): (.*)$`)
	eventText  = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*): ?(.*)$`)
	// written is the head's count of records that are in the buffer, and were written.
	written = regexp.MustCompile(`^# entries-in-buffer/entries-written: (\d+)/(\d+)`)
)

// agent is the name of the threads of the guest's first process, which runs a script and
// the program.
const agent = "init"

// ParseRecord reads the text of tracefs's file trace. It leaves out what it cannot read,
// and what the agent's threads did that is not about the program's process, pid. It
// returns how many other records are missing: those that the kernel had no room for, and
// those over a bound.
func ParseRecord(text string, pid int) (records []trace.FtraceRecord, lost int) {
	records = []trace.FtraceRecord{}
	size, stack := 0, -1 // the record whose stack follows, -1 for none
	by := map[int]int{}  // the thread of a processor's last record, -1 for one that is left out
	for _, line := range strings.Split(text, "\n") {
		if m := written.FindStringSubmatch(line); m != nil {
			in, _ := strconv.Atoi(m[1])
			all, _ := strconv.Atoi(m[2])
			lost += max(all-in, 0)
			continue
		}
		if frame, ok := strings.CutPrefix(line, " => "); ok {
			if size += len(frame); stack >= 0 && size <= maxText {
				records[stack].Stack = append(records[stack].Stack, frame)
			}
			continue
		}
		m := recordLine.FindStringSubmatch(line)
		if m == nil {
			stack = -1
			continue
		}
		r := trace.FtraceRecord{Comm: m[1]}
		var errs [4]error
		r.PID, errs[0] = strconv.Atoi(m[2])
		r.CPU, errs[1] = strconv.Atoi(m[3])
		seconds, err := strconv.ParseInt(m[4], 10, 40)
		errs[2] = err
		us, err := strconv.ParseInt(m[5], 10, 40)
		errs[3] = err
		if errs != [4]error{} {
			continue
		}
		r.Time = seconds*1e6 + us
		if m[6] == "<stack trace>" {
			if stack = -1; by[r.CPU] == r.PID {
				stack = last(records, r.CPU)
			}
			continue
		}
		if stack = -1; !what(m[6], &r) {
			continue
		}
		if by[r.CPU] = r.PID; r.Comm == agent && r.PID < pid && !About(r, pid) {
			by[r.CPU] = -1
			continue
		}
		if size += len(line); len(records) == maxRecords || size > maxText {
			lost++
			by[r.CPU] = -1
			continue
		}
		records = append(records, r)
	}
	return records, lost
}

// what reads what was recorded, behind the time.
func what(text string, r *trace.FtraceRecord) bool {
	if function, caller, ok := strings.Cut(text, " <-"); ok && !strings.Contains(function, ": ") {
		r.Function, _, _ = strings.Cut(strings.TrimSpace(function), "+")
		r.Caller = strings.TrimSpace(caller)
		return r.Function != ""
	}
	m := eventText.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	r.Event, r.Text = m[1], m[2]
	return true
}

// last returns the index of the latest record on a processor, -1 for none or one that has a
// stack.
func last(records []trace.FtraceRecord, cpu int) int {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].CPU == cpu {
			if records[i].Stack == nil {
				return i
			}
			return -1
		}
	}
	return -1
}
