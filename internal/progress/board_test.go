package progress

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// play shows the board three runs, two at a time.
func play(b *Board) {
	const pass, dead = "pass 14/14 in 4.2 s", "error, it panicked:\x1b[2J in 1.0 s"
	b.Stage(0, "fork-new on 6.1 x86_64", "booting")
	b.Stage(1, "fork-new on 6.12 x86_64", "booting")
	b.End(1, "fork-new on 6.12 x86_64", dead)
	b.Stage(2, "fork-new on 7.2 riscv64", "booting")
	b.End(0, "fork-new on 6.1 x86_64", pass)
	b.Say("a line")
	b.End(2, "fork-new on 7.2 riscv64", pass)
	b.Close()
}

func TestBoardInPipe(t *testing.T) {
	var out bytes.Buffer
	play(NewBoard(&out, 3))
	want := `lab: fork-new on 6.1 x86_64 begins
lab: fork-new on 6.12 x86_64 begins
lab: [1/3] fork-new on 6.12 x86_64: error, it panicked: [2J in 1.0 s
lab: fork-new on 7.2 riscv64 begins
lab: [2/3] fork-new on 6.1 x86_64: pass 14/14 in 4.2 s
lab: a line
lab: [3/3] fork-new on 7.2 riscv64: pass 14/14 in 4.2 s
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBoardOnTerminal(t *testing.T) {
	var out bytes.Buffer
	b := NewBoard(&out, 3)
	b.width = 60
	play(b)
	const clear = "\r\x1b[K"
	want := "[0/3] fork-new on 6.1 x86_64: booting" +
		clear + "[0/3] fork-new on 6.1 x86_64: booting · fork-new on 6.12 x…" +
		clear + "lab: [1/3] fork-new on 6.12 x86_64: error, it panicked: [2J in 1.0 s\n" +
		"[1/3] fork-new on 6.1 x86_64: booting" +
		clear + "[1/3] fork-new on 6.1 x86_64: booting · fork-new on 7.2 ri…" +
		clear + "lab: [2/3] fork-new on 6.1 x86_64: pass 14/14 in 4.2 s\n" +
		"[2/3] fork-new on 7.2 riscv64: booting" +
		clear + "lab: a line\n" +
		"[2/3] fork-new on 7.2 riscv64: booting" +
		clear + "lab: [3/3] fork-new on 7.2 riscv64: pass 14/14 in 4.2 s\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
