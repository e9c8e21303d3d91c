package harness_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/verdict"
)

// pending is a job of a name, which Do finds in Job.Lab.
func pending(name string) harness.Pending {
	rules := grade.Rules{Lab: name, Arch: "x86_64"}
	return harness.Pending{Rules: rules, Kernel: "6.1", Prepare: func(context.Context, func(string)) (harness.Job, error) {
		if name == "unprepared" {
			return harness.Job{}, errors.New("the image is cut short")
		}
		return harness.Job{Lab: name, Rules: rules}, nil
	}}
}

func do(_ context.Context, j harness.Job) (*harness.Outcome, error) {
	switch j.Lab {
	case "panicking":
		panic("index out of range")
	case "dead":
		return nil, &machine.GuestError{What: "panicked", Kernel: "6.1"}
	case "nothing":
		return nil, nil
	}
	j.Machine.Stage("running")
	return &harness.Outcome{Result: verdict.Result{Lab: j.Lab, Verdict: verdict.Pass}}, nil
}

// TestMany checks that each job ends as it must whatever becomes of the others.
func TestMany(t *testing.T) {
	names := []string{"good", "unprepared", "dead", "panicking", "nothing", "good too"}
	var jobs []harness.Pending
	for _, n := range names {
		jobs = append(jobs, pending(n))
	}
	var mu sync.Mutex
	done := map[int]verdict.Verdict{}
	m := harness.Many{AtOnce: 3, Do: do, Done: func(i int, f harness.Finished) {
		mu.Lock()
		defer mu.Unlock()
		done[i] = f.Result.Verdict
	}}
	out, err := m.Run(t.Context(), jobs)
	var got []string
	for _, f := range out {
		line, _, _ := strings.Cut(f.Result.Error, "\n")
		got = append(got, fmt.Sprintf("%s: %s %s", f.Result.Lab, f.Result.Verdict, line))
	}
	want := []string{
		"good: pass ",
		"unprepared: error the image is cut short",
		"dead: error the kernel 6.1 panicked",
		"panicking: error run the lab: the harness panicked, which is a mistake in it: index out of range",
		"nothing: error the run gave neither an outcome nor an error",
		"good too: pass ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results -want +got:\n%s", diff)
	}
	var several *multierror.Error
	var guest *machine.GuestError
	if !errors.As(err, &several) || len(several.Errors) != 4 || !errors.As(err, &guest) {
		t.Errorf("error %v, want four together, one of the guest", err)
	}
	if !strings.HasPrefix(err.Error(), "4 runs could not be graded:\n  unprepared on 6.1 (x86_64): the image is cut short\n") {
		t.Errorf("error %q", err)
	}
	if len(done) != len(names) {
		t.Errorf("%d jobs were told as done, want %d", len(done), len(names))
	}
}

// TestManyAtOnce checks that as many jobs run at a time as asked, and no more:
// three must be in Do together for any to leave it.
func TestManyAtOnce(t *testing.T) {
	const atOnce = 3
	var mu sync.Mutex
	inside, most := 0, 0
	full := make(chan struct{})
	m := harness.Many{AtOnce: atOnce, Do: func(ctx context.Context, j harness.Job) (*harness.Outcome, error) {
		mu.Lock()
		inside++
		most = max(most, inside)
		if inside == atOnce && most == atOnce {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		select {
		case <-full:
		case <-ctx.Done():
		}
		mu.Lock()
		inside--
		mu.Unlock()
		return do(ctx, j)
	}}
	var jobs []harness.Pending
	for range 4 * atOnce {
		jobs = append(jobs, pending("good"))
	}
	if _, err := m.Run(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
	if most != atOnce {
		t.Errorf("%d jobs at a time, want %d", most, atOnce)
	}
}

// TestManyInterrupted checks that no job starts after the context has ended, and
// that what is left has its cause.
func TestManyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	started := 0
	m := harness.Many{AtOnce: 1, Do: func(ctx context.Context, j harness.Job) (*harness.Outcome, error) {
		started++
		cancel(stop)
		return nil, context.Cause(ctx)
	}}
	out, err := m.Run(ctx, []harness.Pending{pending("a"), pending("b"), pending("c")})
	if !errors.Is(err, stop) || started != 1 {
		t.Errorf("%d started, error %v, want 1 and %v", started, err, stop)
	}
	for _, f := range out {
		if f.Result.Verdict != verdict.Error || !errors.Is(f.Err, stop) {
			t.Errorf("%s: verdict %s, error %v", f.Result.Lab, f.Result.Verdict, f.Err)
		}
	}
}

func TestManyNothing(t *testing.T) {
	out, err := harness.Many{}.Run(t.Context(), nil)
	if len(out) != 0 || err != nil {
		t.Errorf("%d results, error %v", len(out), err)
	}
}
