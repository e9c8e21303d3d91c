# exec-life on riscv64, by hand: A program's life
# Generated from its lab.yaml by make generate; "lab debug exec-life" has gdb read lab.py, then this.
python
lab = Lab("exec-life")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The first stage is the fork. Its arguments do not name the program to run.")
lab.point("dup_task_struct", "parent", within="sys_clone", finds={"child": "arg.dst"},
    means="The kernel makes a task_struct for the child, a copy of the parent's.")
lab.point("proc_fork_connector", "parent", within="sys_clone", reads={"pid": "arg.task.pid"},
    means="The child is complete and has a pid. It has the same name as its parent.")
lab.point("wake_up_new_task", "parent", within="sys_clone", reads={"pid": "arg.p.pid"},
    means="The child is about to be put on a run queue.")
lab.point("ret_from_fork", "child",
    means="The child's first instruction. It is still a copy of the shell, with a copy of its memory.")
lab.point("sys_execve", "child", until="begin_new_exec",
    means="The second stage is the exec. The child asks the kernel to execute another program and names its file.")
lab.point("begin_new_exec", "child",
    means="The file exists, may be executed and has a known format. Once this function has computed the new credentials, exec cannot return an error to the old program any more, because the kernel is about to discard it.")
lab.point("proc_exec_connector", "child",
    means="The new program is mapped, and the system call will return to its first instruction.")
lab.point("sys_exit_group", "child",
    means="The new program asks to end. The lab does not watch its other system call, the write.")
lab.point("do_exit", "child",
    means="The process gives back its resources.")
lab.point("do_notify_parent", "child",
    means="The process is a zombie now, and the kernel notifies its parent.")
lab.point("do_task_dead", "child",
    means="The process leaves the CPU for the last time.")
lab.point("sys_wait4", "parent", until="release_task", when="arg.upid <= 0 or arg.upid == proc_fork_connector.read.pid",
    means="The shell waits for its command. The scheduler decides whether it gets here before the child has started or after it has ended.")
lab.point("release_task", "parent", when="arg.p == child",
    means="The wait has found the zombie and releases it. After this its pid is free, and all that the kernel remembers are the times and counters that it has added to those of the parent's ended children.")
lab.point("wait_returns", "parent", place="sys_wait4", returns="sys_wait4", when="ret == proc_fork_connector.read.pid or ret == 0 - 10",
    means="The shell learns the pid and the status, and can show its prompt again.")
lab.point("shell_makes", "any", place="kernel_clone", step=False, armed=["proc_exec_connector"], when="task.tgid == wake_up_new_task.read.pid and bitand(read.flags, CLONE_THREAD) == 0", reads={"flags": "arg.args.flags"},
    means="The command makes a process too.")
lab.point("shell_execs", "any", place="sys_execve", step=False, armed=["shell_makes"],
    means="The process that the command has made executes a program.")
lab.ready()
end
