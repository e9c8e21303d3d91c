package rsptest

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("s", `# a comment

-> qSupported:multiprocess+
<- a\\b\x0a
-> \x03
raw $\x00#00
rle
damage 2
nack 1
noack
pause here
delay 5ms
drop
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Script{
		{Kind: Expect, Text: "qSupported:multiprocess+", Line: 3},
		{Kind: Reply, Text: "a\\b\n", Line: 4},
		{Kind: Expect, Text: "\x03", Line: 5},
		{Kind: Raw, Text: "$\x00#00", Line: 6},
		{Kind: RLE, Line: 7},
		{Kind: Damage, N: 2, Line: 8},
		{Kind: Nack, N: 1, Line: 9},
		{Kind: NoAck, Line: 10},
		{Kind: Pause, Text: "here", Line: 11},
		{Kind: Delay, For: 5 * time.Millisecond, Line: 12},
		{Kind: Drop, Line: 13},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseErrors(t *testing.T) {
	for script, want := range map[string]string{
		"-> a\nhello":  `s:2: unknown step "hello"`,
		"<- \\q":       "s:1: a backslash",
		"<- \\x0":      "s:1: a backslash",
		"<- \\xzz":     "s:1: escape",
		"damage":       "s:1: damage",
		"nack -1":      "s:1: nack",
		"delay soon":   "s:1: time",
		"drop it":      "s:1: drop takes no argument",
		"noack please": "s:1: noack takes no argument",
	} {
		if _, err := Parse("s", script); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", script, err, want)
		}
	}
}

func TestFrame(t *testing.T) {
	for _, tt := range []struct {
		payload, plain, runs string
	}{
		{"", "$#00", "$#00"},
		{"OK", "$OK#9a", "$OK#9a"},
		{"#$}*", "$}\x03}\x04}]}\x0a#62", "$}\x03}\x04}]}\x0a#62"},
		{"0000", "$0000#c0", "$0* #7a"},
		// 7 in a row would be counted with #, which is shortened to 6.
		{"0000000", "$0000000#50", "$0*\"0#ac"},
	} {
		if diff := cmp.Diff([]string{tt.plain, tt.runs}, []string{string(frame(tt.payload, false)), string(frame(tt.payload, true))}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.payload, diff)
		}
	}
}

// recorder is the part of a test that a Stub reports to.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) {
	r.errors = append(r.errors, args[0].(error).Error())
}

// A stub that let a wrong client pass would make every other test worthless.
func TestStubReports(t *testing.T) {
	for _, tt := range []struct {
		name, script, send, want string
	}{
		{"as expected", "-> g\n<- 00", "$g#67+", ""},
		{"in two parts", "-> g\n-> ?", "$g#67$?#3f", ""},
		{"wrong packet", "-> g", "$m#6d", `s:1: client sent "$m", want "$g"`},
		{"wrong checksum", "-> g", "$g#00", `s:1: client sent "bad checksum 00 of $g, want 67", want "$g"`},
		{"refused", "-> g\n<- 00\n-> g", "$g#67-", "s:3: want the client to send \"g\": client refused a packet with -"},
		{"too little", "-> g\n<- 00\n-> c", "$g#67", `s:3: want the client to send "c": use of closed network connection`},
		{"not refused", "-> g\ndamage 1\n<- 00", "$g#67$c#63", `s:3: client sent "$c" (<nil>) after a damaged packet, want -`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &recorder{TB: t}
			script, err := Parse("s", tt.script)
			if err != nil {
				t.Fatal(err)
			}
			stub, conn := Start(r, "s", script)
			if _, err := conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			<-stub.Done()
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
			if got := strings.Join(r.errors, "\n"); got != tt.want {
				t.Errorf("reported %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-> g\n<- 00\\x00")
	f.Add("damage 1\nnack 2\ndelay 1s\nraw \\")
	f.Fuzz(func(t *testing.T, text string) {
		script, err := Parse("s", text)
		if err == nil && len(script) > strings.Count(text, "\n")+1 {
			t.Errorf("%d steps from %d lines", len(script), strings.Count(text, "\n")+1)
		}
	})
}
