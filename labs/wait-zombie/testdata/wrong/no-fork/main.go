// Command no-fork prints what wait-zombie prints, but makes no process.
package main

import "os"

func main() {
	os.Stdout.WriteString(`SIGCHLD: the first child has ended.
Its state before the wait: Z
The wait returned its exit status: 5
Its state after the wait: none
SIGCHLD: the second child has ended.
Its state, with no wait: Z
`)
}
