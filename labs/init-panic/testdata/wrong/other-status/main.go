// It exits with another status.
package main

import "os"

func main() { os.Exit(0) }
