// Package mailbox is how the host and a guest's agent exchange messages: through
// a piece of the agent's memory, while the guest stands still.
//
// The agent puts a message into the mailbox and makes the system call of [Mark],
// at whose entry the host's debugger has a breakpoint. The host reads the message
// out of the guest's physical memory, puts its own there, and lets the guest go
// on: the system call fails, as it always does, and the agent reads what it was
// sent. Nothing reaches a guest while its processor runs, so what the guest does
// depends on the messages and not on when they came. A program of the guest's can
// make the same system call but it is not the first process, which is how the host
// tells them apart; and it can neither read nor write the agent's memory.
//
// The mailbox is a directory of one page, [Magic] and the physical addresses of
// the message's pages, and the message itself: its length in four bytes, little
// endian, and what [Join] makes of a header and a blob.
package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Mark is the system call that says that the mailbox is to be read, by the name
// of its point: sethostname(name, len), with the physical address of the
// directory as name and a negative len, which the kernel refuses.
const Mark = "sys_sethostname"

// Magic begins the directory.
const Magic = "lab mail"

const (
	// PageSize is that of the guest's kernel, in bytes.
	PageSize = 4096
	// Pages is the number of the message's pages.
	Pages = 64
	// MaxMessage is the length of the longest message, in bytes.
	MaxMessage = Pages*PageSize - lengthSize
	// MaxBlob is the length of the longest blob that the agent sends at once.
	MaxBlob = MaxMessage - 64<<10

	lengthSize = 4
)

// ErrDirectory is returned for a page that is no directory of a mailbox.
var ErrDirectory = errors.New("no mailbox there")

// Directory makes the directory of the pages at these physical addresses.
func Directory(pages []uint64) []byte {
	b := []byte(Magic)
	for _, p := range pages {
		b = binary.LittleEndian.AppendUint64(b, p)
	}
	return b
}

// ReadDirectory returns the physical addresses of the message's pages.
func ReadDirectory(page []byte) ([]uint64, error) {
	if len(page) < len(Magic)+8*Pages || string(page[:len(Magic)]) != Magic {
		return nil, ErrDirectory
	}
	page = page[len(Magic):]
	pages := make([]uint64, Pages)
	for i := range pages {
		if pages[i] = binary.LittleEndian.Uint64(page[8*i:]); pages[i] == 0 || pages[i]%PageSize != 0 {
			return nil, fmt.Errorf("%w: page %d is at %#x", ErrDirectory, i, pages[i])
		}
	}
	return pages, nil
}

// Put writes a message into the mailbox's memory.
func Put(memory, msg []byte) error {
	if len(msg) > len(memory)-lengthSize {
		return fmt.Errorf("%w: %d bytes, at most %d fit", ErrMessage, len(msg), len(memory)-lengthSize)
	}
	binary.LittleEndian.PutUint32(memory, uint32(len(msg)))
	copy(memory[lengthSize:], msg)
	return nil
}

// Length returns the number of bytes of memory that the message takes which
// begins it, its length included.
func Length(memory []byte) (int, error) {
	if len(memory) < lengthSize {
		return 0, fmt.Errorf("%w: %d bytes, want at least %d", ErrMessage, len(memory), lengthSize)
	}
	n := binary.LittleEndian.Uint32(memory)
	if n > MaxMessage {
		return 0, fmt.Errorf("%w: %d bytes, at most %d fit", ErrMessage, n, MaxMessage)
	}
	return lengthSize + int(n), nil
}

// Take returns the message in the mailbox's memory, which is part of memory.
func Take(memory []byte) ([]byte, error) {
	n, err := Length(memory)
	if err == nil && n > len(memory) {
		err = fmt.Errorf("%w: %d bytes of a message of %d", ErrMessage, len(memory), n)
	}
	if err != nil {
		return nil, err
	}
	return memory[lengthSize:n], nil
}
