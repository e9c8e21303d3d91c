package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/probe"
	"kernellab/harness/rsp"
	"kernellab/harness/task"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// lookFlags are the flags of the commands that look into a stopped guest.
type lookFlags struct {
	arch, kernel string
	vmlinux      string
	lab, at      string
	format       string
	threads      bool
	machineFlags
	exact bool // stop where the run of the lab does, though the function at the point begins elsewhere
	step  int  // the stop to look at, counted from 1 without asides; 0 is the first at the point
}

// sight is a stopped guest to look at.
type sight struct {
	lookFlags
	image   *kernel.Image
	view    *task.View
	current uint64
	regs    map[string]uint64
	event   trace.Event // of the stop, when it is in a run
}

// look is what a command does with the guest: it returns the JSON document and
// how to write it for a person.
type look func(ctx context.Context, s *sight) (doc any, text func() error, err error)

func (a *app) lookCommands() []*cobra.Command {
	ps := a.lookCommand(&cobra.Command{
		Use: "ps", Short: "List the tasks of a stopped guest", Args: noArgs,
	}, func(_ []string, f *lookFlags) (look, error) { return a.listTasks(*f, listing.Table), nil })
	tree := a.lookCommand(&cobra.Command{
		Use: "tree", Short: "Show the tasks of a stopped guest under their parents", Args: noArgs,
	}, func(_ []string, f *lookFlags) (look, error) { return a.listTasks(*f, listing.Tree), nil })
	one := a.lookCommand(&cobra.Command{
		Use: "task [PID|current]", Short: "Show all that the kernel knows of one task", Args: cobra.MaximumNArgs(1),
	}, func(args []string, _ *lookFlags) (look, error) { return a.oneTask(args) })
	stack := a.lookCommand(&cobra.Command{
		Use: "stack [PID|current]", Short: "Unwind the kernel stack of one task", Args: cobra.MaximumNArgs(1),
	}, func(args []string, _ *lookFlags) (look, error) { return a.oneStack(args) })
	return []*cobra.Command{ps, tree, one, stack}
}

