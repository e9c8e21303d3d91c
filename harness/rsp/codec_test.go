package rsp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// framed is a packet as somebody else would send it, with its checksum made.
func framed(body string) string {
	var sum byte
	for i := range len(body) {
		sum += body[i]
	}
	return fmt.Sprintf("$%s#%02x", body, sum)
}

// A packet has its bytes as they are, but for the four that mean something to the
// protocol, which are escaped.
func TestAppendPacket(t *testing.T) {
	for payload, want := range map[string]string{
		"": "$#00", "g": "$g#67", "OK": "$OK#9a", "vCont;c:p1.-1": "$vCont;c:p1.-1#0f",
		"$#}*": "$}\x04}\x03}]}\n#62", "{\x00~\xff": "${\x00~\xff#f8",
	} {
		if got := string(appendPacket(nil, payload)); got != want {
			t.Errorf("%q is sent as %q, want %q", payload, got, want)
		}
	}
}

func TestDecoder(t *testing.T) {
	type got struct {
		Kind frameKind
		Data string
	}
	for _, tt := range []struct {
		name, in string
		want     []got
		end      error
	}{
		{name: "nothing", end: io.EOF},
		// From QEMU 7.2, attached to a running guest.
		{
			name: "unasked stop, then a reply",
			in:   "$T02thread:01;#04+$PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+#92",
			want: []got{
				{packetFrame, "T02thread:01;"},
				{ackFrame, ""},
				{packetFrame, "PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+"},
			},
			end: io.EOF,
		},
		// From QEMU 7.2, two packets at once.
		{
			name: "replies to a batch",
			in:   "+$OK#9a+$T05thread:p01.01;#06",
			want: []got{{ackFrame, ""}, {packetFrame, "OK"}, {ackFrame, ""}, {packetFrame, "T05thread:p01.01;"}},
			end:  io.EOF,
		},
		{name: "empty packet", in: "+$#00", want: []got{{ackFrame, ""}, {packetFrame, ""}}, end: io.EOF},
		{name: "upper case checksum", in: "$OK#9A", want: []got{{packetFrame, "OK"}}, end: io.EOF},
		{name: "wrong checksum", in: "$OK#9b+", want: []got{{damagedFrame, "OK"}, {ackFrame, ""}}, end: io.EOF},
		{name: "no checksum", in: "$OK#zz+", want: []got{{damagedFrame, "OK"}, {ackFrame, ""}}, end: io.EOF},
		{name: "refusal", in: "-", want: []got{{nackFrame, ""}}, end: io.EOF},
		{name: "garbage around", in: "\x00ab$OK#9axy", want: []got{{packetFrame, "OK"}}, end: io.EOF},
		{name: "started over", in: "$O$OK#9a", want: []got{{packetFrame, "OK"}}, end: io.EOF},
		{name: "notification", in: "%S:T05#0c$OK#9a", want: []got{{notificationFrame, ""}, {packetFrame, "OK"}}, end: io.EOF},
		{name: "escapes", in: framed("l}\x03}\x04}]}\x0a"), want: []got{{packetFrame, "l#$}*"}}, end: io.EOF},
		{name: "runs", in: framed("0* 1*\"x"), want: []got{{packetFrame, "0000111111x"}}, end: io.EOF},
		{name: "longest run", in: framed("0*~"), want: []got{{packetFrame, strings.Repeat("0", 98)}}, end: io.EOF},
		{name: "run of nothing", in: framed("* "), want: []got{{damagedFrame, "* "}}, end: io.EOF},
		{name: "run without count", in: framed("0*"), want: []got{{damagedFrame, "0*"}}, end: io.EOF},
		{name: "run with a bad count", in: framed("0*\x1f"), want: []got{{damagedFrame, "0*\x1f"}}, end: io.EOF},
		{name: "run with a count too high", in: framed("0*\x7f"), want: []got{{damagedFrame, "0*\x7f"}}, end: io.EOF},
		{name: "escape of nothing", in: framed("0}"), want: []got{{damagedFrame, "0}"}}, end: io.EOF},
		{name: "end in a packet", in: "$OK", end: io.ErrUnexpectedEOF},
		{name: "end in a checksum", in: "$OK#9", end: io.ErrUnexpectedEOF},
		{name: "too long", in: "$" + strings.Repeat("0", maxFrame+1), end: errFrameTooLong},
		{name: "too long once expanded", in: framed("0" + strings.Repeat("*~", maxFrame/97+1)), end: errFrameTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDecoder(strings.NewReader(tt.in))
			var all []got
			for {
				f, err := d.next()
				if err != nil {
					if !errors.Is(err, tt.end) {
						t.Errorf("ends with %v, want %v", err, tt.end)
					}
					break
				}
				if f.kind == notificationFrame {
					f.data = nil
				}
				all = append(all, got{f.kind, string(f.data)})
			}
			if diff := cmp.Diff(tt.want, all); diff != "" {
				t.Errorf("frames (-want +got):\n%s", diff)
			}
		})
	}
}

