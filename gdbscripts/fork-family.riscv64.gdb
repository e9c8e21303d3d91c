# fork-family on riscv64, by hand: Four ways to make a task, and one function
# Generated from its lab.yaml by make generate; "lab debug fork-family" has gdb read lab.py, then this.
python
lab = Lab("fork-family")
lab.task("parent")
lab.task("forked")
lab.task("vforked")
lab.task("thread")
lab.task("cloned")
# Left out: sys_fork: it uses the generic table of system calls, which omits fork; clone replaces it
lab.point("fork_is_clone", "parent", place="sys_clone", entry=True, when="arg.clone_flags == SIGCHLD",
    means="This architecture has no fork call. A clone without flags, which sends SIGCHLD when the child ends, replaces it.")
lab.point("fork", "parent", place="kernel_clone", armed=["sys_fork", "fork_is_clone"],
    means="All four calls reach this function. fork passes no flags, only the signal to send when the child ends.")
lab.point("fork_wakes", "parent", place="wake_up_new_task", armed=["fork"], finds={"forked": "arg.p"},
    means="The new task is complete. The values show which resources it shares with its parent.")
lab.point("fork_starts", "forked", place="ret_from_fork", armed=["fork_wakes"],
    means="The child of fork is at its first instruction.")
# Left out: sys_vfork: its table omits vfork too; clone with flags replaces it
lab.point("vfork_is_clone", "parent", place="sys_clone", armed=["fork_starts"], when="bitand(arg.clone_flags, CLONE_VFORK) != 0",
    means="This architecture has no vfork call. A clone with CLONE_VM and CLONE_VFORK replaces it.")
lab.point("vfork", "parent", place="kernel_clone", armed=["sys_vfork", "vfork_is_clone"],
    means="The child of vfork uses its parent's memory and user stack. The parent sleeps until the child has called exec or ended.")
lab.point("vfork_wakes", "parent", place="wake_up_new_task", armed=["vfork"], finds={"vforked": "arg.p"},
    means="The new task is complete. The values show which resources it shares with its parent.")
lab.point("vfork_starts", "vforked", place="ret_from_fork", armed=["vfork_wakes"],
    means="The child of vfork is at its first instruction, in its parent's memory.")
lab.point("vforked_ends", "vforked", place="do_exit", armed=["vfork_starts"],
    means="The child ends. Its parent continues only after the child has given up the memory, by exec or here on its way to the end.")
lab.point("vfork_returns", "parent", place="kernel_clone", returns="vfork",
    means="kernel_clone returns to the parent of vfork.")
lab.point("clone_thread", "parent", place="sys_clone", armed=["vfork_returns"], when="bitand(arg.clone_flags, CLONE_THREAD) != 0",
    means="A thread library calls clone with flags that share most resources, and passes the thread's own stack.")
lab.point("thread_made", "parent", place="kernel_clone", armed=["clone_thread"],
    means="The low byte of clone's flags is the signal to send when the task ends. A thread library passes 0. With CLONE_THREAD the kernel ignores it; a thread's parent gets no signal.")
lab.point("thread_made_wakes", "parent", place="wake_up_new_task", armed=["thread_made"], finds={"thread": "arg.p"},
    means="The new task is complete. The values show which resources it shares with its parent.")
lab.point("thread_made_starts", "thread", place="ret_from_fork", armed=["thread_made_wakes"],
    means="The thread is at its first instruction. It will return to user space on its own stack.")
lab.point("sys_clone3", "parent", armed=["thread_made_starts"],
    means="clone3 takes a structure, which has room for more flags than clone's argument.")
lab.point("clone3", "parent", place="kernel_clone", armed=["sys_clone3"],
    means="For clone3 the signal is a separate member, and the flags have 64 bits.")
lab.point("clone3_wakes", "parent", place="wake_up_new_task", armed=["clone3"], finds={"cloned": "arg.p"},
    means="The new task is complete. The values show which resources it shares with its parent.")
lab.point("clone3_starts", "cloned", place="ret_from_fork", armed=["clone3_wakes"],
    means="The child of clone3 is at its first instruction.")
lab.ready()
end
