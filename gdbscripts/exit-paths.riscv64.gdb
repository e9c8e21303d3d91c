# exit-paths on riscv64, by hand: Two ways to die
# Generated from its lab.yaml by make generate; "lab debug exit-paths" has gdb read lab.py, then this.
python
lab = Lab("exit-paths")
lab.task("parent")
lab.task("quitter")
lab.task("victim")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes the first child.")
lab.point("quitter_born", "parent", place="wake_up_new_task", armed=["sys_clone"], finds={"quitter": "arg.p"},
    means="The first child is complete. From here on the lab recognizes its task.")
lab.point("sys_exit_group", "quitter", armed=["quitter_born"],
    means="The first child asks to end, with all its threads. In C, exit() and a return from main make this system call too.")
lab.point("quitter_group_exit", "quitter", place="do_group_exit", armed=["quitter_born"],
    means="All threads of the process have to end. Both ways meet here.")
lab.point("quitter_exit", "quitter", place="do_exit", armed=["quitter_born"],
    means="This task ends. The function never returns.")
lab.point("exit_signals", "quitter", armed=["quitter_born"],
    means="This function sets PF_EXITING. From then on no signal chooses this task; one to its process goes to another thread.")
lab.point("exit_mm", "quitter", armed=["quitter_born"],
    means="The task gives up its address space. From here on it can run only in the kernel.")
lab.point("exit_sem", "quitter", armed=["quitter_born"],
    means="The kernel undoes the task's semaphore operations.")
lab.point("exit_files", "quitter", armed=["quitter_born"],
    means="The task drops its table of files. Files that no other process has open are closed.")
lab.point("exit_fs", "quitter", armed=["quitter_born"],
    means="The task drops its root and working directories.")
lab.point("quitter_tells", "quitter", place="do_notify_parent", armed=["quitter_born"],
    means="The task is a zombie now, and it sends SIGCHLD to its parent.")
lab.point("quitter_dead", "quitter", place="do_task_dead", armed=["quitter_born"],
    means="The task's last function sets TASK_DEAD and calls __schedule, which does not return. The task still uses its kernel stack, so it cannot free it.")
lab.point("quitter_buried", "any", place="finish_task_switch", armed=["quitter_dead"], when="reg.a0 == quitter",
    means="Another task runs, on its own stack. It finds that the previous task is dead, and frees the dead task's kernel stack. It may have the dead child's name, if it is the parent or a thread of Go's runtime.")
lab.point("quitter_released", "parent", place="release_task", armed=["quitter_born"], when="arg.p == quitter",
    means="The parent's wait has found the zombie and removes it from all lists. This may happen before or after its stack is freed.")
lab.point("second_call", "parent", place="sys_clone", armed=["quitter_born"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes the second child.")
lab.point("victim_born", "parent", place="wake_up_new_task", armed=["second_call"], finds={"victim": "arg.p"}, reads={"pid": "arg.p.pid"},
    means="The second child is complete. It will sleep forever.")
lab.point("sys_kill", "parent", armed=["victim_born"], when="(arg.pid <= 0 or arg.pid == victim_born.read.pid) and arg.sig != 0 and arg.sig != SIGCHLD and arg.sig != SIGURG and arg.sig != SIGWINCH and arg.sig != SIGSTOP and arg.sig != SIGTSTP and arg.sig != SIGTTIN and arg.sig != SIGTTOU and arg.sig != SIGCONT",
    means="The parent sends SIGKILL. This marks the signal as pending, notes that the process is to end, and wakes the victim. The sender does nothing else to it.")
lab.point("get_signal", "victim", armed=["sys_kill"],
    means="The victim is about to return to user space and checks for signals first. It finds one whose action is to end it.")
lab.point("victim_group_exit", "victim", place="do_group_exit", armed=["sys_kill"],
    means="exit_group calls the same function. Here the delivery of the signal calls it, in the victim itself.")
lab.point("victim_exit", "victim", place="do_exit", armed=["sys_kill"],
    means="From here on the second child takes the same steps as the first.")
lab.point("victim_dead", "victim", place="do_task_dead", armed=["victim_exit"],
    means="The second child sets TASK_DEAD and leaves the CPU for the last time.")
lab.point("victim_buried", "any", place="finish_task_switch", armed=["victim_dead"], when="reg.a0 == victim",
    means="Whichever task runs next frees the second child's kernel stack.")
lab.point("victim_released", "parent", place="release_task", armed=["victim_born"], when="arg.p == victim",
    means="The parent's wait has found the second child and releases it.")
lab.ready()
end
