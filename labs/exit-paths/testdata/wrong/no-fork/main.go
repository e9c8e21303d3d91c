// Command no-fork prints what exit-paths prints, but makes no process.
package main

import "os"

func main() {
	os.Stdout.WriteString("The first child exited with status 7.\n")
	os.Stdout.WriteString("The second child was ended by signal 9.\n")
}
