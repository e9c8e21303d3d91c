package rsp

import (
	"context"
	"encoding/hex"
	"fmt"
)

// Monitor runs a command of QEMU's human monitor on a halted guest and returns what it
// printed (qRcmd in GDB's manual, gdb_handle_query_rcmd in QEMU's gdbstub). A command
// that fails is no error of the protocol: it prints why.
func (c *Client) Monitor(ctx context.Context, command string) (string, error) {
	const op = "run a command of QEMU's monitor"
	if err := c.acquireHalted(ctx); err != nil {
		return "", opError(op, "", err)
	}
	defer c.release()
	r := ask("qRcmd," + hex.EncodeToString([]byte(command)))
	var printed []byte
	r.onConsole = func(text []byte) { printed = append(printed, text...) }
	if err := c.exchange(ctx, r); err != nil {
		return "", opError(op, r.payload, err)
	}
	if err := okError(r.reply); err != nil {
		return string(printed), opError(op, r.payload, fmt.Errorf("%s: %w", command, err))
	}
	return string(printed), nil
}
