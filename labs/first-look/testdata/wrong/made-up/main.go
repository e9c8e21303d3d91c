// A program that prints a pid that it did not ask for.
package main

import "os"

func main() {
	os.Stdout.WriteString("My parent has pid 1.\n")
}
