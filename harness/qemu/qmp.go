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

// monitor is a QMP session. One goroutine at a time uses it.
type monitor struct {
	conn    *net.UnixConn
	in      *json.Decoder
	greeted bool
}

func newMonitor(conn *net.UnixConn) *monitor {
	return &monitor{conn: conn, in: json.NewDecoder(conn)}
}

// run sends commands, with a descriptor for QEMU's getfd or nil, and waits for
// their answers and, with migration set, until the migration that they start has
// completed. The commands go out together: QEMU answers in order.
func (m *monitor) run(ctx context.Context, cmds []command, fd *os.File, migration bool) error {
	defer until(ctx, m.conn)()
	if !m.greeted {
		cmds, m.greeted = append([]command{{Execute: "qmp_capabilities"}}, cmds...), true
	}
	var rights []byte
	if fd != nil {
		rights = syscall.UnixRights(int(fd.Fd()))
	}
	if err := send(m.conn, cmds, rights); err != nil {
		return fault(ctx, err)
	}
	for answered, completed := 0, !migration; answered < len(cmds) || !completed; {
		var msg message
		if err := m.in.Decode(&msg); err != nil {
			return fault(ctx, err)
		}
		switch {
		case msg.Error != nil:
			msg.Error.Command = cmds[min(answered, len(cmds)-1)].Execute
			return msg.Error
		case msg.Return != nil:
			answered++
		case msg.Event == "MIGRATION" && msg.Data.Status == "failed":
			return errMigration
		case msg.Event == "MIGRATION" && msg.Data.Status == "completed":
			completed = true
		}
	}
	return nil
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

// until makes ctx's end end an exchange; the function it returns undoes that.
func until(ctx context.Context, conn net.Conn) func() {
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	return func() {
		if stop() {
			conn.SetDeadline(time.Time{})
		}
	}
}

func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("QMP: %w", err)
}
