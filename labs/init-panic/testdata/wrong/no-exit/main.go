// It never exits, as a first process should.
package main

import "time"

func main() {
	for {
		time.Sleep(time.Hour)
	}
}
