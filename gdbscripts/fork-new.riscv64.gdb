# fork-new on riscv64, by hand: A process is born
# Generated from its lab.yaml by make generate; "lab debug fork-new" has gdb read lab.py, then this.
python
lab = Lab("fork-new")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The system call's entry. fork() is clone() without a flag that asks to share something; SIGCHLD is the signal that the parent gets when the child ends.")
lab.point("kernel_clone", "parent", within="sys_clone",
    means="fork, vfork, clone, clone3 and kernel_thread all call this function; only the arguments differ.")
lab.point("copy_process", "parent", within="sys_clone",
    means="This function makes every new task of the kernel. It duplicates the caller's task_struct, then copies or shares each resource.")
lab.point("dup_task_struct", "parent", within="sys_clone", finds={"child": "arg.dst"},
    means="The child's task_struct has been allocated, and the parent's is about to be copied into it. dup_task_struct allocates the child's kernel stack as well.")
lab.point("copy_thread", "parent", within="sys_clone",
    means="This function sets up the child's kernel stack and stores the address where the child will start.")
lab.point("pid_vnr", "parent", within="sys_clone",
    means="kernel_clone looks up the number that the child's pid has in the parent's pid namespace. It does so before the child may run, because a child that has run may be gone already. This number is what the call returns in the parent.")
lab.point("wake_up_new_task", "parent", within="sys_clone",
    means="The child is complete and is about to be put on a run queue. It has not run yet.")
lab.point("clone_returns", "parent", place="sys_clone", returns="sys_clone",
    means="The call returns in the parent. In the child nothing returns from sys_clone, because the child never called it.")
lab.point("ret_from_fork", "child", armed=["wake_up_new_task"],
    means="The child's first instruction. Nothing called it. The context switch returned here because copy_thread had stored this address as the return address.")
lab.point("release_task", "parent", step=False, armed=["ret_from_fork"], when="arg.p == child",
    means="The parent's wait has found that the child is dead, and releases it.")
lab.ready()
end
