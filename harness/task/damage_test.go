package task_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/harness/task"
)

// memory is a made-up guest: pages of memory, and a count of what was read.
type memory struct {
	im    *kernel.Image
	pages map[uint64][]byte
	reads int
}

var errFault = errors.New("E14")

func (m *memory) ReadMemory(_ context.Context, addr uint64, buf []byte) error {
	m.reads++
	for i := range buf {
		p, ok := m.pages[(addr+uint64(i))&^0xfff]
		if !ok {
			return errFault
		}
		buf[i] = p[(addr+uint64(i))&0xfff]
	}
	return nil
}

func (m *memory) ReadRegister(context.Context, string) (uint64, error) { return 0, errFault }

func (m *memory) WriteRegister(context.Context, string, uint64) error { return errFault }

func (m *memory) write(addr uint64, data []byte) {
	for i, b := range data {
		base := (addr + uint64(i)) &^ 0xfff
		if m.pages[base] == nil {
			m.pages[base] = make([]byte, 4096)
		}
		m.pages[base][(addr+uint64(i))&0xfff] = b
	}
}

func (m *memory) word(addr, v uint64) { m.write(addr, binary.LittleEndian.AppendUint64(nil, v)) }

// set writes a member.
func (m *memory) set(t testing.TB, base uint64, typ, member string, v uint64) {
	t.Helper()
	f, err := m.im.Field(typ, member)
	if err != nil {
		t.Fatal(err)
	}
	m.write(base+uint64(f.Offset), binary.LittleEndian.AppendUint64(nil, v)[:min(8, f.Size)])
}

// list joins list heads in a circle.
func (m *memory) list(heads ...uint64) {
	for i, h := range heads {
		next := heads[(i+1)%len(heads)]
		m.word(h, next)
		m.word(next+8, h)
	}
}

// guest is a small world: the idle task and a few others.
type guestMemory struct {
	*memory
	a     arch.Arch
	tasks []uint64
}

const (
	tasksAt   = 0xffff888000100000
	signalsAt = 0xffff888000200000
	stacksAt  = 0xffffc90000100000
	filesAt   = 0xffff888000300000
	mmAt      = 0xffff888000400000
)

func newGuest(t testing.TB, a arch.Arch, im *kernel.Image) *guestMemory {
	t.Helper()
	g := &guestMemory{memory: &memory{im: im, pages: map[uint64][]byte{}}, a: a}
	idle, err := im.Symbols.Lookup("init_task")
	if err != nil {
		t.Fatal(err)
	}
	offset := func(typ, member string) uint64 {
		f, err := im.Field(typ, member)
		if err != nil {
			t.Fatal(err)
		}
		return uint64(f.Offset)
	}
	const count = 8
	var all, children []uint64
	for n := range uint64(count) {
		addr := tasksAt + n<<14
		if n == 0 {
			addr = idle.Addr
		}
		g.tasks = append(g.tasks, addr)
		g.write(addr, make([]byte, 16384))
		signal := signalsAt + n<<13
		g.write(signal, make([]byte, 8192))
		g.set(t, addr, "task_struct", "pid", n)
		g.set(t, addr, "task_struct", "tgid", n)
		g.write(addr+offset("task_struct", "comm"), fmt.Appendf(nil, "task %d\x00", n))
		for _, m := range []string{"real_parent", "parent"} {
			g.set(t, addr, "task_struct", m, idle.Addr)
		}
		g.set(t, addr, "task_struct", "group_leader", addr)
		g.set(t, addr, "task_struct", "signal", signal)
		stack := stacksAt + n<<16
		g.write(stack, make([]byte, 16384))
		g.set(t, addr, "task_struct", "stack", stack)
		g.set(t, addr, "task_struct", "stack_vm_area", filesAt+0x8000)
		g.set(t, addr, "task_struct", "thread.sp", stack+0x3000)
		g.set(t, addr, "task_struct", "files", filesAt)
		g.set(t, addr, "task_struct", "mm", mmAt)
		g.list(signal+offset("signal_struct", "thread_head"), addr+offset("task_struct", "thread_node"))
		if own := addr + offset("task_struct", "children"); n > 0 {
			g.list(own)
			children = append(children, addr+offset("task_struct", "sibling"))
		} else {
			children = append(children, own)
		}
		all = append(all, addr+offset("task_struct", "tasks"))
	}
	g.list(all...)
	g.list(children...)
	g.write(filesAt, make([]byte, 0x10000))
	g.write(mmAt, make([]byte, 0x4000))
	g.set(t, filesAt+0x8000, "vm_struct", "nr_pages", 4)
	g.set(t, filesAt, "files_struct", "fdt", filesAt+0x1000)
	g.set(t, filesAt+0x1000, "fdtable", "max_fds", 256)
	for i, m := range []string{"open_fds", "close_on_exec", "fd"} {
		g.set(t, filesAt+0x1000, "fdtable", m, filesAt+0x2000+uint64(i)<<12)
	}
	g.set(t, mmAt, "mm_struct", "arg_start", 0x1000)
	g.set(t, mmAt, "mm_struct", "arg_end", 0x3000)
	return g
}

// lookAtAll reads everything there is, as lab ps, task and stack do.
func (g *guestMemory) lookAtAll(t testing.TB) (leaders []uint64, infos []*task.Info, problems string) {
	t.Helper()
	ctx := t.Context()
	g.reads = 0
	r, err := task.NewReader(g, g.im, g.a)
	if err != nil {
		t.Fatal(err)
	}
	v := r.View()
	leaders, err = v.Processes(ctx)
	problems = fmt.Sprint(err)
	for _, addr := range append(leaders, g.tasks...) {
		i, err := v.Inspect(ctx, addr, nil)
		if err != nil {
			problems += "; " + err.Error()
			continue
		}
		infos = append(infos, i)
		frames := v.Backtrace(ctx, addr, nil)
		if len(frames) == 0 || len(frames) > 130 {
			t.Errorf("a backtrace of %d frames", len(frames))
		}
		problems += fmt.Sprintf("; %v %v", i.Unread, frames[len(frames)-1])
	}
	const most = 5000
	if g.reads > most {
		t.Errorf("%d reads of the guest, want at most %d", g.reads, most)
	}
	return leaders, infos, problems
}

