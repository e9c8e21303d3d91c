package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"kernellab/harness/task"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
)

// Document is what is read of a stopped guest. As JSON it is what
// cmd/lab/look.schema.json describes.
type Document interface {
	// Write writes it for a person.
	Write(w io.Writer) error
}

// Tasks is the document of a list of tasks.
type Tasks struct {
	Schema string       `json:"schema"`
	Tasks  []*task.Info `json:"tasks"`
	Error  string       `json:"error,omitempty"` // what could not be read

	Tree   bool  `json:"-"` // Write shows tasks under their parents
	damage error // Error, as it was returned
}

// Write fails, after the tasks that could be read, when others could not.
func (d Tasks) Write(w io.Writer) error {
	write := listing.Table
	if d.Tree {
		write = listing.Tree
	}
	if err := write(w, d.Tasks); err != nil {
		return err
	}
	return d.damage
}

// Task is the document of one task.
type Task struct {
	Schema string     `json:"schema"`
	Task   *task.Info `json:"task"`
}

func (d Task) Write(w io.Writer) error { return listing.Task(w, d.Task) }

// Samples is the document of a task at several moments.
type Samples struct {
	Schema string        `json:"schema"`
	Every  time.Duration `json:"every_ns"`
	Tasks  []*task.Info  `json:"samples"`
}

// WriteLast writes the last of the samples so far, of so many in all: when it was taken,
// and the task.
func (d Samples) WriteLast(w io.Writer, of int) error {
	n := len(d.Tasks)
	i := d.Tasks[n-1]
	lead, when := "", ""
	if n > 1 {
		lead = "\n"
	}
	if i.Clock != nil {
		when = fmt.Sprintf(", %.3f s after boot", i.Clock.Now.Seconds())
	}
	if _, err := fmt.Fprintf(w, "%s== sample %d of %d%s ==\n", lead, n, of, when); err != nil {
		return err
	}
	return listing.Task(w, i)
}

// Stack is the document of a kernel stack.
type Stack struct {
	Schema string        `json:"schema"`
	Task   trace.Task    `json:"task"`
	CPU    int           `json:"cpu"`
	Frames []trace.Frame `json:"frames"`
}

func (d Stack) Write(w io.Writer) error { return listing.Stack(w, d.Task, d.CPU, d.Frames) }

// Selection names a task of a guest. The zero value is the running one.
type Selection struct {
	PID   int
	Given bool // a pid was given
}

// Select parses a pid, or "current".
func Select(word string) (Selection, error) {
	if word == "current" {
		return Selection{}, nil
	}
	pid, err := strconv.Atoi(word)
	if err != nil || pid < 0 {
		return Selection{}, usage.Errorf("%q is no pid: give a number, or current", word)
	}
	return Selection{PID: pid, Given: true}, nil
}

// Query says what is read of a stopped guest.
type Query struct {
	Selection      // the task, of documents about one
	Threads   bool // threads too, in lists
}

// Reading reads a document of a stopped guest.
type Reading func(ctx context.Context, s *Stop, q Query) (Document, error)

// List reads the guest's tasks.
func List(ctx context.Context, s *Stop, q Query) (Document, error) { return s.Tasks(ctx, q.Threads) }

// Tree reads the guest's tasks, to be shown under their parents.
func Tree(ctx context.Context, s *Stop, q Query) (Document, error) {
	doc, err := s.Tasks(ctx, q.Threads)
	doc.Tree = true
	return doc, err
}

// OneTask reads all that is known of the selected task.
func OneTask(ctx context.Context, s *Stop, q Query) (Document, error) {
	return s.Task(ctx, q.Selection)
}

// OneStack unwinds the kernel stack of the selected task.
func OneStack(ctx context.Context, s *Stop, q Query) (Document, error) {
	return s.Stack(ctx, q.Selection)
}

// find returns the address of a task, and the registers of the running one.
func (s *Stop) find(ctx context.Context, which Selection) (addr uint64, regs map[string]uint64, err error) {
	if !which.Given {
		return s.Current, s.Registers, nil
	}
	addr, err = s.View.Find(ctx, which.PID)
	if addr == s.Current {
		regs = s.Registers
	}
	return addr, regs, err
}

// Tasks reads every task, and threads too. It fails only when no task could be read.
func (s *Stop) Tasks(ctx context.Context, threads bool) (doc Tasks, err error) {
	doc = Tasks{Schema: "lab.tasks/1", Tasks: []*task.Info{}}
	leaders, err := s.View.Processes(ctx)
	if err != nil && len(leaders) < 2 {
		return doc, err
	}
	errs := []error{err}
	for n, leader := range leaders {
		group := []uint64{leader}
		if threads && n > 0 {
			if all, err := s.View.Threads(ctx, leader); err == nil && len(all) > 0 {
				group = all
			}
		}
		for _, addr := range group {
			i, err := s.View.Brief(ctx, addr)
			if err != nil {
				errs = append(errs, fmt.Errorf("the task at %#x: %w", addr, err))
				continue
			}
			doc.Tasks = append(doc.Tasks, i)
		}
	}
	if doc.damage = errors.Join(errs...); doc.damage != nil {
		doc.Error = doc.damage.Error()
	}
	return doc, ctx.Err()
}

// Task reads all that is known of one task.
func (s *Stop) Task(ctx context.Context, which Selection) (Task, error) {
	addr, regs, err := s.find(ctx, which)
	if err != nil {
		return Task{}, err
	}
	i, err := s.View.Inspect(ctx, addr, regs)
	return Task{"lab.task/1", i}, err
}

// Stack unwinds the kernel stack of one task.
func (s *Stop) Stack(ctx context.Context, which Selection) (Stack, error) {
	addr, regs, err := s.find(ctx, which)
	if err != nil {
		return Stack{}, err
	}
	i, err := s.View.Brief(ctx, addr)
	if err != nil {
		return Stack{}, err
	}
	return Stack{"lab.stack/1", i.Task, i.CPU, s.View.BacktraceVariables(ctx, addr, regs)}, nil
}
