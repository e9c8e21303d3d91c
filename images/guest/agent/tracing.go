package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kernellab/images/guest/mailbox"
)

// mountTracing mounts tracefs, unless it is mounted: the guests of most labs have no
// use for it.
func mountTracing() error {
	if _, err := os.Stat(mailbox.Tracing + "/trace"); err == nil {
		return nil
	}
	return mount("tracefs", mailbox.Tracing, "tracefs", "")
}

// writeTracing writes a text to a file of tracefs, as a shell's redirection does: with
// >, which empties the file first, or with >>.
func writeTracing(path, text string, end bool) error {
	if filepath.Clean(path) != path || !strings.HasPrefix(path, mailbox.Tracing+"/") {
		return fmt.Errorf("%s is no file of tracefs", path)
	}
	how := os.O_TRUNC
	if end {
		how = os.O_APPEND
	}
	f, err := os.OpenFile(path, os.O_WRONLY|how|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
