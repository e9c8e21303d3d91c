# fork-new on x86_64, by hand: A process is born
# Generated from its lab.yaml by make generate; "lab debug fork-new" has gdb read lab.py, then this.
python
lab = Lab("fork-new")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The system call's entry. fork() is clone() with nothing shared and SIGCHLD as the signal its end sends.")
lab.point("kernel_clone", "parent",
    means="fork, vfork, clone, clone3 and kernel threads all come here; only the arguments differ.")
lab.point("copy_process", "parent",
    means="Makes the new task. It duplicates the caller's task_struct, then copies or shares each resource.")
lab.point("dup_task_struct", "parent", finds={"child": "arg.dst"},
    means="The child's task_struct has been allocated, and the parent's is about to be copied into it. Its own kernel stack is allocated by the same function.")
lab.point("copy_thread", "parent",
    means="Lays out the child's kernel stack, and plants the address where it will start.")
lab.point("wake_up_new_task", "parent",
    means="The child is whole, and is put on a run queue. Nothing of it has run yet.")
lab.point("ret_from_fork", "child", armed=["wake_up_new_task"],
    means="The child's first instruction. No one called it. __switch_to returned here because copy_thread wrote this address for it to return to.")
lab.point("release_task", "parent", step=False, armed=["ret_from_fork"], when="arg.p == child",
    means="The parent's wait has found the child dead and frees it.")
lab.ready()
end
