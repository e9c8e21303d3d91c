# init-panic on riscv64, by hand: The first process dies
# Generated from its lab.yaml by make generate; "lab debug init-panic" has gdb read lab.py, then this.
python
lab = Lab("init-panic", init=True)
lab.task("init")
lab.point("sys_exit_group", "init", entry=True,
    means="The first process asks to end, with all its threads. In C, exit() and a return from main make this system call too.")
lab.point("do_group_exit", "init",
    means="If the process has other threads, each of them is sent SIGKILL. Until here nothing distinguishes the first process from any other.")
lab.point("do_exit", "any", armed=["sys_exit_group"], until="panic", when="task.tgid == 1",
    means="A thread of the first process exits. The count has all threads that have not left it.")
lab.point("exit_signals", "any", armed=["sys_exit_group"], until="panic", when="task.tgid == 1",
    means="This function marks the thread PF_EXITING, as every task that exits. Then do_exit takes the thread out of the count.")
lab.point("panic", "any", armed=["sys_exit_group"], when="task.tgid == 1",
    means="The count has become 0, and the process is number 1. The kernel prints the message and the stack on its console, and goes no further.")
lab.ready()
end
