# copy-process on riscv64, by hand: What copy_process copies
# Generated from its lab.yaml by make generate; "lab debug copy-process" has gdb read lab.py, then this.
python
lab = Lab("copy-process")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The first call is a plain fork, so the child gets a copy of everything.")
lab.point("copy_process", "parent", within="sys_clone",
    means="This function makes every new task of the kernel. It checks the flags first.")
lab.point("alloc_task_struct", "parent", place="kmem_cache_alloc_node", armed=["copy_process"], when="read.cache == \"task_struct\"", reads={"cache": "str(arg.s.name)"},
    means="A slab cache hands out objects of one size. This one is for task_structs. dup_task_struct takes an object from it.")
lab.point("got_task_struct", "parent", place="kmem_cache_alloc_node", returns="alloc_task_struct",
    means="The slab cache has returned an object. It still has the contents that it had when it was last freed.")
lab.point("alloc_stack", "parent", place="__vmalloc_node_range", step=False, armed=["copy_process"], until="copy_creds", when="arg.size == 4 * 4096",
    means="The child's kernel stack. The CPU has no stack of a dead task to give, so the kernel takes four page frames and maps them.")
lab.point("dup_task_struct", "parent", armed=["copy_process"], within="sys_clone", finds={"child": "arg.dst"},
    means="The parent's task_struct is about to be copied into the child's as a whole. What the child must not have of it is replaced in the steps that follow.")
lab.point("copy_creds", "parent", armed=["copy_process"], within="sys_clone",
    means="The credentials. The child gets a copy of them, except in a thread, which shares them.")
lab.point("sched_fork", "parent", armed=["copy_process"], within="sys_clone",
    means="The scheduler's part. Between the two stops the child got credentials, and its accounts, lists and timers were emptied.")
lab.point("copy_semundo", "parent", armed=["copy_process"], within="sys_clone",
    means="The undo list for semaphores of System V. The child begins without one, unless CLONE_SYSVSEM is set.")
lab.point("copy_files", "parent", armed=["copy_process"], within="sys_clone",
    means="The table of open files. Without CLONE_FILES the child gets a copy of the table, whose entries point to the same open files.")
lab.point("copy_fs", "parent", armed=["copy_process"], within="sys_clone",
    means="Root, working directory and umask. Without CLONE_FS the child gets a copy.")
lab.point("copy_sighand", "parent", place="kmem_cache_alloc", armed=["copy_fs"], when="read.cache == \"sighand_cache\"", reads={"cache": "str(arg.s.name)"},
    means="The signal handlers. copy_sighand, which is inlined, takes a sighand_struct from its slab cache and copies the parent's.")
lab.point("copy_signal", "parent", place="kmem_cache_alloc", armed=["copy_sighand"], when="read.cache == \"signal_cache\"", reads={"cache": "str(arg.s.name)"},
    means="What all threads of the new process will share. copy_signal, which is inlined, takes an empty signal_struct and copies the limits into it.")
lab.point("copy_mm", "parent", place="kmem_cache_alloc", armed=["copy_signal"], when="read.cache == \"mm_struct\"", reads={"cache": "str(arg.s.name)"},
    means="The memory. copy_mm, which is inlined, has set the child's mm to NULL, and takes an mm_struct. It copies the description of the memory and the page tables, but not the pages.")
lab.point("copy_namespaces", "parent", armed=["copy_process"], within="sys_clone",
    means="The namespaces. By now the child has its memory.")
lab.point("copy_io", "parent", armed=["copy_process"], within="sys_clone",
    means="The priority for input and output, which the program has set. Without CLONE_IO the child gets an io_context of its own with the same priority.")
lab.point("copy_thread", "parent", armed=["copy_process"], within="sys_clone",
    means="The registers. Here the child gets its first instruction and its stack pointer.")
lab.point("alloc_pid", "parent", armed=["copy_process"], within="sys_clone",
    means="The pid. If an earlier step had failed, no number would have been used.")
lab.point("proc_fork_connector", "parent", armed=["copy_process"], within="sys_clone",
    means="The child is in the process tree, and can be found by its pid. It does not run yet.")
lab.point("copied", "parent", place="copy_process", returns="copy_process",
    means="The child is complete. Everything that the flags do not tell it to share, and everything that belongs to one task only, is its own.")
lab.point("released", "parent", place="release_task", armed=["copied"], when="arg.p == child",
    means="The child has ended and its parent has waited for it. Its pid is given back, but others may still read its task_struct.")
lab.point("freed", "any", place="free_task", armed=["copied"], when="arg.tsk == child",
    means="A grace period of RCU has passed, so nobody can be reading the child's task_struct any more. It goes back to its slab cache. This happens in whatever task runs then.")
lab.point("second_call", "parent", place="sys_clone", armed=["copied"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The second call has flags that say what the two tasks share.")
lab.point("second_copy", "parent", place="copy_process", armed=["second_call"],
    means="The same function, for the second child.")
lab.point("alloc_again", "parent", place="kmem_cache_alloc_node", armed=["second_copy"], when="read.cache == \"task_struct\"", reads={"cache": "str(arg.s.name)"},
    means="The second child's task_struct comes from the same slab cache.")
lab.point("got_again", "parent", place="kmem_cache_alloc_node", returns="alloc_again",
    means="The slab cache has returned an object.")
lab.point("alloc_stack_again", "parent", place="__vmalloc_node_range", step=False, armed=["second_copy"], until="copied_again", when="arg.size == 4 * 4096",
    means="The second child's kernel stack is mapped too, because the CPU has kept none of a dead task.")
lab.point("copied_again", "parent", place="copy_process", returns="second_copy",
    means="The second child is complete. Where the flags tell it to share, it points to the same structure as its parent.")
lab.ready()
end
