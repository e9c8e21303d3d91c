# first-look on x86_64, by hand: A first look at a running kernel
# Generated from its lab.yaml by make generate; "lab debug first-look" has gdb read lab.py, then this.
python
lab = Lab("first-look")
lab.task("caller")
lab.point("sys_getppid", "caller", entry=True,
    means="The program has asked the kernel for the pid of its parent. The processor has left the program, and the kernel has saved the program's registers.")
lab.point("getppid_returns", "caller", place="sys_getppid", returns="sys_getppid",
    means="The kernel has the answer. It will put it into the saved registers, restore them, and so go back to the program.")
lab.point("sys_write", "caller", when="arg.fd == 1",
    means="The program prints what it learnt. Its text is in its own memory, from which the kernel copies it.")
lab.point("sys_exit_group", "caller", step=False,
    means="The program asks to end.")
lab.ready()
end
