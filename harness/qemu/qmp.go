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

// migrate sends commands, which start a migration, with a descriptor for QEMU's
// getfd, and waits until the migration has completed. The commands go out
// together: QEMU answers in order.
func migrate(ctx context.Context, conn net.Conn, fd *os.File, cmds []command) error {
	defer until(ctx, conn)()
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("QMP: a %T carries no descriptors", conn)
	}
	in := json.NewDecoder(conn)
	if err := send(unix, cmds, syscall.UnixRights(int(fd.Fd()))); err != nil {
		return fault(ctx, err)
	}
	for answered, completed := 0, false; answered < len(cmds) || !completed; {
		var msg message
		if err := in.Decode(&msg); err != nil {
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
