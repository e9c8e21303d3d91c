// Command no-fork becomes the command itself, in the place of a process that it
// would have made: nobody is left to wait.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	const command = "/tmp/hello"
	if err := os.WriteFile(command, hello(), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s ended with status 7.\n", command)
	fmt.Fprintln(os.Stderr, syscall.Exec(command, []string{command}, nil))
	os.Exit(1)
}
