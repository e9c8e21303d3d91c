# exec-life on riscv64, by hand: A program's life
# Generated from its lab.yaml by make generate; "lab debug exec-life" has gdb read lab.py, then this.
python
lab = Lab("exec-life")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The first stage, the fork. Nothing in it says which program is to run.")
lab.point("dup_task_struct", "parent", finds={"child": "arg.dst"},
    means="A task_struct for the child, a copy of the parent's.")
lab.point("proc_fork_connector", "parent",
    means="The child is whole and has a pid. It is called what its parent is called.")
lab.point("wake_up_new_task", "parent",
    means="The child is put on a run queue.")
lab.point("ret_from_fork", "child",
    means="The child's first instruction. It is still a copy of the shell, with a copy of its memory.")
lab.point("sys_execve", "child",
    means="The second stage. The child asks to become another program, and names its file.")
lab.point("begin_new_exec", "child",
    means="The file is there, may be run and has a known format. From here on exec can not fail back into the old program, for that is about to go.")
lab.point("proc_exec_connector", "child",
    means="The new program is mapped, and the way back from the system call leads to its first instruction.")
lab.point("sys_exit_group", "child",
    means="The new program ends by its own call. This is the only system call of it that the lab watches; the other was the write.")
lab.point("do_exit", "child",
    means="The process takes itself apart.")
lab.point("do_notify_parent", "child",
    means="It is a zombie, and its parent is told.")
lab.point("do_task_dead", "child",
    means="It leaves the CPU for the last time.")
lab.point("sys_wait4", "parent",
    means="The shell waits for its command. Whether it comes here before the child has begun or after it has ended is the scheduler's choice.")
lab.point("release_task", "parent", when="arg.p == child",
    means="The wait has found the zombie and frees it. That is the last that the kernel knows of it.")
lab.point("wait_returns", "parent", place="sys_wait4", returns="sys_wait4",
    means="The shell learns the pid and the status, and can show its prompt again.")
lab.ready()
end
