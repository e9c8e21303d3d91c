package task

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	maxDepth = 512  // directories of a path, and mounts
	maxName  = 4096 // bytes of a file name; the kernel allows 255
)

// path returns the path of a struct path like fs/d_path.c, from the root of its mount
// namespace, with " (deleted)" appended for a deleted file.
func (v *View) path(ctx context.Context, p object) (string, error) {
	dentry, err := p.member(ctx, "dentry")
	if err != nil {
		return "", err
	}
	mnt, err := p.member(ctx, "mnt")
	if err != nil {
		return "", err
	}
	root, err := mnt.number(ctx, "mnt_root")
	if err != nil {
		return "", err
	}
	if name, ok, err := v.dname(ctx, dentry, root); ok || err != nil {
		return name, err
	}
	mount, err := mnt.container("mount", "mnt")
	if err != nil {
		return "", err
	}
	deleted, err := v.unlinked(ctx, dentry)
	if err != nil {
		return "", err
	}
	name, err := v.climb(ctx, mount, dentry)
	if deleted {
		name += " (deleted)"
	}
	return name, err
}

// unlinked is d_unlinked in include/linux/dcache.h.
func (v *View) unlinked(ctx context.Context, dentry object) (bool, error) {
	hashed, err := dentry.number(ctx, "d_hash.pprev")
	if err != nil {
		return false, err
	}
	parent, err := dentry.number(ctx, "d_parent")
	return hashed == 0 && parent != dentry.addr, err
}

// climb joins the names from a dentry up to the root of the namespace. With an error
// it returns a partial path, which starts with "…/".
func (v *View) climb(ctx context.Context, mount, dentry object) (string, error) {
	var names []string
	partial := func(err error) (string, error) {
		return "…/" + strings.Join(names, "/"), err
	}
	for range maxDepth {
		root, err := mount.number(ctx, "mnt.mnt_root")
		if err != nil {
			return partial(err)
		}
		parent, err := dentry.member(ctx, "d_parent")
		if err != nil {
			return partial(err)
		}
		if dentry.addr == root {
			up, err := mount.member(ctx, "mnt_parent")
			if err != nil {
				return partial(err)
			}
			if up.addr == mount.addr {
				return "/" + strings.Join(names, "/"), nil
			}
			if dentry, err = mount.member(ctx, "mnt_mountpoint"); err != nil {
				return partial(err)
			}
			mount = up
			continue
		}
		if parent.addr == dentry.addr {
			return partial(errors.New("the path leaves its mount"))
		}
		name, err := v.name(ctx, dentry)
		if err != nil {
			return partial(err)
		}
		names = append([]string{name}, names...)
		dentry = parent
	}
	return partial(fmt.Errorf("a path of over %d directories: %w", maxDepth, errTooMuch))
}

// name reads the last component of a dentry's path.
func (v *View) name(ctx context.Context, dentry object) (string, error) {
	size, err := dentry.number(ctx, "d_name.len")
	if err != nil {
		return "", err
	}
	at, err := dentry.number(ctx, "d_name.name")
	if err != nil {
		return "", err
	}
	if size > maxName {
		return "", fmt.Errorf("a name of %d bytes: %w", size, errTooMuch)
	}
	buf := make([]byte, size)
	if err := v.Read(ctx, at, buf); err != nil {
		return "", fmt.Errorf("dentry.d_name: %w", err)
	}
	return string(buf), nil
}

// dname returns the name of a file that is in no directory, like its file system's
// d_dname. It reports false for a file that has a path.
func (v *View) dname(ctx context.Context, dentry object, mountRoot uint64) (string, bool, error) {
	ops, err := dentry.member(ctx, "d_op")
	var null *PointerError
	if errors.As(err, &null) && null.Addr == 0 {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	fn, err := ops.number(ctx, "d_dname")
	if err != nil || fn == 0 {
		return "", false, err
	}
	parent, err := dentry.number(ctx, "d_parent")
	if err != nil {
		return "", false, err
	}
	if parent == dentry.addr && dentry.addr == mountRoot {
		return "", false, nil
	}
	name, err := v.name(ctx, dentry)
	if err != nil {
		return "", true, err
	}
	inode, err := dentry.member(ctx, "d_inode")
	if err != nil {
		return "", true, err
	}
	ino, err := inode.number(ctx, "i_ino")
	if err != nil {
		return "", true, err
	}
	made := "no symbol"
	if sym, _, ok := v.im.Symbols.At(fn); ok {
		made = sym.Name
	}
	switch made {
	case "pipefs_dname":
		return fmt.Sprintf("pipe:[%d]", ino), true, nil
	case "sockfs_dname":
		return fmt.Sprintf("socket:[%d]", ino), true, nil
	case "anon_inodefs_dname":
		return "anon_inode:" + name, true, nil
	case "pidfs_dname":
		return "anon_inode:[pidfd]", true, nil
	case "simple_dname":
		return "/" + name + " (deleted)", true, nil
	case "dmabuffs_dname":
		return "/" + name + ":", true, nil
	case "ns_dname":
		kind, err := v.namespace(ctx, inode)
		return fmt.Sprintf("%s:[%d]", kind, ino), true, err
	}
	return fmt.Sprintf("%s[%d] named by %s", name, ino, made), true, nil
}

// namespace reads the kind of namespace of an inode of nsfs.
func (v *View) namespace(ctx context.Context, inode object) (string, error) {
	private, err := inode.number(ctx, "i_private")
	if err != nil {
		return "", err
	}
	ops, err := v.object("ns_common", private).member(ctx, "ops")
	if err != nil {
		return "", err
	}
	at, err := ops.number(ctx, "name")
	if err != nil {
		return "", err
	}
	return v.text(ctx, at, 32)
}
