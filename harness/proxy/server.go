package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/rsp"
)

// Server answers gdb's packets.
type Server struct {
	History *History
	// Record, if it is not nil, is told each packet and its reply.
	Record func(packet, reply string)

	peer   *rsp.Peer
	points []Point // that gdb has inserted
	halt   string  // the last stop reply
}

// event is what gdb sends: a packet, or the wish to halt the guest.
type event struct {
	packet    string
	interrupt bool
}

// Serve serves a debugger until it detaches or ends the guest (nil), hangs up, or ctx
// ends.
func (s *Server) Serve(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s.peer, s.points = rsp.NewPeer(conn), nil
	halt, err := s.History.here(ctx, s.History.at, 0)
	if err != nil {
		return err
	}
	s.halt = s.stopReply(halt)
	events := make(chan event)
	hungUp := make(chan error, 1)
	go func() {
		defer close(events)
		for {
			packet, interrupted, err := s.peer.Next()
			if err != nil {
				hungUp <- err
				return
			}
			select {
			case events <- event{packet, interrupted}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for e := range events {
		if e.interrupt {
			continue // the guest is halted
		}
		done, err := s.packet(ctx, e.packet, events)
		if err != nil || done {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return <-hungUp
}

// stopReply is the packet for a halt.
func (s *Server) stopReply(h Halt) string {
	text := fmt.Sprintf("T%02xthread:%s;", h.Signal, h.Thread)
	p := watched(s.points, h.Watch)
	switch {
	case p != nil:
		text += fmt.Sprintf("%s:%x;", map[byte]string{'2': "watch", '3': "rwatch", '4': "awatch"}[p.Kind], h.Watch)
	case h.Begin:
		text += "replaylog:begin;"
	case h.End:
		text += "replaylog:end;"
	}
	return text
}

// packet answers a packet. done means that the session is over.
func (s *Server) packet(ctx context.Context, packet string, events <-chan event) (done bool, err error) {
	reply, after, err := s.answer(ctx, packet, events)
	if err != nil {
		return false, err
	}
	if s.Record != nil {
		s.Record(packet, reply)
	}
	if packet != "k" { // which has no answer
		err = s.peer.Send(reply)
	}
	if packet == noAck {
		s.peer.NoAcknowledgements()
	}
	return after, err
}

const noAck = "QStartNoAckMode"

// features are what the proxy offers. QEMU's own part is of all its versions.
const features = "PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+;QStartNoAckMode+;ReverseStep+;ReverseContinue+"

// answer returns the reply to a packet.
func (s *Server) answer(ctx context.Context, packet string, events <-chan event) (reply string, done bool, err error) {
	name, _, _ := strings.Cut(packet, ":")
	name, _, _ = strings.Cut(name, ";")
	switch {
	case name == "qSupported":
		if !strings.Contains(packet, "multiprocess+") {
			return "", true, errors.New("the debugger does not know of processes (multiprocess+): use gdb")
		}
		return features, false, nil
	case packet == noAck:
		return "OK", false, nil
	case packet == "?":
		s.points = nil
		return s.halt, false, nil
	case name == "D", packet == "k", name == "vKill":
		return "OK", true, nil
	case name == "vCont?":
		return "vCont;c;C;s;S", false, nil
	case name == "vCont", name == "c", name == "s", name == "bc", name == "bs":
		reply, err = s.run(ctx, packet, events)
		return reply, false, err
	case packet[0] == 'Z', packet[0] == 'z':
		return s.point(packet), false, nil
	case packet[0] == 'G', packet[0] == 'P', packet[0] == 'M':
		reply, err = s.History.Write(ctx, packet)
		return reply, false, err
	case strings.HasPrefix(packet, "qRcmd,"):
		reply, err = s.monitor(ctx, packet)
		return reply, false, err
	case relayed(name):
		m, err := s.History.Machine(ctx)
		if err != nil {
			return "", false, err
		}
		b, err := m.Stub.Relay(ctx, packet)
		return string(b), false, err
	}
	return "", false, nil // not known
}

// relayed reports whether QEMU answers a packet of this name: one that changes nothing.
func relayed(name string) bool {
	switch name {
	case "g", "qC", "qfThreadInfo", "qsThreadInfo", "qXfer", "qAttached":
		return true
	}
	return slices.Contains([]byte("pmTH"), name[0]) || strings.HasPrefix(name, "qThreadExtraInfo,")
}

// point inserts or removes a breakpoint or watchpoint. QEMU gets it when the guest runs.
func (s *Server) point(packet string) string {
	parts := strings.Split(packet[1:], ",")
	if len(parts) != 3 || len(parts[0]) != 1 || parts[0] < "0" || parts[0] > "4" {
		return "" // with conditions or commands, which QEMU does not know
	}
	addr, err := strconv.ParseUint(parts[1], 16, 64)
	size, serr := strconv.ParseUint(parts[2], 16, 64)
	if err != nil || serr != nil {
		return "E22"
	}
	p := Point{Kind: parts[0][0], Addr: addr, Size: size}
	s.points = slices.DeleteFunc(s.points, func(q Point) bool { return q == p })
	if packet[0] == 'Z' {
		s.points = append(s.points, p)
	}
	return "OK"
}

// run lets the guest run, forwards or back, until it stops. gdb's interrupt takes the
// session back to where the run began.
func (s *Server) run(ctx context.Context, packet string, events <-chan event) (string, error) {
	var do func(context.Context) (Halt, error)
	points := slices.Clone(s.points)
	switch action := strings.TrimPrefix(packet, "vCont;"); {
	case packet == "bc":
		do = func(ctx context.Context) (Halt, error) { return s.History.ContinueBack(ctx, points) }
	case packet == "bs":
		do = s.History.StepBack
	case action == "":
		return "E22", nil
	case action[0] == 's' || action[0] == 'S':
		do = func(ctx context.Context) (Halt, error) { return s.History.Step(ctx, points) }
	case strings.HasPrefix(action, "c:") && !strings.HasSuffix(action, ".-1"):
		// gdb steps over a breakpoint by one at the next instruction, where it knows no
		// single steps (riscv64). In a run an interrupt would come first, and meet the
		// other breakpoints, and then that of the instruction itself once more.
		do = func(ctx context.Context) (Halt, error) {
			halt, err := s.History.Step(ctx, points)
			if err != nil || halt.End || halt.Watch != 0 || breaks(points, halt.PC) {
				return halt, err
			}
			return s.History.Continue(ctx, points)
		}
	default:
		do = func(ctx context.Context) (Halt, error) { return s.History.Continue(ctx, points) }
	}
	at := s.History.at
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var halt Halt
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		halt, err = do(running)
	}()
	interrupted := false
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case e, open := <-events:
			if !open {
				cancel()
				events = nil
				continue
			}
			// Packets other than an interrupt do not come while the guest runs.
			interrupted = interrupted || e.interrupt
			if e.interrupt {
				cancel()
			}
		}
	}
	switch {
	case err == nil:
	case interrupted && ctx.Err() == nil:
		if halt, err = s.History.here(ctx, at, 0); err != nil {
			return "", err
		}
		halt.Signal = rsp.SignalInterrupt
		if err := s.say("The guest was interrupted in a run that had no end yet. It is again where the run began.\n"); err != nil {
			return "", err
		}
	case ctx.Err() != nil:
		return "", ctx.Err()
	default:
		if h, herr := s.History.here(ctx, at, 0); herr == nil {
			if err := s.say(fmt.Sprintf("lab: %v. The guest is where it was.\n", err)); err != nil {
				return "", err
			}
			h.Signal = rsp.SignalInterrupt
			halt = h
			break
		}
		return "", err
	}
	s.halt = s.stopReply(halt)
	return s.halt, nil
}

// say shows a text to gdb's user. gdb takes it while the guest runs.
func (s *Server) say(text string) error {
	return s.peer.Send("O" + hex.EncodeToString([]byte(text)))
}

// harmless are the commands of QEMU's monitor that only look.
var harmless = []string{"info", "x", "xp", "p", "print", "gva2gpa", "gpa2hva", "help"}

// monitor runs a command of QEMU's monitor that changes nothing.
func (s *Server) monitor(ctx context.Context, packet string) (string, error) {
	text, err := hex.DecodeString(strings.TrimPrefix(packet, "qRcmd,"))
	if err != nil {
		return "E22", nil
	}
	command, _, _ := strings.Cut(strings.TrimLeft(string(text), " "), " ")
	command, _, _ = strings.Cut(command, "/")
	if command == "place" { // for gdbscripts/lab.py
		at := s.History.at
		return hex.EncodeToString(fmt.Appendf(nil, "%d %d %s\n", at.op, at.insn, map[bool]string{true: "present", false: "past"}[s.History.present()])), nil
	}
	if !slices.Contains(harmless, command) {
		return hex.EncodeToString(fmt.Appendf(nil, "%s could change the machine, and a run that is gone back in must repeat. These look only: %s.\n", command, strings.Join(harmless, ", "))), nil
	}
	m, err := s.History.Machine(ctx)
	if err != nil {
		return "", err
	}
	printed, err := m.Stub.Monitor(ctx, string(text))
	if err != nil {
		return "", err
	}
	if printed == "" {
		return "OK", nil
	}
	return hex.EncodeToString([]byte(printed)), nil
}
