package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kernellab/harness"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/task"
	"kernellab/images/guest"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Sampling is a series of looks at a guest that runs.
type Sampling struct {
	// Lab is the lab whose program runs in the guest, again and again. "" is an idle guest,
	// in which a program sleeps.
	Lab string
	// At is a point of the lab at which the guest should stop, which a Sampling does not do.
	At    string
	Which Selection
	Every time.Duration // of the guest's time, in whole seconds
	Count int
}

// MaxSamples bounds a Sampling's Count.
const MaxSamples = 1000

// Check returns an error if s cannot be done.
func (s Sampling) Check() error {
	switch {
	case s.Every == 0:
		return usage.Errorf("--count needs --every, such as --every 1s")
	case s.At != "":
		return usage.Errorf("--at stops the guest at a point, and --every at times: give one of them")
	case s.Every < time.Second || s.Every%time.Second != 0:
		return usage.Errorf("--every %s: the guest is stopped where its kernel counts a second of its clock, so give whole seconds, such as 1s", s.Every)
	case s.Count < 1 || s.Count > MaxSamples:
		return usage.Errorf("--count %d: give 1 to %d", s.Count, MaxSamples)
	}
	return nil
}

// secondPoint is the function that the kernel calls once for each second that its clock
// has counted, in the timer interrupt that counts it (accumulate_nsecs_to_secs in
// kernel/time/timekeeping.c). The interrupted task is the running one. A kernel that was
// idle for some seconds, without a timer interrupt, calls it once for each of them when it
// wakes, before another task than the idle one runs.
const secondPoint = "second_overflow"

// Sample lets a guest run, and stops it each time when s.Every of its own time has passed,
// for s.Count times. each gets the samples so far.
//
// The guest's clock counts its instructions, so the samples of two calls are the same.
func Sample(ctx context.Context, h prepare.Host, t prepare.Target, m prepare.Machine, s Sampling, each func(Samples) error) (Samples, error) {
	doc := Samples{Schema: "lab.task-samples/1", Every: s.Every}
	if err := s.Check(); err != nil {
		return doc, err
	}
	lab, err := labs.Lab{}, error(nil)
	if s.Lab == "" {
		var all []labs.Lab
		if all, err = labs.All(); err == nil {
			lab = all[0] // any: its program does not run
		}
	} else {
		lab, err = prepare.Lab(s.Lab)
	}
	if err != nil {
		return doc, err
	}
	if s.Lab != "" && lab.Init {
		return doc, usage.Errorf("the program of %s is the guest's first process, which runs once and ends the guest", s.Lab)
	}
	second, err := t.Image.Symbols.Lookup(secondPoint)
	if err != nil {
		return doc, fmt.Errorf("find where the kernel counts seconds: %w", err)
	}
	job, err := h.Job(ctx, lab, t, m)
	if err != nil {
		return doc, err
	}
	program := guest.Program{Path: "/bbin/sleep", Args: []string{"sleep", "1000000000"}}
	if s.Lab != "" {
		if program, err = ownProgram(job); err != nil {
			return doc, err
		}
	}
	guest, err := job.Machine.Start(ctx, io.Discard)
	if err != nil {
		return doc, err
	}
	defer guest.Close()
	guest.Patience *= time.Duration(s.Count) // one run of a program may last through all of them
	err = sample(ctx, guest, t, program, second.Addr, s, func(i *task.Info) error {
		doc.Tasks = append(doc.Tasks, i)
		return each(doc)
	})
	return doc, explain(ctx, guest, err)
}

// maxProgram bounds a lab's program, in bytes.
const maxProgram = 256 << 20

func ownProgram(job harness.Job) (guest.Program, error) {
	binary, err := regular.ReadFile(job.Program, maxProgram)
	if err != nil {
		return guest.Program{}, fmt.Errorf("read the program: %w", err)
	}
	args := append(job.Plan.Argv(job.ProgramName), job.VariantArgs...)
	return guest.Program{Path: "/bin/" + job.ProgramName, Binary: binary, Args: args, Open: job.Plan.Open}, nil
}

// never is longer than any series takes: programs that only fill the guest's time are not
// limited.
const never = 10 * 365 * 24 * time.Hour

// errTaken ends the run of a guest of which all samples were taken.
var errTaken = errors.New("all samples were taken")

func sample(ctx context.Context, m *machine.Machine, t prepare.Target, program guest.Program, second uint64, s Sampling, each func(*task.Info) error) error {
	n, seconds := 0, 0
	err := m.At(ctx, second, func(ctx context.Context) error {
		if seconds++; time.Duration(seconds)*time.Second < s.Every {
			return nil
		}
		seconds = 0
		n++
		stop, err := stopped(ctx, m, t)
		if err != nil {
			return err
		}
		doc, err := stop.Task(ctx, s.Which)
		if err != nil {
			return fmt.Errorf("sample %d: %w", n, err)
		}
		if err := each(doc.Task); err != nil {
			return err
		}
		if n == s.Count {
			return errTaken
		}
		return nil
	})
	for err == nil {
		err = fill(ctx, m, program)
		program.Binary = nil // it is in the guest now
	}
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// fill runs a program in the guest to its end.
func fill(ctx context.Context, m *machine.Machine, program guest.Program) error {
	p, err := m.Agent.Start(ctx, program)
	if err != nil {
		return err
	}
	exit, err := p.Run(ctx, never)
	if err == nil && exit.ExecError != "" {
		err = fmt.Errorf("run %s in the guest: %s", program.Path, exit.ExecError)
	}
	return err
}
