package guest

import (
	"context"
	"fmt"
	"strings"

	"kernellab/images/guest/mailbox"
)

// Tracing is where tracefs is mounted in a guest, once [Agent.MountTracing] was called.
const Tracing = mailbox.Tracing

// MountTracing mounts tracefs, unless it is mounted.
func (a *Agent) MountTracing(ctx context.Context) error {
	if _, _, err := a.do(ctx, mailbox.Request{Op: mailbox.OpTrace}); err != nil {
		return fmt.Errorf("mount tracefs in the guest: %w", err)
	}
	return nil
}

// WriteTracing writes a text to a file of tracefs as root: behind what the file has with
// end, and else in its place. What the kernel refuses is an *AgentError.
func (a *Agent) WriteTracing(ctx context.Context, path, text string, end bool) error {
	if !strings.HasPrefix(path, Tracing+"/") {
		return fmt.Errorf("write %s in the guest: want a file below %s", path, Tracing)
	}
	_, _, err := a.do(ctx, mailbox.Request{Op: mailbox.OpWrite, Path: path, Text: text, Append: end})
	return err
}