func (a *app) lookCommand(cmd *cobra.Command, prepare func([]string, *lookFlags) (look, error)) *cobra.Command {
	f := &lookFlags{}
	name := cmd.Name()
	cmd.Long = cmd.Short + `.

The guest is stopped where it is ready for a lab, or with --lab and --at at a
point of a lab: then the running task is the lab's own.`
	cmd.Example = fmt.Sprintf("  lab %s\n  lab %s --lab fork-new --at copy_thread --arch riscv64", name, name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.at != "" && f.lab == "" {
			return usage.Errorf("--at needs --lab: whose point is %s?", f.at)
		}
		if err := f.machineFlags.check(cmd); err != nil {
			return err
		}
		do, err := prepare(args, f)
		if err != nil {
			return err
		}
		return a.lookAt(cmd.Context(), *f, do)
	}
	archFlag(cmd, &f.arch, "x86_64")
	fl := cmd.Flags()
	fl.StringVar(&f.kernel, "kernel", "", "kernel: series, version or image file")
	vmlinuxFlag(cmd, &f.vmlinux)
	fl.StringVar(&f.lab, "lab", "", "stop in a run of this lab")
	fl.StringVar(&f.at, "at", "", "stop at this point of the lab (default its first)")
	f.machineFlags.add(cmd)
	textOrJSON(cmd, &f.format)
	if name == "ps" || name == "tree" {
		fl.BoolVarP(&f.threads, "threads", "t", name == "tree", "threads too")
	}
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.RegisterFlagCompletionFunc("lab", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return labNames(), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RegisterFlagCompletionFunc("at", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		l, err := labs.Get(f.lab)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return pointNames(l.Plan(f.arch)), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func pointNames(p probe.Plan) []string {
	var names []string
	for _, point := range p.Points {
		names = append(names, point.Name)
	}
	return names
}

// lookAt stops a guest and does what the command is for.
func (a *app) lookAt(ctx context.Context, f lookFlags, do look) error {
	p := newProgress(a.stderr)
	defer p.Done()
	lab := f.lab
	if lab == "" {
		lab = labNames()[0] // any: the guest is the same
	}
	l, err := getLab(lab)
	if err != nil {
		return err
	}
	plan := l.Plan(f.arch)
	if f.lab != "" && f.at == "" {
		f.at = plan.Points[0].Name
	}
	if f.at != "" && !slices.Contains(pointNames(plan), f.at) {
		return usage.Unknown("point of "+f.lab, f.at, pointNames(plan), "lab show "+f.lab+" tells them")
	}
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: f.arch, Names: []string{f.kernel}})
	if err != nil {
		return err
	}
	if err := host.UseVmlinux(targets, f.vmlinux); err != nil {
		return err
	}
	t := targets[0]
	defer t.Image.Keep()
	return a.lookOnce(ctx, f, l, t, p, do)
}

// plan is what is driven to the stop. Where nobody reads arguments the stop is at
// the function itself, if the kernel's vmlinux tells where it was inlined. exact
// says that it is the plan of the lab's runs.
func (f lookFlags) plan(l labs.Lab, t prepare.Target, p *progress) (plan probe.Plan, exact bool) {
	plan = l.Plan(t.Arch.Name)
	if f.exact {
		return plan, true
	}
	bare, moved := probe.Bare(t.Image, plan, f.at)
	if moved {
		p.Say("%s is inlined: stopping at its first instruction there; the graded run stops at what stands in for it", f.at)
	}
	return bare, !moved
}

func (a *app) lookOnce(ctx context.Context, f lookFlags, l labs.Lab, t prepare.Target, p *progress, do look) error {
	job, err := a.host(p).Job(ctx, l, t, f.Machine)
	if err != nil {
		return err
	}
	s := &sight{lookFlags: f, image: t.Image}
	if f.at == "" {
		m, err := job.Machine.Start(ctx, io.Discard)
		if err != nil {
			return err
		}
		defer m.Close()
		return seen(ctx, m, m.Guard(ctx, "the look at the guest", func(ctx context.Context) error {
			if err := s.here(ctx, m.Stub, t); err != nil {
				return err
			}
			return a.show(ctx, f, s, p, do)
		}))
	}
	job.Plan, job.Again = f.plan(l, t, p)
	o, err := job.Open(ctx, io.Discard)
	if err != nil {
		return err
	}
	m := o.Machine
	defer m.Close()
	watched, unwatch := m.Watch(ctx)
	defer unwatch()
	reached, steps := false, 0
	err = job.Drive(watched, o, func(trace.Event) error { return nil }, func(ctx context.Context, e trace.Event, v *task.View) (bool, error) {
		if e.Aside == "" {
			steps++
		}
		if f.step > 0 && (e.Aside != "" || steps < f.step) || e.Point != f.at && f.step == 0 {
			return false, nil
		}
		if e.Point != f.at {
			return false, fmt.Errorf("stop %d of this run is at %s, it was at %s before, though a run repeats exactly", steps, e.Point, f.at)
		}
		regs, err := m.Stub.Registers(ctx)
		if err != nil {
			return false, err
		}
		s.view, s.regs, s.current, s.event = v, regs, uint64(e.Task.Address), e
		reached = true
		return true, a.show(ctx, f, s, p, do)
	})
	if err == nil && !reached {
		return fmt.Errorf("%s ended without coming to %s", l.Name, f.at)
	}
	return seen(ctx, m, err)
}

// show does what the command is for and prints what it found.
func (a *app) show(ctx context.Context, f lookFlags, s *sight, p *progress, do look) error {
	p.Done()
	doc, text, err := do(ctx, s)
	if err != nil {
		return err
	}
	if f.format == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	return text()
}

// seen finds whose fault err is; a pid that is not there is the caller's.
func seen(ctx context.Context, m *machine.Machine, err error) error {
	var missing *task.NoTaskError
	if errors.As(err, &missing) {
		return usage.Wrap(missing)
	}
	if err == nil {
		return nil
	}
	return m.Explain(ctx, "look at the guest", err)
}

// here is the guest as the stub stopped it.
func (s *sight) here(ctx context.Context, stub *rsp.Client, t prepare.Target) error {
	reader, err := task.NewReader(stub, t.Image, t.Arch)
	if err != nil {
		return err
	}
	if s.regs, err = stub.Registers(ctx); err != nil {
		return err
	}
	if s.current, err = reader.Current(ctx, s.regs); err != nil {
		return err
	}
	s.view = reader.View()
	return nil
}

// listTasks reads every task. What damage hides is told after those that were found.
func (a *app) listTasks(f lookFlags, write func(w io.Writer, tasks []*task.Info) error) look {
	return func(ctx context.Context, s *sight) (any, func() error, error) {
		doc := struct {
			Schema string       `json:"schema"`
			Tasks  []*task.Info `json:"tasks"`
			Error  string       `json:"error,omitempty"`
		}{Schema: "lab.tasks/1", Tasks: []*task.Info{}}
		leaders, err := s.view.Processes(ctx)
		if err != nil && len(leaders) < 2 {
			return nil, nil, err
		}
		var errs []error
		errs = append(errs, err)
		for n, leader := range leaders {
			group := []uint64{leader}
			if f.threads && n > 0 {
				if all, err := s.view.Threads(ctx, leader); err == nil && len(all) > 0 {
					group = all
				}
			}
			for _, addr := range group {
				i, err := s.view.Brief(ctx, addr)
				if err != nil {
					errs = append(errs, fmt.Errorf("the task at %#x: %w", addr, err))
					continue
				}
				doc.Tasks = append(doc.Tasks, i)
			}
		}
		damage := errors.Join(errs...)
		if damage != nil {
			doc.Error = damage.Error()
		}
		return doc, func() error { return errors.Join(write(a.stdout, doc.Tasks), damage) }, ctx.Err()
	}
}

// which is the task that the argument names.
func which(args []string) (func(ctx context.Context, s *sight) (addr uint64, regs map[string]uint64, err error), error) {
	if len(args) == 0 || args[0] == "current" {
		return func(_ context.Context, s *sight) (uint64, map[string]uint64, error) { return s.current, s.regs, nil }, nil
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil || pid < 0 {
		return nil, usage.Errorf("%q is no pid: give a number, or current", args[0])
	}
	return func(ctx context.Context, s *sight) (uint64, map[string]uint64, error) {
		addr, err := s.view.Find(ctx, pid)
		if addr == s.current {
			return addr, s.regs, err
		}
		return addr, nil, err
	}, nil
}

func (a *app) oneTask(args []string) (look, error) {
	find, err := which(args)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *sight) (any, func() error, error) {
		addr, regs, err := find(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		i, err := s.view.Inspect(ctx, addr, regs)
		if err != nil {
			return nil, nil, err
		}
		doc := struct {
			Schema string     `json:"schema"`
			Task   *task.Info `json:"task"`
		}{"lab.task/1", i}
		return doc, func() error { return listing.Task(a.stdout, i) }, nil
	}, nil
}

func (a *app) oneStack(args []string) (look, error) {
	find, err := which(args)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *sight) (any, func() error, error) {
		addr, regs, err := find(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		i, err := s.view.Brief(ctx, addr)
		if err != nil {
			return nil, nil, err
		}
		doc := struct {
			Schema string        `json:"schema"`
			Task   trace.Task    `json:"task"`
			CPU    int           `json:"cpu"`
			Frames []trace.Frame `json:"frames"`
		}{"lab.stack/1", i.Task, i.CPU, s.view.BacktraceVariables(ctx, addr, regs)}
		return doc, func() error { return listing.Stack(a.stdout, i.Task, i.CPU, doc.Frames) }, nil
	}, nil
}
