// Package commands has what the commands of a command line share: groups of commands,
// numbers of arguments, and unknown flags. What is wrong is a mistake of usage, and names
// the words that are nearest to a mistyped one.
package commands

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kernellab/internal/flags"
	"kernellab/internal/usage"
)

// Group makes a command that only has subcommands, each the name of a kind of thing.
func Group(kind string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var known []string
		for _, c := range cmd.Commands() {
			known = append(known, c.Name())
		}
		return usage.Unknown(kind, args[0], known, cmd.CommandPath()+" --help lists them")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// None refuses arguments.
func None(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("%s takes no arguments, but was given %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// Takes refuses fewer arguments than least and more than most. The error says what the
// command takes: its path, "takes" and what.
func Takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage.Errorf("%s takes %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// Completion completes each argument by the function in its place, and by nothing where
// there is none.
func Completion(places ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) < len(places) {
			return places[len(args)](cmd, args, begun)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// Words completes by the words that list returns when they are asked for.
func Words(list func() []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list(), cobra.ShellCompDirectiveNoFileComp
	}
}

// Folder completes by folders.
func Folder(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// Choice adds a flag whose value is one of words. kind is what they are, and about what
// the flag is for.
func Choice(cmd *cobra.Command, into *string, name, kind, fallback string, words []string, about string) {
	cmd.Flags().Var(flags.Choice(into, fallback, kind, words), name, about+": "+strings.Join(words, ", "))
	cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// FlagError makes a mistake of usage of an error of flags, and adds the nearest flags to
// an unknown one.
func FlagError(cmd *cobra.Command, err error) error {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		if problem := flags.Problem(err); problem != err {
			return problem
		}
		return usage.Errorf("%w (%s --help tells the flags)", err, cmd.CommandPath())
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return usage.Unknown("flag", "--"+name, known, cmd.CommandPath()+" --help lists them")
}
