// Command no-fork prints what fork-new prints, but makes no process.
package main

import "os"

func main() {
	os.Stdout.WriteString("This is Parent Process!\n")
	os.Stdout.WriteString("This is Child Process!\n")
	os.Stdout.WriteString("Child Complete!\n")
}
