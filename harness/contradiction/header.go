package contradiction

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/trace"
)

// sorted returns the keys of m in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// kernelHalf reports whether an address is the kernel's.
func kernelHalf(w trace.Word) bool { return int64(w) < 0 }

// headerHolds checks the header.
func (c *checker) headerHolds() {
	h := c.header
	var err error
	if c.arch, err = arch.Lookup(h.Arch); err != nil {
		c.wrong("arch", "%v", err)
		return
	}
	digests := map[string]string{
		"kernel.sha256": h.Kernel.SHA256, "program.sha256": h.Program.SHA256, "machine.initramfs": h.Machine.Initramfs, "plan": h.Plan,
	}
	for _, field := range sorted(digests) {
		if b, err := hex.DecodeString(digests[field]); err != nil || len(b) != 32 {
			c.wrong(field, "%q is no SHA-256", digests[field])
		}
	}
	roles := c.arch.Registers.Roles()
	switch {
	case h.Kernel.Release == "":
		c.wrong("kernel.release", "it is missing")
	case !strings.HasPrefix(h.Kernel.Banner, "Linux version "+h.Kernel.Release+" "):
		c.wrong("kernel.banner", "%q is not of the release %q", h.Kernel.Banner, h.Kernel.Release)
	case h.Program.Name == "":
		c.wrong("program.name", "it is missing")
	case h.Program.Limit <= 0:
		c.wrong("program.limit_ns", "%d is no limit", h.Program.Limit)
	case h.Machine.QEMU == "":
		c.wrong("machine.qemu", "it is missing")
	case h.Machine.CPUs < 1:
		c.wrong("machine.cpus", "a machine of %d processors", h.Machine.CPUs)
	case h.SwitchFrame != c.arch.Stack.SwitchFrame:
		c.wrong("switch_frame", "%d bytes are not what %s pops, %d", h.SwitchFrame, h.Arch, c.arch.Stack.SwitchFrame)
	case !maps.Equal(h.Roles, roles):
		c.wrong("roles", "%v are not the registers of %s, %v", h.Roles, h.Arch, roles)
	case h.Sizes["pt_regs"] <= 0 || h.Sizes["pt_regs"]%8 != 0:
		c.wrong("sizes.pt_regs", "%d is no size of struct pt_regs", h.Sizes["pt_regs"])
	case h.Sizes["stack_top"] < h.Sizes["pt_regs"]:
		c.wrong("sizes.stack_top", "%d bytes do not have room for struct pt_regs, %d", h.Sizes["stack_top"], h.Sizes["pt_regs"])
	}
	c.machineArgs()
	for i, p := range h.Points {
		c.point("points["+strconv.Itoa(i)+"]", p, h.Points[:i])
		c.points[p.Point] = p
	}
	for i, p := range h.Instead {
		c.otherPoint("instead["+strconv.Itoa(i)+"]", p, slices.Concat(h.Points, h.Instead[:i]))
		c.instead[p.Point] = p
	}
}

// machineArgs compares QEMU's arguments with what the header says of the machine.
func (c *checker) machineArgs() {
	m := c.header.Machine
	for i, option := range m.Args {
		value := ""
		if i+1 < len(m.Args) {
			value = m.Args[i+1]
		}
		switch option {
		case "-smp":
			if value != strconv.Itoa(m.CPUs) {
				c.wrong("machine.cpus", "%d is not what QEMU was told, -smp %s", m.CPUs, value)
			}
		case "-seed":
			if value != strconv.FormatUint(uint64(m.Seed), 10) {
				c.wrong("machine.seed", "%d is not what QEMU was told, -seed %s", m.Seed, value)
			}
		}
	}
}

// point checks a point of the header, with those before it.
func (c *checker) point(field string, p trace.Point, before []trace.Point) {
	switch {
	case p.Point == "":
		c.wrong(field+".point", "a point without a name")
	case p.Missing != "":
		if p.Address != 0 {
			c.wrong(field+".address", "%s is missing and has an address", p.Point)
		}
		return
	case p.Symbol == "":
		c.wrong(field+".symbol", "%s has none", p.Point)
	case p.Why == "":
		c.wrong(field+".why", "%s has none", p.Point)
	case p.Address == 0 && p.Why != "where the call of "+p.Symbol+" returns to":
		c.wrong(field+".address", "%s is no return and has none", p.Point)
	case p.Address != 0 && !kernelHalf(p.Address):
		c.wrong(field+".address", "%s is not in the kernel", p.Address)
	}
	known := false
	for _, q := range before {
		known = known || q.Symbol == p.Symbol
		switch {
		case q.Point == p.Point:
			c.wrong(field+".point", "%s is listed twice", p.Point)
		case q.Missing != "" || q.Address == 0 || p.Address == 0 || q.Inlined != p.Inlined:
		case p.Inlined == "" && (q.Symbol == p.Symbol) != (q.Address == p.Address):
			c.wrong(field+".address", "%s (%s) is at %s, and %s (%s) is at %s", p.Point, p.Symbol, p.Address, q.Point, q.Symbol, q.Address)
		case q.Address == p.Address && place(q) != place(p) && !(c.conditional(q.Point) && c.conditional(p.Point)):
			c.wrong(field+".address", "%s and %s are both at %s", q.Point, p.Point, p.Address)
		}
	}
	if p.Address == 0 && !known {
		c.wrong(field+".symbol", "no earlier point is a call of %s", p.Symbol)
	}
}

// conditional reports whether a point says which of the stops at its address are its own.
// Without a plan it is not known, and may be so.
func (c *checker) conditional(point string) bool {
	return c.plan == nil || c.plan.point(point).when != nil
}

// otherPoint checks a point at another way to do what the entry does. The header has no
// such point that the kernel lacks.
func (c *checker) otherPoint(field string, p trace.Point, before []trace.Point) {
	switch {
	case p.Point == "":
		c.wrong(field+".point", "a point without a name")
	case p.Symbol == "":
		c.wrong(field+".symbol", "%s has none", p.Point)
	case p.Why == "":
		c.wrong(field+".why", "%s has none", p.Point)
	case p.Missing != "":
		c.wrong(field+".missing", "%s is in the header and missing", p.Point)
	case !kernelHalf(p.Address):
		c.wrong(field+".address", "%s is not in the kernel", p.Address)
	}
	for _, q := range before {
		switch {
		case q.Point == p.Point:
			c.wrong(field+".point", "%s is listed twice", p.Point)
		case q.Symbol == p.Symbol && q.Address != 0 && q.Inlined == "" && q.Address != p.Address:
			c.wrong(field+".address", "%s (%s) is at %s, and %s is at %s", p.Point, p.Symbol, p.Address, q.Point, q.Address)
		}
	}
}

// place is the logical place of a point in the kernel.
func place(p trace.Point) string {
	if p.Place != "" {
		return p.Place
	}
	return p.Point
}

// fits reports whether a header's points are the plan's. Of the other ways to do what the
// entry does, a header has those that the kernel has.
func (p *Plan) fits(h trace.Header) bool {
	unknown := func(q trace.Point) bool { return p.instead[q.Point] == "" }
	return p != nil && !slices.ContainsFunc(h.Instead, unknown) && slices.EqualFunc(p.points, h.Points, func(a *planned, b trace.Point) bool { return a.Name == b.Point })
}
