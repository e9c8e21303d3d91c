# ftrace-process on x86_64, by hand: The kernel's own record
# Generated from its lab.yaml by make generate; "lab debug ftrace-process" has gdb read lab.py, then this.
python
lab = Lab("ftrace-process")
lab.task("parent")
lab.task("quitter")
lab.task("victim")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes the first child. This function is the entry of the clone system call, whose name differs between architectures and kernels.")
lab.point("kernel_clone", "parent", armed=["sys_clone"],
    means="fork, vfork, clone and clone3 all come here.")
lab.point("copy_process", "parent", armed=["sys_clone"],
    means="The new task is made here. Its stack is the creation stack that the lab asks for.")
lab.point("quitter_born", "parent", place="wake_up_new_task", armed=["sys_clone"], finds={"quitter": "arg.p"},
    means="The first child is complete. From here on the lab recognizes its task.")
lab.point("sys_exit_group", "quitter", armed=["quitter_born"],
    means="The first child asks to end.")
lab.point("quitter_group_exit", "quitter", place="do_group_exit", armed=["sys_exit_group"],
    means="All threads of the process have to end. Both ways meet here.")
lab.point("quitter_exit", "quitter", place="do_exit", armed=["sys_exit_group"],
    means="This task ends.")
lab.point("quitter_tells", "quitter", place="do_notify_parent", armed=["sys_exit_group"],
    means="The task is a zombie, and it sends SIGCHLD to its parent.")
lab.point("second_call", "parent", place="sys_clone", armed=["quitter_born"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes the second child.")
lab.point("victim_born", "parent", place="wake_up_new_task", armed=["second_call"], finds={"victim": "arg.p"},
    means="The second child is complete. It will sleep forever.")
lab.point("sys_kill", "parent", armed=["victim_born"],
    means="The parent sends SIGKILL.")
lab.point("get_signal", "victim", armed=["sys_kill"],
    means="The victim is about to return to user space. It finds a signal whose action is to end it.")
lab.point("victim_group_exit", "victim", place="do_group_exit", armed=["sys_kill"],
    means="Here the delivery of the signal calls it, in the victim itself.")
lab.point("victim_exit", "victim", place="do_exit", armed=["sys_kill"],
    means="The second child ends. Its stack is the exit stack that the lab asks for.")
lab.ready()
end
