package rsptest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Kind is what a Step does.
type Kind int

// See the package comment.
const (
	Expect Kind = iota // ->
	Reply              // <-
	Raw
	RLE
	Damage
	Nack
	NoAck
	Pause
	Delay
	Drop
)

// A Step is one line of a script.
type Step struct {
	Kind Kind
	Text string        // of Expect, Reply, Raw, and the name of Pause
	N    int           // of Damage and Nack
	For  time.Duration // of Delay
	Line int           // line in the script's text, for errors; 0 if written in Go
}

// A Script is what a stub expects and answers, in order.
type Script []Step

// Exchange is the script of one packet and its reply.
func Exchange(packet, reply string) Script {
	return Script{{Kind: Expect, Text: packet}, {Kind: Reply, Text: reply}}
}

// Join concatenates scripts.
func Join(scripts ...Script) Script {
	var all Script
	for _, s := range scripts {
		all = append(all, s...)
	}
	return all
}

// Parse reads a script. Errors start with name and the line.
func Parse(name, text string) (Script, error) {
	var script Script
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		step, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		step.Line = i + 1
		script = append(script, step)
	}
	return script, nil
}

// MustParse is Parse for scripts in a test's source.
func MustParse(text string) Script {
	script, err := Parse("script", text)
	if err != nil {
		panic(err)
	}
	return script
}

func parseStep(line string) (Step, error) {
	word, rest, _ := strings.Cut(line, " ")
	var step Step
	var err error
	switch word {
	case "->", "<-", "raw":
		step.Kind = map[string]Kind{"->": Expect, "<-": Reply, "raw": Raw}[word]
		step.Text, err = unescape(rest)
	case "damage", "nack":
		step.Kind = map[string]Kind{"damage": Damage, "nack": Nack}[word]
		if step.N, err = strconv.Atoi(rest); err != nil || step.N < 1 {
			err = fmt.Errorf("%s %q is not a number over 0", word, rest)
		}
	case "delay":
		step.Kind = Delay
		step.For, err = time.ParseDuration(rest)
	case "pause":
		step.Kind, step.Text = Pause, rest
	case "rle", "noack", "drop":
		step.Kind = map[string]Kind{"rle": RLE, "noack": NoAck, "drop": Drop}[word]
		if rest != "" {
			err = fmt.Errorf("%s takes no argument, got %q", word, rest)
		}
	default:
		err = fmt.Errorf("unknown step %q", word)
	}
	return step, err
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			b.WriteByte(s[i])
		case strings.HasPrefix(s[i:], `\\`):
			b.WriteByte('\\')
			i++
		default:
			if len(s) < i+4 || s[i+1] != 'x' {
				return "", fmt.Errorf(`a backslash in %q starts neither \\ nor \xNN`, s)
			}
			n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				return "", fmt.Errorf("escape in %q: %w", s, err)
			}
			b.WriteByte(byte(n))
			i += 3
		}
	}
	return b.String(), nil
}
