// Package expr is the expression language of labs: the conditions, reads, shown
// values, checks and truths of a lab.yaml. This comment is its reference.
//
// An expression has one grammar and one meaning everywhere. Where its names come
// from differs, and that is an [Env]:
//
//   - a [Recording]: the values that a trace holds. Checks, truths, "show", "lifetime"
//     and "when" use one.
//   - a stopped guest, through the kernel's own types (harness/probe). "reads" and
//     "finds" use it, and what they give is recorded.
//   - the names alone ([Names], [GuestNames]): checking an expression is evaluating it
//     there, where every value is [Unknown].
//
// # Syntax
//
// The syntax is a part of expr-lang's:
//
//	1, 0xff, 1.5, "text", true, false
//	+ - * / %                    of numbers; + also joins texts
//	== != < > <= >=              two numbers or two texts; == and != take anything
//	and or not && || !
//	A ? B : C
//	A contains B, startsWith, endsWith    of texts
//	A ?? B                       B where the kernel has no such member or argument as A names
//	A.name                       a member
//	f(A)                         a function
//
// There are no loops, lists or variables, so the length of an expression bounds what it
// costs. A name is looked up when its value is needed and not before. A value that is
// not there is an error and never a zero, so that nothing holds by accident.
//
// # Values
//
// A value is a number, a text, true or false, or an object. Whole numbers have 64 bits
// and a sign, and they wrap: a kernel address is a negative number, so compare addresses
// for equality and not for order. A / B is a fraction. An object has members. Where a
// number is wanted, a task is the address of its task_struct, a pointer is the address
// that it holds, and a structure or an array inside another one is its own address, as
// in C; other objects are no value by themselves.
//
// # Functions and constants
//
//	bitand(A, B) bitor bitxor bitnand bitnot(A)
//	bitshl(A, N) bitshr bitushr  shifts by N bits; to the right zeros move in
//	abs(A) min(A, ...) max
//	flags(A)                     text: the flags and the signal of clone
//	signal(A) state(A) taskflags(A)    text: a signal, a task's state, task_struct.flags
//	exitcode(A)                  text: an exit_code, such as "exit status 7" or "killed by SIGKILL"
//	hex(A) text(A)               text: a number in hexadecimal, in decimal
//	hex(A, DIGITS)               with at least so many digits: hex(11, 4) is "0x000b"
//	common(A, B) without(A, B)   of two texts that are lists of names, with spaces between
//	                             them: the names of A that B has, or lacks
//	count(A)                     how many names a list has
//
// The constants are the kernel's: CLONE_VM, SIGCHLD, TASK_NEW, EXIT_ZOMBIE, PF_KTHREAD
// and the others of [trace.Constants].
//
// # Names of a lab's variants
//
//	variant.NAME                 the value in the student's task: it replaces the name
//	                             when lab.yaml is read, in every environment
//
// # Names of recorded values
//
//	point symbol address cpu round    of this stop
//	task, parent_task            the running task and, in labs with a "lifetime", its
//	                             parent; members address, pid, tgid, comm
//	arg.NAME                     an argument of the function
//	read.NAME                    a read of the point
//	reg.NAME                     a register
//	pc sp ret link               registers by what they are for
//	POINT.arg.NAME and so on     the same at the stop at another point
//	ROLE                         a task of the lab, with the members of task
//
// Rules judge a whole run, and have these as well:
//
//	hits("POINT")                how often a point was hit
//	calls("FUNCTION"), calls("FUNCTION", "POINT")
//	                             whether a function is on the stack of this stop, or of
//	                             the stop at a point
//	sizes.TYPE switch_frame      sizes, in bytes
//	arch kernel                  texts
//	program.exit program.signal program.output
//	program.panic                the message of the panic that a lab expects, which ended
//	                             the run; "" if none did
//
// and, in a lab with a script for ftrace:
//
//	ftrace.on ftrace.tracer      how ftrace was set up when the program began
//	ftrace.ran                   whether the script ran the program
//	ftrace.failed ftrace.problem    how many of its lines failed, and about the first
//	ftrace.lost                  how many records are missing
//	traced("FUNCTION")           whether set_ftrace_filter had a function, by the name
//	                             that it has on every kernel
//	enabled("EVENT") option("OPTION")    whether an event, an option was set
//	agrees("POINT")              whether ftrace recorded the call at which the first
//	                             stop at a point is, with the stop's stack
//	events("EVENT", PID), events("EVENT", PID, "WORD")
//	                             how many events ftrace recorded in a thread or about
//	                             it, with a word in their text such as "sig=17"
//
// A "when" is evaluated in the middle of a run. It sees the reads of its own point and
// the latest stop of the round at every other point, and not the point, the parent and
// the names of the whole run. It is false when one of the stops or reads that it names
// is missing.
//
// # Names in a stopped guest
//
//	current, ROLE                tasks, as pointers to struct task_struct
//	arg.NAME                     an argument of the function, with the kernel's type
//	reg.NAME pc sp ret link      registers
//	preempt_count                that of this CPU, in which the running task's is
//	current_at                   on x86_64, the address of the per-CPU variable from which
//	                             the kernel reads current; riscv64 has it in tp
//	X.member                     a member of the structure that X is or points to
//	TASK.user.member             the saved user registers of a task: a member of struct
//	                             pt_regs, or pc, sp, ret
//	as(X, "STRUCT")              X as a pointer to that structure
//	u8(A) u16(A) u32(A) u64(A)   memory at the address A
//	str(A)                       the text at the address A, of the kernel or of current
//	symbol(A)                    the function that the address A is in
//	differs(A, B)                the list of the members in which two structures of one
//	                             type differ: for a structure inside, its own name; for
//	                             an anonymous union, the name of its first member
//	pte(X, A)                    the page table entry for the address A in the address space
//	                             X, a task or a struct mm_struct; see below
//	POINT.arg.NAME and so on     what the latest stop of the round at another point
//	                             recorded, as in a "when"
//
// A page table entry is an object with these numbers:
//
//	present                      1 where it maps a page, 0 where not
//	writable user                1 where writing, and user mode, are allowed, else 0
//	accessed dirty               1 where the processor or the kernel has recorded that the
//	                             page was used, or written, else 0
//	frame                        the number of the page frame that is mapped at A, which is
//	                             the physical address divided by 4096
//	direct                       the kernel's own address of the byte at A, as in
//	                             str(pte(child, A).direct)
//	value address size           the entry itself, the address where it is, and for how many
//	                             bytes it is: more than 4096 for a huge page
//
// Where no page is mapped, the entry is the first one on the way through the tables that
// is not present, its bits are 0, and frame and direct are errors.
package expr
