// Package calls makes the tree of calls of the blocks that a machine ran: which function
// called which, how often, and how many instructions each took. It starts no guest and
// sees no memory: a [Tracer] gets each block of package blocks, and each stop of the lab.
//
// What a block ends with moves the top of a stack of functions, one for each task:
//
//   - A call pushes its function. A return pops the latest call that returns to where the
//     guest went on, and whatever is above it. The stack pointer is not known and not needed.
//   - A jump to the beginning of another function is a tail call: the function is a child of
//     the one that jumped, and returns for it. A jump into the middle of one goes back to the
//     function that the stack has, and so does one to NAME.cold.
//   - A call through a thunk (__x86_indirect_thunk_*, a static call's trampoline) is one of the
//     function that the thunk jumps to, by the function that called the thunk. A thunk for
//     returns belongs to the function that returns.
//   - An interrupt, an exception and a system call are branches of their own, up to the
//     instruction that returns from them.
//   - __switch_to returns in another task, with another stack. The log does not say in
//     which: a new task begins at the beginning of a function, and the stops of the lab say which
//     task runs. All that no stop tells have one tree, "other tasks".
//   - A return to a function that the stack does not have is one that was called before.
//     If it should have been there, the function is marked as not sure.
//
// The instructions of a block belong to one function, so that the tree has as many as ran.
package calls
