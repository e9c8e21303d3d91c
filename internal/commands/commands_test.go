package commands

import (
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"kernellab/internal/usage"
)

// tree is a command line with one of each.
func tree() *cobra.Command {
	root := Group("command", &cobra.Command{Use: "lab", SilenceErrors: true, SilenceUsage: true})
	run := func(*cobra.Command, []string) error { return nil }
	var format string
	list := &cobra.Command{Use: "list", Args: None, RunE: run}
	Choice(list, &format, "format", "format", "text", []string{"text", "json"}, "output")
	root.AddCommand(list,
		&cobra.Command{Use: "make", Args: Takes(1, 2, "a name and a folder"), RunE: run},
		&cobra.Command{Use: "check", Args: Takes(1, math.MaxInt, "traces"), RunE: run})
	root.SetFlagErrorFunc(FlagError)
	root.SetOut(io.Discard)
	return root
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // "" for none
	}{
		{[]string{}, ""},
		{[]string{"list"}, ""},
		{[]string{"make", "a"}, ""},
		{[]string{"make", "a", "b"}, ""},
		{[]string{"check", "a", "b", "c"}, ""},
		{[]string{"lits"}, `unknown command "lits": did you mean list? (lab --help lists them)`},
		{[]string{"list", "x"}, `lab list takes no arguments, but was given "x"`},
		{[]string{"make"}, "lab make takes a name and a folder"},
		{[]string{"make", "a", "b", "c"}, "lab make takes a name and a folder"},
		{[]string{"check"}, "lab check takes traces"},
		{[]string{"list", "--fromat", "json"}, `unknown flag "--fromat": did you mean --format? (lab list --help lists them)`},
		{[]string{"list", "--format"}, "flag needs an argument: --format (lab list --help tells the flags)"},
		{[]string{"list", "--format", "jsn"}, `unknown format "jsn": did you mean json? (use text, json)`},
		{[]string{"list", "--format", ""}, `--format "": the value is empty: give one, or leave the flag out`},
	} {
		root := tree()
		root.SetArgs(tt.args)
		got := ""
		if err := root.Execute(); err != nil {
			got = err.Error()
			if !usage.Is(err) {
				t.Errorf("%q: %v is no mistake of usage", tt.args, err)
			}
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	complete := Completion(Words(func() []string { return []string{"fork-new"} }), Folder)
	type found struct {
		Words     []string
		Directive cobra.ShellCompDirective
	}
	for n, want := range []found{
		{[]string{"fork-new"}, cobra.ShellCompDirectiveNoFileComp},
		{nil, cobra.ShellCompDirectiveFilterDirs},
		{nil, cobra.ShellCompDirectiveNoFileComp},
	} {
		var got found
		got.Words, got.Directive = complete(nil, make([]string, n), "")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("argument %d (-want +got)\n%s", n, d)
		}
	}
}
