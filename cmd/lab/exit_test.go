package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// exitsWith runs a command of a script and checks its exit code.
func exitsWith(ts *testscript.TestScript, code string, args []string) error {
	want, err := strconv.Atoi(code)
	if err != nil {
		return err
	}
	err = ts.Exec(args[0], args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%v exits with %d, want %d", args, got, want)
	}
	return nil
}
