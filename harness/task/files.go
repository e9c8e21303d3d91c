package task

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
)

// File is an open file of a task.
type File struct {
	FD          int    `json:"fd"`
	Path        string `json:"path"`
	Kind        string `json:"kind"` // file, directory, char, block, fifo, socket, symlink or anon_inode
	Inode       uint64 `json:"inode"`
	Flags       uint64 `json:"flags"` // of open(2)
	Offset      int64  `json:"offset"`
	CloseOnExec bool   `json:"close_on_exec"`
	Unread      string `json:"unread,omitempty"` // what could not be read, and why
}

const (
	maxFiles = 1 << 16
	maxWrong = 16 // consecutive unreadable files that mean a damaged table
)

// files lists the open files of a task.
func (v *View) files(ctx context.Context, task object) ([]File, error) {
	table, err := task.follow(ctx, "files", "fdt")
	if err != nil {
		return nil, err
	}
	size, err := table.number(ctx, "max_fds")
	if err != nil {
		return nil, err
	}
	over := size > maxFiles
	if over {
		size = maxFiles
	}
	var at [3]uint64
	for i, m := range []string{"open_fds", "close_on_exec", "fd"} {
		if at[i], err = table.number(ctx, m); err != nil {
			return nil, err
		}
	}
	var out []File
	wrong := 0
	for base := uint64(0); base < size; base += 64 {
		open, err := v.word(ctx, at[0]+base/8)
		if err != nil {
			return out, fmt.Errorf("fdtable.open_fds: %w", err)
		}
		cloexec, err := v.word(ctx, at[1]+base/8)
		if err != nil {
			return out, fmt.Errorf("fdtable.close_on_exec: %w", err)
		}
		for rest := open; rest != 0; rest &= rest - 1 {
			bit := uint64(bits.TrailingZeros64(rest))
			f := File{FD: int(base + bit), CloseOnExec: cloexec>>bit&1 != 0}
			addr, err := v.word(ctx, at[2]+8*(base+bit))
			if err == nil && addr == 0 {
				continue // allocated, but not installed yet
			}
			if err == nil {
				err = v.file(ctx, v.object("file", addr), &f)
			}
			if err == nil {
				wrong = 0
			} else {
				f.Unread = err.Error()
				wrong++
			}
			out = append(out, f)
			if wrong == maxWrong {
				return out, fmt.Errorf("the last %d files cannot be read: the table is damaged", wrong)
			}
		}
	}
	if over {
		return out, fmt.Errorf("fdtable.max_fds: %w", errTooMuch)
	}
	return out, nil
}

// file sets the fields of f that come from struct file.
func (v *View) file(ctx context.Context, file object, f *File) (err error) {
	if err = file.valid("fdtable.fd"); err != nil {
		return err
	}
	inode, err := file.member(ctx, "f_inode")
	if err != nil {
		return err
	}
	mode, err := inode.number(ctx, "i_mode")
	if err != nil {
		return err
	}
	if f.Inode, err = inode.number(ctx, "i_ino"); err != nil {
		return err
	}
	if f.Flags, err = file.number(ctx, "f_flags"); err != nil {
		return err
	}
	pos, err := file.number(ctx, "f_pos")
	if err != nil {
		return err
	}
	f.Offset = int64(pos)
	path, err := file.member(ctx, "f_path")
	if err != nil {
		return err
	}
	f.Path, err = v.path(ctx, path)
	f.Kind = kindOf(mode, f.Path)
	return err
}

// kindOf returns the type of file in an inode's mode: include/uapi/linux/stat.h.
func kindOf(mode uint64, path string) string {
	if strings.HasPrefix(path, "anon_inode:") {
		return "anon_inode" // the mode varies: from 6.16 on it has another type
	}
	switch mode & 0xf000 {
	case 0x1000:
		return "fifo"
	case 0x2000:
		return "char"
	case 0x4000:
		return "directory"
	case 0x6000:
		return "block"
	case 0x8000:
		return "file"
	case 0xa000:
		return "symlink"
	case 0xc000:
		return "socket"
	}
	return "none"
}
