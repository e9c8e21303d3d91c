package qemu

// QMP, QEMU's machine protocol (docs/interop/qmp-spec in its source), as far as
// saving and restoring a machine needs it.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// QMPError is QEMU's refusal of a command.
type QMPError struct {
	Command string
	Class   string `json:"class"`
	Desc    string `json:"desc"`
}

func (e *QMPError) Error() string { return fmt.Sprintf("%s: %s", e.Command, e.Desc) }

// command is one QMP command.
type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
}

// message is whatever QEMU says: a greeting, a reply or an event.
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
	Event  string          `json:"event"`
	Data   struct {
		Status string `json:"status"`
	} `json:"data"`
}

// errMigration is what remains to be said when QEMU gives no reason: that is on
// its standard error.
var errMigration = errors.New("QEMU could not carry the machine's state over")

// monitor is a QMP session. One goroutine at a time uses it; another one, which
// ends with the connection, reads.
type monitor struct {
	conn    *net.UnixConn
	greeted bool
	said    chan message  // answers, and what a migration says of itself
	closed  chan struct{} // nobody wants to know any more
	closing sync.Once
	answer  json.RawMessage // the last one

	mu      sync.Mutex
	stops   uint64        // events STOP so far
	stopped chan struct{} // closed and replaced at each
	ended   error         // why nothing more is read
}

func newMonitor(conn *net.UnixConn) *monitor {
	m := &monitor{conn: conn, said: make(chan message), closed: make(chan struct{}), stopped: make(chan struct{})}
	go m.read()
	return m
}

// read takes what QEMU says. Answers are only sent while run is waiting for them.
func (m *monitor) read() {
	defer close(m.said)
	in := json.NewDecoder(m.conn)
	for {
		var msg message
		if err := in.Decode(&msg); err != nil {
			m.mu.Lock()
			m.ended = err
			m.mu.Unlock()
			return
		}
		switch {
		case msg.Event == "STOP":
			m.mu.Lock()
			m.stops++
			close(m.stopped)
			m.stopped = make(chan struct{})
			m.mu.Unlock()
		case msg.Error != nil, msg.Return != nil, msg.Event == "MIGRATION" && (msg.Data.Status == "failed" || msg.Data.Status == "completed"):
			select {
			case m.said <- msg:
			case <-m.closed:
				return
			}
		}
	}
}

// close ends the session and, once, its connection.
func (m *monitor) close() {
	m.closing.Do(func() {
		close(m.closed)
		m.conn.Close()
	})
}

// run sends commands, with a descriptor for QEMU's getfd or nil, and waits for
// their answers and, with migration set, until the migration that they start has
// completed. The commands go out together: QEMU answers in order. A session that
// failed is of no more use.
func (m *monitor) run(ctx context.Context, cmds []command, fd *os.File, migration bool) error {
	if !m.greeted {
		cmds, m.greeted = append([]command{{Execute: "qmp_capabilities"}}, cmds...), true
	}
	var rights []byte
	if fd != nil {
		rights = syscall.UnixRights(int(fd.Fd()))
	}
	undo := until(ctx, m.conn)
	err := send(m.conn, cmds, rights)
	undo()
	if err != nil {
		return fault(ctx, err)
	}
	for answered, completed := 0, !migration; answered < len(cmds) || !completed; {
		var msg message
		more := true
		select {
		case msg, more = <-m.said:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case !more:
			return fault(ctx, m.ended)
		case msg.Error != nil:
			msg.Error.Command = cmds[min(answered, len(cmds)-1)].Execute
			return msg.Error
		case msg.Return != nil:
			answered, m.answer = answered+1, msg.Return
		case msg.Data.Status == "failed":
			return errMigration
		default:
			completed = true
		}
	}
	return nil
}

// ask sends a command without arguments and decodes its answer.
func (m *monitor) ask(ctx context.Context, execute string, answer any) error {
	if err := m.run(ctx, []command{{Execute: execute}}, nil, false); err != nil {
		return err
	}
	return json.Unmarshal(m.answer, answer)
}

func send(conn *net.UnixConn, cmds []command, rights []byte) error {
	var out []byte
	for _, c := range cmds {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		out = append(append(out, line...), '\n')
	}
	n, _, err := conn.WriteMsgUnix(out, rights, nil)
	if err == nil && n < len(out) {
		_, err = conn.Write(out[n:])
	}
	return err
}

// until makes ctx's end end a write; the function it returns undoes that.
func until(ctx context.Context, conn net.Conn) func() {
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(past) })
	return func() {
		if stop() {
			conn.SetWriteDeadline(time.Time{})
		}
	}
}

func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("QMP: %w", err)
}
