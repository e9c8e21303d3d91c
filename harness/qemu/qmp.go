package qemu

// This file has the part of QMP, the QEMU Machine Protocol (docs/interop/qmp-spec in
// QEMU's source), that saving and restoring a machine needs.

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

// QMPError is QEMU's error reply to a command.
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

// message is a message from QEMU: a greeting, a reply or an event.
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
	Event  string          `json:"event"`
	Data   struct {
		Status string `json:"status"`
	} `json:"data"`
}

// errMigration reports a failed migration for which QMP gives no reason. QEMU writes
// the reason to its standard error.
var errMigration = errors.New("QEMU could not transfer the machine's state")

// monitor is a QMP session. Any number of goroutines may use it, one at a time. Another
// goroutine reads until the connection ends.
type monitor struct {
	conn     *net.UnixConn
	turn     chan struct{} // sent to for the length of an exchange
	greeted  bool
	messages chan message  // replies, and the end of a migration
	closed   chan struct{} // the reader drops further messages
	closing  sync.Once

	mu      sync.Mutex
	stops   uint64        // number of STOP events so far
	stopped chan struct{} // closed and replaced at each STOP
	ended   error         // why reading ended
}

func newMonitor(conn *net.UnixConn) *monitor {
	m := &monitor{conn: conn, turn: make(chan struct{}, 1), messages: make(chan message), closed: make(chan struct{}), stopped: make(chan struct{})}
	go m.read()
	return m
}

// read receives QEMU's messages. Replies only arrive while run waits for them.
func (m *monitor) read() {
	defer close(m.messages)
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
			case m.messages <- msg:
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

// run sends commands together and waits for their replies. fd, if not nil, is passed
// along for QEMU's getfd. If migration is set, run also waits until the migration that
// the commands start has completed. After a failure the session cannot be used.
func (m *monitor) run(ctx context.Context, cmds []command, fd *os.File, migration bool) error {
	_, err := m.exchange(ctx, cmds, fd, migration)
	return err
}

// exchange is run, and returns the reply to the last command.
func (m *monitor) exchange(ctx context.Context, cmds []command, fd *os.File, migration bool) (last json.RawMessage, err error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !m.greeted {
		cmds, m.greeted = append([]command{{Execute: "qmp_capabilities"}}, cmds...), true
	}
	var rights []byte
	if fd != nil {
		rights = syscall.UnixRights(int(fd.Fd()))
	}
	undo := endWrites(ctx, m.conn)
	err = send(m.conn, cmds, rights)
	undo()
	if err != nil {
		return nil, qmpError(ctx, err)
	}
	for answered, completed := 0, !migration; answered < len(cmds) || !completed; {
		var msg message
		more := true
		select {
		case msg, more = <-m.messages:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		switch {
		case !more:
			return nil, qmpError(ctx, m.ended)
		case msg.Error != nil:
			msg.Error.Command = cmds[min(answered, len(cmds)-1)].Execute
			return nil, msg.Error
		case msg.Return != nil:
			answered++
			last = msg.Return
		case msg.Data.Status == "failed":
			return nil, errMigration
		default:
			completed = true
		}
	}
	return last, nil
}

// ask sends a command without arguments and decodes its answer.
func (m *monitor) ask(ctx context.Context, execute string, answer any) error {
	said, err := m.exchange(ctx, []command{{Execute: execute}}, nil, false)
	if err != nil {
		return err
	}
	return json.Unmarshal(said, answer)
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

// endWrites makes writes to conn fail when ctx ends, until the returned function is
// called.
func endWrites(ctx context.Context, conn net.Conn) func() {
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(past) })
	return func() {
		if stop() {
			conn.SetWriteDeadline(time.Time{})
		}
	}
}

func qmpError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("QMP: %w", err)
}
