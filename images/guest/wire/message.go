package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Op names what a request asks of the agent.
type Op string

// The operations.
const (
	OpPing  Op = "ping"
	OpStart Op = "start" // make a process, held before its exec
	OpGo    Op = "go"    // let it exec; answered before it does, and when it has ended
	OpWait  Op = "wait"  // answered when it has ended
	OpKill  Op = "kill"
	OpRead  Op = "read" // a file's content, in pieces
	OpPut   Op = "put"  // make an executable of what lies in the parcel
)

// Request is the host's message.
type Request struct {
	ID   uint64
	Op   Op
	PID  int      // go, wait, kill
	Path string   // start, read, put
	Args []string // start: argv, the name included
	Env  []string // start
	Keep int      // start: bytes of output kept
	Size int      // put: bytes of the parcel
	Sum  uint32   // put: theirs, see [Sum]
	// Landed says that the host has filled the landing with the program (start).
	Landed bool
	// Writable are files below /sys that everybody may write to from
	// now on (start).
	Writable []string
}

// Reply is the guest's answer to the request of the same ID. Its blob is the
// output of an ended program, or a piece of a file.
type Reply struct {
	ID    uint64
	Error string
	PID   int
	More  bool // another piece follows
	Flate bool // the blob is packed, see [Pack]
	Exit  *Exit
}

// Exit is how a program ended.
type Exit struct {
	Code      int // -1 when a signal ended it
	Signal    int // 0 when it exited
	Core      bool
	ExecError string
	UserUS    int64
	SystemUS  int64
	Dropped   int64   // bytes of output not kept
	Leftover  int     // processes alive when it ended
	Killed    int     // of those, the ones that had to be killed
	Pieces    []Piece // how the blob divides
}

// Piece is a run of output of one stream.
type Piece struct {
	Stream int // 1 standard output, 2 standard error
	Len    int
}

// summed is how much of a program Sum reads: its header and, of most linkers, what
// names the build. All of it would take an emulated guest tens of milliseconds.
const summed = 4 << 10

// Sum tells the program of a parcel from another: the CRC-32 (IEEE) of its
// beginning.
func Sum(program []byte) uint32 {
	return crc32.ChecksumIEEE(program[:min(len(program), summed)])
}

// The landing is a file of the guest's of LandingSize bytes for a program that the
// host writes into the memory of a copy of the guest. LandingMap is a file that
// only root can read, with a line for each of its pages: the physical address, in
// hexadecimal. A kernel that does not tell has no such file.
const (
	LandingSize = 4 << 20
	LandingMap  = "/landing"
)

// ErrMessage is returned for a message that cannot be read.
var ErrMessage = errors.New("malformed message")

// packMin is the size from which packing a blob is worth the guest's time: an
// emulated serial line carries some 300 KB a second.
const packMin = 2 << 10

// Pack compresses a blob with DEFLATE (RFC 1951) if it is worth it.
func Pack(blob []byte) (packed []byte, ok bool) {
	if len(blob) < packMin {
		return blob, false
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return blob, false
	}
	w.Write(blob) // a bytes.Buffer takes everything
	w.Close()
	if b.Len() >= len(blob) {
		return blob, false
	}
	return b.Bytes(), true
}

// Unpack is the reverse of [Pack].
func Unpack(packed []byte) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("%w: packed blob: %w", ErrMessage, err)
	}
	if len(b) > maxMessage {
		return nil, fmt.Errorf("%w: blob of more than %d bytes", ErrMessage, maxMessage)
	}
	return b, nil
}
