// Package initramfs builds the archives that guests boot from, with u-root: the
// guest's agent, a shell with a few commands and, for some guests, programs.
//
// An archive is in the format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst. Its sources are embedded
// in lab, so nothing depends on a checkout.
package initramfs

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"github.com/u-root/mkuimage/cpio"
	"github.com/u-root/uio/ulog"

	"kernellab/images"
	"kernellab/images/gotool"
	"kernellab/images/guest"
	"kernellab/internal/intact"
	"kernellab/internal/regular"
)

// module is the module that the agent is built in. It names the u-root that the
// commands come from, with the versions of the project's own go.mod.
//
//go:embed uroot/go.mod.txt uroot/go.sum.txt
var module embed.FS

// file is a source that the archive is built from.
type file struct {
	name    string // below the project's root
	content []byte
}

// files returns what is built: the agent, and the module around it.
func files() ([]file, error) {
	var all []file
	for _, tree := range []struct {
		fs   fs.FS
		name func(string) string
	}{
		{guest.Sources, func(name string) string { return path.Join("images/guest", name) }},
		{module, func(name string) string { return strings.TrimSuffix(path.Base(name), ".txt") }},
	} {
		err := fs.WalkDir(tree.fs, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
				return err
			}
			b, err := fs.ReadFile(tree.fs, name)
			all = append(all, file{tree.name(name), b})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

const (
	part = "initramfs" // of the cache

	maxArchive = 1 << 30 // of a program or an archive, in bytes

	// baseFormat changes when the same sources make another archive.
	baseFormat = "base 1"

	// shellTag builds gosh with the smaller of its two line editors.
	shellTag = "goshliner"

	urootCommands = "github.com/u-root/u-root/cmds/core/"
)

// commands are the u-root commands of the guest's shell.
var commands = [...]string{
	"cat", "dmesg", "echo", "gosh", "grep", "head", "id", "kill", "ls", "mount",
	"poweroff", "ps", "pwd", "shutdown", "sleep", "tail", "uname", "wc",
}

// Base returns the path of the archive that every guest of an architecture
// boots: the agent, u-root's shell and a few of its commands. The first build
// takes half a minute.
func Base(ctx context.Context, c *images.Cache, goarch string, p images.Progress) (string, error) {
	path, err := base(ctx, c, goarch, p)
	if err != nil {
		return "", fmt.Errorf("build the initramfs for %s: %w", goarch, err)
	}
	return path, nil
}

func base(ctx context.Context, c *images.Cache, goarch string, p images.Progress) (string, error) {
	if err := gotool.CheckArch(goarch); err != nil {
		return "", err
	}
	work, release, err := c.TempDir(ctx, "initramfs")
	if err != nil {
		return "", err
	}
	defer release()
	src := filepath.Join(work, "src")
	sources, err := files()
	if err != nil {
		return "", err
	}
	if err := stage(src, sources); err != nil {
		return "", err
	}
	tool, err := gotool.Find(ctx, src)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("base-%s-%s.cpio", goarch, baseKey(tool, goarch, sources))
	return c.Obtain(ctx, part, name, 0o600, func(w io.Writer) error {
		records, err := build(ctx, tool, work, src, goarch, p)
		if err != nil {
			return err
		}
		return writeCPIO(w, records)
	})
}

// build builds the agent and u-root's commands in the work folder, and returns the
// archive's files.
func build(ctx context.Context, tool gotool.Tool, work, src, goarch string, p images.Progress) ([]cpio.Record, error) {
	what := "building the initramfs for " + goarch
	p.Report(what+": the agent", 0, 0)
	agent := filepath.Join(work, "agent")
	if err := tool.Build(ctx, src, "./images/guest/agent", agent, goarch); err != nil {
		return nil, fmt.Errorf("the agent: %w", err)
	}
	p.Report(what+": the sources of u-root's commands", 0, 0)
	gen := filepath.Join(work, "bb")
	if err := generate(tool, src, gen, goarch); err != nil {
		return nil, fmt.Errorf("u-root's commands: %w; their sources come from the Go module proxy the first time, so check the network and GOPROXY", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.Report(what+": u-root's commands", 0, 0)
	box := filepath.Join(work, "bb.bin")
	if err := tool.Build(ctx, filepath.Join(gen, "src/bb.u-root.com/bb"), ".", box, goarch, "GO111MODULE=off", "GOFLAGS=-tags="+shellTag, "GOPATH="+gen); err != nil {
		return nil, fmt.Errorf("u-root's commands: %w", err)
	}
	return baseRecords(agent, box)
}

// stage writes the sources of the agent as a module of their own.
func stage(dir string, sources []file) error {
	for _, f := range sources {
		to := filepath.Join(dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, f.content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// baseKey hashes everything that the base archive depends on.
func baseKey(tool gotool.Tool, goarch string, sources []file) string {
	h := sha256.New()
	fmt.Fprintln(h, baseFormat, tool.Version, goarch, gotool.Overrides, gotool.Reproducible, commands, shellTag)
	for _, f := range sources {
		gotool.HashFile(h, f.name, f.content)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// gobusyboxEnv guards the process's environment while gobusybox runs the go
// command, which takes its settings from there and from nowhere else.
var gobusyboxEnv sync.Mutex

// generate rewrites u-root's commands into the sources of one program. The
// compilation, which takes long, is left to the caller, who can cancel it.
func generate(tool gotool.Tool, src, gen, goarch string) error {
	gobusyboxEnv.Lock()
	defer gobusyboxEnv.Unlock()
	for _, kv := range gotool.Overrides {
		name, value, _ := strings.Cut(kv, "=")
		old, had := os.LookupEnv(name)
		os.Setenv(name, value)
		defer func() {
			if had {
				os.Setenv(name, old)
			} else {
				os.Unsetenv(name)
			}
		}()
	}
	env := golang.Default(
		golang.WithGOROOT(tool.Root),
		golang.WithGOOS("linux"),
		golang.WithGOARCH(goarch),
		golang.WithGOPATH(os.Getenv("GOPATH")),
		golang.WithGO111MODULE("on"),
		golang.WithBuildTag(shellTag),
		golang.WithWorkingDir(src),
		golang.DisableCGO(),
	)
	var pkgs []string
	for _, name := range commands {
		pkgs = append(pkgs, urootCommands+name)
	}
	return bb.BuildBusybox(ulog.Null, &bb.Opts{
		Env:          env,
		LookupEnv:    &findpkg.Env{},
		GenSrcDir:    gen,
		CommandPaths: pkgs,
		GenerateOnly: true,
	})
}

// baseRecords lists the files of the base archive.
func baseRecords(agent, box string) ([]cpio.Record, error) {
	a, err := regular.ReadFile(agent, maxArchive)
	if err != nil {
		return nil, err
	}
	b, err := regular.ReadFile(box, maxArchive)
	if err != nil {
		return nil, err
	}
	var rs []cpio.Record
	for _, dir := range []string{"bin", "bbin", "dev", "etc", "home", "proc", "root", "sys", "var"} {
		rs = append(rs, cpio.Directory(dir, 0o755))
	}
	rs = append(rs,
		cpio.Directory("tmp", 0o1777),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.StaticFile("etc/group", "root:x:0:\nstudent:x:1000:\n", 0o644),
		cpio.StaticFile("etc/passwd", "root:x:0:0::/root:/bin/sh\nstudent:x:1000:1000::/tmp:/bin/sh\n", 0o644),
		cpio.StaticFile("init", string(a), 0o755),
		cpio.StaticFile("bbin/bb", string(b), 0o755),
		cpio.Symlink("bin/sh", "/bbin/gosh"),
	)
	for _, name := range commands {
		rs = append(rs, cpio.Symlink("bbin/"+name, "bb"))
	}
	return rs, nil
}

// writeCPIO writes an archive that depends on nothing but the records, padded to
// 512 bytes so that another can follow it.
func writeCPIO(w io.Writer, records []cpio.Record) error {
	sort.Slice(records, func(i, j int) bool { return records[i].Name < records[j].Name })
	cpio.MakeAllReproducible(records)
	n := &counter{w: w}
	cw := cpio.Newc.Writer(n)
	for _, r := range records {
		if err := cw.WriteRecord(r); err != nil {
			return fmt.Errorf("write %s: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(cw); err != nil {
		return err
	}
	_, err := n.Write(make([]byte, -n.n&511))
	return err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// With returns the path of the base archive with programs added to it, each
// as /bin/<name>. The kernel unpacks archives that follow one another as if they
// were one, so the base is not built again for it.
func With(ctx context.Context, c *images.Cache, goarch string, programs map[string]string, p images.Progress) (string, error) {
	base, err := Base(ctx, c, goarch, p)
	if err != nil || len(programs) == 0 {
		return base, err
	}
	path, err := appended(ctx, c, base, programs)
	if err != nil {
		return "", fmt.Errorf("add programs to the initramfs: %w", err)
	}
	return path, nil
}

func appended(ctx context.Context, c *images.Cache, base string, programs map[string]string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, baseFormat, filepath.Base(base))
	var names []string
	for name := range programs {
		names = append(names, name)
	}
	sort.Strings(names)
	var rs []cpio.Record
	for _, name := range names {
		if name == "" || name != path.Base(name) || name == "." || name == ".." {
			return "", fmt.Errorf("program name %q, want one without slashes", name)
		}
		b, err := regular.ReadFile(programs[name], maxArchive)
		if err != nil {
			return "", err
		}
		gotool.HashFile(h, name, b)
		rs = append(rs, cpio.StaticRecord(b, cpio.Info{Name: "bin/" + name, Mode: cpio.S_IFREG | 0o755}))
	}
	return c.Obtain(ctx, part, hex.EncodeToString(h.Sum(nil)[:16])+".cpio", 0o600, func(w io.Writer) error {
		b, err := intact.Read(base)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return writeCPIO(w, rs)
	})
}
