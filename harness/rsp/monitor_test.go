package rsp_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"kernellab/harness/rsp"
)

// A command of the monitor returns what it printed, in pieces or not at all, and a stub
// that has no monitor gives an error.
func TestMonitor(t *testing.T) {
	command := func(text string) string { return "-> qRcmd," + hex.EncodeToString([]byte(text)) + "\n" }
	printed := func(text string) string { return "<- O" + hex.EncodeToString([]byte(text)) + "\n" }
	c, _ := scripted(t, rsp.Options{}, command("log none")+"<- OK\n"+
		command("info replay")+printed("Recording: ")+printed("count = 7\r\n")+"<- OK\n"+
		command("log exec")+"<- E16\n"+command("log int")+"<- \n")
	for _, tt := range []struct{ command, want, err string }{
		{"log none", "", ""},
		{"info replay", "Recording: count = 7\r\n", ""},
		{"log exec", "", "log exec"},
		{"log int", "", "log int"},
	} {
		got, err := c.Monitor(background(t), tt.command)
		switch {
		case got != tt.want:
			t.Errorf("%s printed %q, want %q", tt.command, got, tt.want)
		case (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err):
			t.Errorf("%s: %v, want an error about %q", tt.command, err, tt.err)
		}
	}
}
