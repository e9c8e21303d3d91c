// It makes no other task, and reads nothing.
package main

import "fmt"

func main() { fmt.Println("Both have had the CPU.") }
