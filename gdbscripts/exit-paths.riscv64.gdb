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
    means="The first child is whole. From here on the lab knows which task it is.")
lab.point("sys_exit_group", "quitter", armed=["quitter_born"],
    means="The first child asks to end, with all its threads. C's exit() comes here in the end, and so does a return from main.")
lab.point("quitter_group_exit", "quitter", place="do_group_exit", armed=["sys_exit_group"],
    means="All threads of the process are told to end. Here both ways meet.")
lab.point("quitter_exit", "quitter", place="do_exit", armed=["sys_exit_group"],
    means="This one task ends. The function never returns.")
lab.point("exit_signals", "quitter", armed=["sys_exit_group"],
    means="The task is marked PF_EXITING. From here on no signal is delivered to it.")
lab.point("exit_mm", "quitter", armed=["sys_exit_group"],
    means="The task gives up its address space. What is left of it runs in the kernel only.")
lab.point("exit_sem", "quitter", armed=["sys_exit_group"],
    means="What it did to semaphores is undone.")
lab.point("exit_files", "quitter", armed=["sys_exit_group"],
    means="Its files are closed, those that no one else has open.")
lab.point("exit_fs", "quitter", armed=["sys_exit_group"],
    means="It lets go of its root and its working directory.")
lab.point("quitter_tells", "quitter", place="do_notify_parent", armed=["sys_exit_group"],
    means="It is a zombie now, and its parent is sent SIGCHLD.")
lab.point("quitter_dead", "quitter", place="do_task_dead", armed=["sys_exit_group"],
    means="The last function that it calls sets TASK_DEAD and calls __schedule, which does not come back. It still stands on its kernel stack, so it can not free that.")
lab.point("quitter_buried", "any", place="finish_task_switch", armed=["quitter_dead"], when="reg.a0 == quitter",
    means="Another task runs, on a stack of its own. It finds that the task before it was dead, and gives back the dead one's kernel stack.")
lab.point("quitter_released", "parent", place="release_task", armed=["quitter_born"], when="arg.p == quitter",
    means="The parent's wait has found the zombie, and takes it off all lists. With several tasks on one CPU this may come before or after the stack is given back.")
lab.point("second_call", "parent", place="sys_clone", armed=["quitter_born"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes the second child.")
lab.point("victim_born", "parent", place="wake_up_new_task", armed=["second_call"], finds={"victim": "arg.p"},
    means="The second child is whole. It will wait without end, and ask for nothing.")
lab.point("sys_kill", "parent", armed=["victim_born"],
    means="The parent sends SIGKILL. That marks a signal as pending and wakes the victim; more the sender can not do.")
lab.point("get_signal", "victim", armed=["sys_kill"],
    means="The victim is on its way back to user space, and looks for signals before it gets there. It finds one that it can neither catch nor ignore.")
lab.point("victim_group_exit", "victim", place="do_group_exit", armed=["sys_kill"],
    means="The same function that an exit_group calls, called for the victim by the delivery of its signal.")
lab.point("victim_exit", "victim", place="do_exit", armed=["sys_kill"],
    means="From here on its way is that of the first child.")
lab.point("victim_dead", "victim", place="do_task_dead", armed=["victim_exit"],
    means="The end, as before.")
lab.point("victim_buried", "any", place="finish_task_switch", armed=["victim_dead"], when="reg.a0 == victim",
    means="And whichever task comes next gives its kernel stack back.")
lab.point("victim_released", "parent", place="release_task", armed=["victim_born"], when="arg.p == victim",
    means="The parent has waited for it as for the other.")
lab.ready()
end
