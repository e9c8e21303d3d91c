package labs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kernellab/harness/probe"
	"kernellab/harness/trace"
)

// arguments are the names of the arguments that conditions of labs use. gdb
// reads no BTF, so that they have to be said here: system calls as
// include/linux/syscalls.h has them, functions as their definitions.
func arguments() map[string][]string {
	return map[string][]string{
		"sys_clone":       {"clone_flags", "newsp"},
		"dup_task_struct": {"dst", "src"}, // arch_dup_task_struct, which stands for it
		"release_task":    {"p"},

		"sched_fork":         {"clone_flags", "p"},
		"wake_up_new_task":   {"p"},
		"do_exit":            {"code"},
		"do_group_exit":      {"exit_code"},
		"do_notify_parent":   {"tsk", "sig"},
		"finish_task_switch": {"prev"}, // the same where the compiler has changed it
		"sys_exit_group":     {"error_code"},
		"kthread_stop":       {"k"},
	}
}

// savedAt are the offsets of members of struct pt_regs, which is ABI
// (PTRACE_GETREGS): arch/x86/include/asm/ptrace.h, arch/riscv/include/asm/ptrace.h.
func savedAt() map[string]int {
	return map[string]int{"di": 14 * 8, "si": 13 * 8, "orig_a0": 35 * 8, "a1": 11 * 8}
}

// condition returns the condition of a point's breakpoint.
func (g *gdbWriter) condition(p Point) (string, error) {
	var all []string
	switch task := g.task(p.Role); {
	case p.Entry && g.comesAgain(p):
		all = append(all, "$lab_"+p.Role+" == 0")
	case p.Entry || p.Role == probe.Any:
	case task.When != nil:
		s, err := g.translate(p, task.When.For(g.arch.Name))
		if err != nil {
			return "", fmt.Errorf("the condition of %s: %w", p.Role, err)
		}
		all = append(all, s)
	default:
		all = append(all, fmt.Sprintf("%s == $lab_%s", g.current(), p.Role))
	}
	if src := p.When.For(g.arch.Name); src != "" {
		s, err := g.translate(p, src)
		if err != nil {
			return "", fmt.Errorf("when: %w", err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return "1", nil
	}
	return strings.Join(all, " && "), nil
}

// translate says an expression of a lab in gdb's language.
func (g *gdbWriter) translate(p Point, src string) (string, error) {
	tree, err := parser.Parse(src)
	if err != nil {
		return "", err
	}
	return g.node(p, tree.Node)
}

func (g *gdbWriter) node(p Point, n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return fmt.Sprintf("%#x", n.Value), nil
	case *ast.IdentifierNode:
		return g.name(n.Value)
	case *ast.MemberNode:
		return g.argument(p, n)
	case *ast.BinaryNode:
		known := []string{"==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "&&", "||", "and", "or"}
		if !slices.Contains(known, n.Operator) {
			return "", fmt.Errorf("%s has no operator of gdb", n.Operator)
		}
		operator := strings.NewReplacer("and", "&&", "or", "||").Replace(n.Operator)
		return g.pair(p, n.Left, operator, n.Right)
	case *ast.BuiltinNode:
		operator := map[string]string{"bitand": "&", "bitor": "|", "bitxor": "^"}[n.Name]
		if operator != "" && len(n.Arguments) == 2 {
			return g.pair(p, n.Arguments[0], operator, n.Arguments[1])
		}
	}
	return "", fmt.Errorf("%s can not be said in gdb", n)
}

func (g *gdbWriter) pair(p Point, left ast.Node, operator string, right ast.Node) (string, error) {
	l, lerr := g.node(p, left)
	r, rerr := g.node(p, right)
	return "(" + l + " " + operator + " " + r + ")", errors.Join(lerr, rerr)
}

func (g *gdbWriter) name(name string) (string, error) {
	if c, ok := trace.Constants()[name]; ok {
		return fmt.Sprintf("%#x", c), nil
	}
	switch {
	case g.task(name).Role != "":
		return "$lab_" + name, nil
	case name == "pc" || name == "sp":
		return "$" + name, nil
	case name == "current":
		return g.current(), nil
	}
	return "", fmt.Errorf("%s can not be said in gdb", name)
}

// argument returns where an argument of the point's function is.
func (g *gdbWriter) argument(p Point, n *ast.MemberNode) (string, error) {
	base, _ := n.Node.(*ast.IdentifierNode)
	member, _ := n.Property.(*ast.StringNode)
	if base == nil || member == nil || base.Value != "arg" && base.Value != "reg" {
		return "", fmt.Errorf("%s can not be said in gdb", n)
	}
	if base.Value == "reg" {
		return "$" + member.Value, nil
	}
	i := slices.Index(arguments()[p.Place], member.Value)
	if i < 0 || i >= len(g.arch.Registers.Args) {
		return "", fmt.Errorf("the place of argument %s of %s is not known: add it to arguments in labs/gdbcond.go", member.Value, p.Place)
	}
	direct := "$" + g.arch.Registers.Args[i]
	if !strings.HasPrefix(p.Place, "sys_") {
		return direct, nil
	}
	// A system call's entry is given either its arguments or, where the kernel
	// wraps system calls, one pointer to the registers that user space came with.
	saved := g.arch.Syscall.Args[i]
	offset, ok := savedAt()[saved]
	if !ok {
		return "", fmt.Errorf("the place of %s in struct pt_regs is not known: add it to savedAt in labs/gdbcond.go", saved)
	}
	return fmt.Sprintf("($wrapped_%s ? *(unsigned long *)((unsigned long)$%s + %d) : (unsigned long)%s)",
		p.Place, g.arch.Registers.Args[0], offset, direct), nil
}

// comesAgain reports whether the entry's task makes the same call once more in the
// same round.
func (g *gdbWriter) comesAgain(entry Point) bool {
	return slices.ContainsFunc(g.lab.Points, func(p Point) bool {
		return !p.Entry && p.Place == entry.Place && p.Role == entry.Role && p.ReturnOf == ""
	})
}

// task returns the task of a role, the zero Task when there is none.
func (g *gdbWriter) task(role string) Task {
	for _, t := range g.lab.Tasks {
		if t.Role == role {
			return t
		}
	}
	return Task{}
}
