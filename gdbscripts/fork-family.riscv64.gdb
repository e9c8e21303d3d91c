# fork-family on riscv64, by hand: Four ways to make a task, and one
# Generated from its lab.yaml by make generate; "lab debug fork-family" has gdb read lab.py, then this.
python
lab = Lab("fork-family")
lab.task("parent")
lab.task("forked")
lab.task("vforked")
lab.task("thread")
lab.task("cloned")
# Left out: sys_fork: its table of system calls, the generic one, leaves out fork, which is clone there
lab.point("fork_is_clone", "parent", place="sys_clone", entry=True, when="arg.clone_flags == SIGCHLD",
    means="Where there is no fork, it is clone with nothing shared and SIGCHLD as the signal of its end.")
lab.point("fork", "parent", place="kernel_clone", armed=["sys_fork", "fork_is_clone"],
    means="All ways meet here. fork asks for nothing but a signal at the end.")
lab.point("fork_wakes", "parent", place="wake_up_new_task", armed=["fork"], finds={"forked": "arg.p"},
    means="The new task is whole. Here is what it shares with its parent.")
lab.point("fork_starts", "forked", place="ret_from_fork", armed=["fork_wakes"],
    means="The child of fork, at its first instruction.")
# Left out: sys_vfork: its table leaves out vfork too, which is clone with flags there
lab.point("vfork_is_clone", "parent", place="sys_clone", armed=["fork_starts"], when="bitand(arg.clone_flags, CLONE_VFORK) != 0",
    means="Where there is no vfork, it is clone with CLONE_VM and CLONE_VFORK.")
lab.point("vfork", "parent", place="kernel_clone", armed=["sys_vfork", "vfork_is_clone"],
    means="vfork lends the child its memory, and its stack, and sleeps until the child has called exec or ended.")
lab.point("vfork_wakes", "parent", place="wake_up_new_task", armed=["vfork"], finds={"vforked": "arg.p"},
    means="The new task is whole. Here is what it shares with its parent.")
lab.point("vfork_starts", "vforked", place="ret_from_fork", armed=["vfork_wakes"],
    means="The child of vfork, in the memory of its parent.")
lab.point("vforked_ends", "vforked", place="do_exit", armed=["vfork_starts"],
    means="The child ends. Not before that, or an exec, does its parent go on.")
lab.point("vfork_returns", "parent", place="kernel_clone", returns="vfork",
    means="kernel_clone returns to the parent of vfork.")
lab.point("clone_thread", "parent", place="sys_clone", armed=["vfork_returns"], when="bitand(arg.clone_flags, CLONE_THREAD) != 0",
    means="A thread is made by clone with everything shared and a stack of its own.")
lab.point("thread_made", "parent", place="kernel_clone", armed=["clone_thread"],
    means="The low byte of flags, the signal of the end, is 0 for a thread, whose end nobody waits for.")
lab.point("thread_made_wakes", "parent", place="wake_up_new_task", armed=["thread_made"], finds={"thread": "arg.p"},
    means="The new task is whole. Here is what it shares with its parent.")
lab.point("thread_made_starts", "thread", place="ret_from_fork", armed=["thread_made_wakes"],
    means="The thread, on the stack that it was given.")
lab.point("sys_clone3", "parent", armed=["thread_made_starts"],
    means="clone3 takes a structure, which has room for more flags than clone's one word.")
lab.point("clone3", "parent", place="kernel_clone", armed=["sys_clone3"],
    means="The signal of the end has a member of its own now, and flags have 64 bits.")
lab.point("clone3_wakes", "parent", place="wake_up_new_task", armed=["clone3"], finds={"cloned": "arg.p"},
    means="The new task is whole. Here is what it shares with its parent.")
lab.point("clone3_starts", "cloned", place="ret_from_fork", armed=["clone3_wakes"],
    means="The child of clone3.")
lab.ready()
end
