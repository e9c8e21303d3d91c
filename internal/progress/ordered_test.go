package progress

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrdered(t *testing.T) {
	var out strings.Builder
	turns := NewOrdered(&out, 3)
	say := func(i int, text string) { fmt.Fprint(turns.Writer(i), text) }
	end := func(i int) {
		if err := turns.End(i); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	look := func() { seen = append(seen, out.String()) }
	say(2, "c1 ")
	say(0, "a1 ")
	look()
	say(1, "b1 ")
	end(2)
	look()
	end(0)
	look()
	say(1, "b2 ")
	look()
	end(1)
	look()
	want := []string{"a1 ", "a1 ", "a1 b1 ", "a1 b1 b2 ", "a1 b1 b2 c1 "}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("what was out, time by time (-want +got):\n%s", diff)
	}
}

func TestOrderedAtOnce(t *testing.T) {
	const runs, lines = 8, 50
	var out strings.Builder
	turns := NewOrdered(&out, runs)
	var all sync.WaitGroup
	var want strings.Builder
	for i := range runs {
		for n := range lines {
			fmt.Fprintf(&want, "%d.%d\n", i, n)
		}
		all.Go(func() {
			for n := range lines {
				fmt.Fprintf(turns.Writer(i), "%d.%d\n", i, n)
			}
			turns.End(i)
		})
	}
	all.Wait()
	if out.String() != want.String() {
		t.Errorf("the output is not that of one run after another:\n%s", out.String())
	}
}
