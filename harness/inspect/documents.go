package inspect

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"kernellab/harness/task"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
)

// Tasks is the document of a list of tasks. Documents are what cmd/lab/look.schema.json
// describes.
type Tasks struct {
	Schema string       `json:"schema"`
	Tasks  []*task.Info `json:"tasks"`
	Error  string       `json:"error,omitempty"` // what could not be read
}

// Task is the document of one task.
type Task struct {
	Schema string     `json:"schema"`
	Task   *task.Info `json:"task"`
}

// Stack is the document of a kernel stack.
type Stack struct {
	Schema string        `json:"schema"`
	Task   trace.Task    `json:"task"`
	CPU    int           `json:"cpu"`
	Frames []trace.Frame `json:"frames"`
}

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

// Tasks reads every task, and threads too. damage is what could not be read when
// some tasks could.
func (s *Stop) Tasks(ctx context.Context, threads bool) (doc Tasks, damage, err error) {
	doc = Tasks{Schema: "lab.tasks/1", Tasks: []*task.Info{}}
	leaders, err := s.View.Processes(ctx)
	if err != nil && len(leaders) < 2 {
		return doc, nil, err
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
	if damage = errors.Join(errs...); damage != nil {
		doc.Error = damage.Error()
	}
	return doc, damage, ctx.Err()
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