func eachImage(t *testing.T, test func(t *testing.T, a arch.Arch, im *kernel.Image)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			paths := kerneltest.Images(t, a.Name)
			im, err := kernel.Open(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			test(t, a, im)
		})
	}
}

// TestDamage checks that damaged memory gives an end, what is sound, and a mark.
func TestDamage(t *testing.T) {
	eachImage(t, func(t *testing.T, a arch.Arch, im *kernel.Image) {
		tasks, err := im.Field("task_struct", "tasks")
		if err != nil {
			t.Fatal(err)
		}
		node := func(g *guestMemory, n int) uint64 { return g.tasks[n] + uint64(tasks.Offset) }
		for _, tt := range []struct {
			name   string
			damage func(g *guestMemory)
			found  int // processes before the damage
			want   string
		}{
			{"none", func(*guestMemory) {}, 8, "<nil>"},
			{"a list that loops", func(g *guestMemory) { g.word(node(g, 5), node(g, 2)) }, 6, "does not point back"},
			{"a list that loops both ways", func(g *guestMemory) {
				g.word(node(g, 5), node(g, 2))
				g.word(node(g, 2)+8, node(g, 5))
			}, 2, "does not point back"},
			{"a wild pointer", func(g *guestMemory) { g.word(node(g, 3), 0xffff8880dead0000) }, 4, "E14"},
			{"a pointer to user memory", func(g *guestMemory) { g.word(node(g, 3), 0x1000) }, 4, "wild pointer"},
			{"NULL", func(g *guestMemory) { g.word(node(g, 3), 0) }, 4, "is NULL"},
			{"a freed task", func(g *guestMemory) {
				g.write(g.tasks[4], []byte(strings.Repeat("\x6b", 16384)))
			}, 4, "does not point back"},
			{"a task of garbage in the list", func(g *guestMemory) {
				g.write(g.tasks[4]+uint64(tasks.Offset)+16, []byte(strings.Repeat("\xa5", 2048)))
			}, 8, "no task"},
			{"a stack of no size", func(g *guestMemory) { g.set(t, filesAt+0x8000, "vm_struct", "nr_pages", 1<<20) }, 8, "a kernel stack cannot have"},
			{"endless files", func(g *guestMemory) {
				g.set(t, filesAt+0x1000, "fdtable", "max_fds", 1<<31-1)
				g.write(filesAt+0x2000, []byte(strings.Repeat("\xff", 0x3000)))
			}, 8, "the table is damaged"},
			{"endless arguments", func(g *guestMemory) { g.set(t, mmAt, "mm_struct", "arg_end", 1<<46) }, 8, "more than possible"},
			{"no page tables", func(g *guestMemory) { g.set(t, mmAt, "mm_struct", "pgd", 0xffff8880dead0000) }, 8, "args"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				g := newGuest(t, a, im)
				tt.damage(g)
				leaders, _, problems := g.lookAtAll(t)
				if len(leaders) != tt.found {
					t.Errorf("%d processes found, want %d", len(leaders), tt.found)
				}
				if !strings.Contains(problems, tt.want) {
					t.Errorf("nothing says %q: %.2000s", tt.want, problems)
				}
			})
		}
	})
}

// FuzzDamage writes words over the guest's memory: nothing may panic or go on
// without end. A step of the script is a place (4 bytes) and a kind of value.
func FuzzDamage(f *testing.F) {
	a := arch.All()[0]
	paths := kerneltest.Images(f, a.Name)
	im, err := kernel.Open(paths[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte(strings.Repeat("\x01\x10\x88\x00\x03", 40)))
	f.Fuzz(func(t *testing.T, script []byte) {
		g := newGuest(t, a, im)
		g.damage(script)
		g.lookAtAll(t)
	})
}

// damage follows a script.
func (g *guestMemory) damage(script []byte) {
	regions := []struct{ base, size uint64 }{
		{g.tasks[0], 16384}, {tasksAt, 8 << 14}, {signalsAt, 8 << 13}, {stacksAt, 8 << 16}, {filesAt, 0x10000}, {mmAt, 0x4000},
	}
	for ; len(script) >= 5; script = script[5:] {
		where := regions[int(script[0])%len(regions)]
		at := where.base + uint64(binary.LittleEndian.Uint32(script))>>8*8%where.size
		if g.pages[at&^0xfff] == nil {
			continue
		}
		kind, n := script[4]&7, uint64(script[4]>>3)
		values := [8]uint64{0, at, g.tasks[n%8], 0x6b6b6b6b6b6b6b6b, ^uint64(0), where.base + n*8, n, 0xffff8880dead0000 + n}
		g.word(at, values[kind])
	}
}

// TestRandomDamage follows scripts that a generator made, on both architectures.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	eachImage(t, func(t *testing.T, a arch.Arch, im *kernel.Image) {
		seed := uint64(1)
		random := func() byte {
			seed = seed*6364136223846793005 + 1442695040888963407
			return byte(seed >> 56)
		}
		for round := range 100 {
			script := make([]byte, 5*(1+round*8))
			for i := range script {
				script[i] = random()
			}
			g := newGuest(t, a, im)
			g.damage(script)
			g.lookAtAll(t)
		}
	})
}
