package mailbox

import (
	"errors"
	"time"
)

// Op names what a request asks of the agent.
type Op string

// The operations.
const (
	OpStart Op = "start" // make a process, held before its exec
	OpRun   Op = "run"   // let it exec; answered when it has ended
	OpRead  Op = "read"  // a file's content, in pieces
	OpStore Op = "store" // append what lies in the landing to a file
	OpTrace Op = "trace" // mount tracefs, unless it is
	OpWrite Op = "write" // write a text to a file of tracefs
	OpNext  Op = "next"  // the next piece of the answer
)

// Request is the host's message.
type Request struct {
	Op   Op
	PID  int      // run
	Path string   // start, read, store, write
	Args []string // start: argv, the name included
	Env  []string // start
	Keep int      // start: bytes of output kept
	Size int      // store: bytes
	// Landed says that the host has filled the landing with the program (start).
	Landed bool
	// Open are files below /proc or /sys that the agent opens, as root, for
	// reading and writing. The program inherits them as descriptors 3, 4 and so
	// on (start).
	Open []string
	// Text is written to the file, behind what it has with Append, and else in its
	// place (write).
	Text   string
	Append bool
	// Limit is what the program may take of the guest's time, in ns (run, and start with
	// Init). It is killed then.
	Limit int64
	// Init says that the program replaces the agent, by execve(2), when it is run, and so
	// is the guest's first process. No agent answers any more then (start).
	Init bool
}

// Reply is the agent's message: the answer to the request before it, or the first
// one, which says that the agent is ready. Its blob is the output of an ended
// program, or a file.
type Reply struct {
	Error string
	PID   int
	// Timer is the process that marks the end of an Init program's Limit (start).
	Timer int
	More  bool // another piece of the blob follows, for an OpNext
	Exit  *Exit
	// Landing are the physical addresses of the landing's pages, in order (the
	// first reply).
	Landing []uint64
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
	TimedOut  bool    // it was killed at Request.Limit
	Stuck     bool    // and had not ended when the agent gave up waiting for that
	Pieces    []Piece // how the blob divides
}

// Piece is a run of output of one stream.
type Piece struct {
	Stream int // 1 standard output, 2 standard error
	Len    int
}

// Patience is how long, by the guest's clock, a killed program may take to end. One that
// takes longer cannot be killed, or its guest is too busy.
const Patience = 10 * time.Second

// LandingSize is the size, in bytes, of the landing: a file of the guest's whose
// pages the host fills with a program while the guest stands still.
const LandingSize = 4 << 20

// Tracing is where tracefs is mounted in a guest.
const Tracing = "/sys/kernel/tracing"

// ErrMessage is returned for a message that cannot be read.
var ErrMessage = errors.New("malformed message")