// A packet has maxFrame bytes at most, as sent and as expanded.
func TestLongestFrame(t *testing.T) {
	const run = 1 + 97 // a byte and its longest run
	for name, c := range map[string]struct{ body, want string }{
		"sent":     {strings.Repeat("0", maxFrame), strings.Repeat("0", maxFrame)},
		"expanded": {strings.Repeat("0*~", maxFrame/run) + strings.Repeat("1", maxFrame%run), strings.Repeat("0", maxFrame/run*run) + strings.Repeat("1", maxFrame%run)},
		// The run is the last there is.
		"in a run": {strings.Repeat("1", maxFrame-run) + "0*~", strings.Repeat("1", maxFrame-run) + strings.Repeat("0", run)},
	} {
		f, err := newDecoder(strings.NewReader(framed(c.body))).next()
		if err != nil || f.kind != packetFrame || string(f.data) != c.want {
			t.Errorf("%s: kind %v, %d bytes, %v, want %d", name, f.kind, len(f.data), err, len(c.want))
		}
		if name == "expanded" {
			continue // of one more byte nobody knows before the end
		}
		if f, err := newDecoder(strings.NewReader(framed("1" + c.body))).next(); !errors.Is(err, errFrameTooLong) {
			t.Errorf("%s and a byte more: kind %v, %d bytes, %v, want %v", name, f.kind, len(f.data), err, errFrameTooLong)
		}
	}
}

func TestFromHex(t *testing.T) {
	for b := range 256 {
		want, err := strconv.ParseUint(string([]byte{byte(b)}), 16, 8)
		digit, ok := fromHex(byte(b))
		if ok != (err == nil) || ok && digit != byte(want) {
			t.Errorf("%#x is %d, %v", b, digit, ok)
		}
	}
}

// Replies of data, stops and output for the user are told from each other by their first
// characters.
func TestPacketKinds(t *testing.T) {
	type kind struct{ Stop, Console bool }
	for packet, want := range map[string]kind{
		"": {}, "OK": {}, "E01": {}, "O": {}, "Ok1": {}, "O4": {}, "00": {}, "050505": {}, "m1": {}, "T": {}, "T5": {}, "Txy": {}, "S05;": {}, "W000": {},
		"O4f": {Console: true}, "O4f4b": {Console: true}, "O4F": {Console: true},
		"T05": {Stop: true}, "T05thread:p01.01;": {Stop: true}, "S05": {Stop: true}, "W00": {Stop: true}, "W00;process:1": {Stop: true}, "X0b;process:1": {Stop: true},
	} {
		if got := (kind{isStop([]byte(packet)), isConsole([]byte(packet))}); got != want {
			t.Errorf("%q is %+v, want %+v", packet, got, want)
		}
	}
}

func FuzzReadPacket(f *testing.F) {
	for _, seed := range []string{
		"+$OK#9a", "$T02thread:01;#04", "-$#00", framed("0* }\x03"), "%S:T05#0c", "$a$b#62", "\x03",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := newDecoder(bytes.NewReader(in))
		for frames := 0; ; frames++ {
			fr, err := d.next()
			if err != nil {
				return
			}
			if frames > len(in) {
				t.Fatalf("more frames than bytes: %d", frames)
			}
			if len(fr.data) > maxFrame {
				t.Fatalf("frame of %d bytes", len(fr.data))
			}
			if fr.kind == packetFrame && isStop(fr.data) {
				if stop, err := parseStop(fr.data); err == nil && stop.Signal > 255 {
					t.Fatalf("signal %d", stop.Signal)
				}
			}
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{"", "g", "qSupported:multiprocess+", "#$}*", "****", "0* ", "\x00\xff}}"} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, payload string, again bool) {
		wire := appendPacket([]byte("+"), payload)
		if again {
			wire = appendPacket(wire, payload)
		}
		d := newDecoder(bytes.NewReader(wire))
		if fr, err := d.next(); err != nil || fr.kind != ackFrame {
			t.Fatalf("%v, %v before the packet", fr, err)
		}
		for range bytes.Count(wire, []byte("$")) {
			fr, err := d.next()
			if err != nil || fr.kind != packetFrame || string(fr.data) != payload {
				t.Fatalf("%q came back as %q, %v", payload, fr.data, err)
			}
		}
		if _, err := d.next(); err != io.EOF {
			t.Fatalf("after the packet: %v", err)
		}
	})
}

// FuzzTarget: any two documents give a description or an error, and the
// description's registers do not overlap.
func FuzzTarget(f *testing.F) {
	f.Add(`<target><architecture>i386:x86-64</architecture><xi:include href="b"/></target>`,
		`<feature><!-- <reg name="x"/> --><reg name="rip" bitsize="64"/><reg name="f" bitsize="80" regnum="7"/></feature>`, 40)
	f.Add(`<target><reg name="pc" bitsize="64"/></target>`, "", 4)
	f.Fuzz(func(t *testing.T, first, second string, size int) {
		target, err := parseTarget(func(annex string) ([]byte, error) {
			if annex == "target.xml" {
				return []byte(first), nil
			}
			return []byte(second), nil
		})
		if err != nil {
			return
		}
		target.setOffsets(size)
		end := 0
		for _, r := range target.Registers {
			if r.Offset == -1 {
				continue
			}
			if r.Offset < end || r.Offset+r.bytes() > size {
				t.Fatalf("register %+v overlaps byte %d or ends after %d", r, end, size)
			}
			end = r.Offset + r.bytes()
		}
		if size < 0 || size > 1<<12 {
			return
		}
		if _, err := target.decode(bytes.Repeat([]byte("0x"), size)); err != nil {
			return
		}
	})
}

func TestReplyError(t *testing.T) {
	for reply, want := range map[string]error{
		"":        ErrUnsupported,
		"E14":     &Error{Code: 14},
		"E01":     &Error{Code: 1},
		"Ea0":     &Error{Code: 0xa0},
		"E.no go": &Error{Message: "no go"},
		"OK":      nil,
		"e1":      nil,
		"E1":      nil,
		"00":      nil,
	} {
		if diff := cmp.Diff(want, replyError([]byte(reply)), cmp.Comparer(func(a, b error) bool {
			return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
		})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", reply, diff)
		}
	}
}
