package harness

import (
	"io"
	"strings"
	"sync"
)

// tailLines is how many of the console's last lines an error shows.
const tailLines = 12

// keeper passes the console on and keeps its end.
type keeper struct {
	log io.Writer
	mu  sync.Mutex
	end []byte
}

const keeperSize = 8 << 10

func (k *keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	k.end = append(k.end, p...)
	if n := len(k.end) - keeperSize; n > 0 {
		k.end = append(k.end[:0], k.end[n:]...)
	}
	k.mu.Unlock()
	return k.log.Write(p)
}

// tail returns the last lines.
func (k *keeper) tail() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(k.end)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-tailLines):]
}
