# kthread on riscv64, by hand: A thread of the kernel's own
# Generated from its lab.yaml by make generate; "lab debug kthread" has gdb read lab.py, then this.
python
lab = Lab("kthread")
lab.task("asker")
lab.task("maker", when="task.pid == 2")
lab.task("newborn")
lab.point("kthread_create_on_node", "asker", entry=True,
    means="The kernel, running for the program that wrote to the switch, asks for a thread. It puts its wish on a list, wakes kthreadd and waits.")
lab.point("kernel_thread", "maker", when="read.threadfn == kthread_create_on_node.arg.threadfn", reads={"threadfn": "as(arg.arg, \"kthread_create_info\").threadfn"},
    means="Another task takes the wish from the list and makes the thread. create_kthread, which calls this, is inlined into kthreadd.")
lab.point("kernel_clone", "maker", armed=["kernel_thread"],
    means="The place where every fork of a user comes too. The arguments differ.")
lab.point("dup_task_struct", "maker", armed=["kernel_thread"], finds={"newborn": "arg.dst"},
    means="The thread's task_struct is a copy of kthreadd's.")
lab.point("copy_thread", "maker", armed=["kernel_thread"],
    means="The thread's kernel stack is laid out. There are no user registers to copy; a function and its argument are left where the switch will put them into registers.")
lab.point("wake_up_new_task", "maker", armed=["kernel_thread"],
    means="The thread may run.")
lab.point("ret_from_fork_kernel", "newborn",
    means="The thread's first instruction. A user's process finds no function here and returns to user space; this one calls what it finds.")
lab.point("kthread", "newborn",
    means="The function that every kernel thread begins with. It tells the asker that it lives, and sleeps until it is woken for the first time.")
lab.point("asker_gets", "asker", place="kthread_create_on_node", returns="kthread_create_on_node",
    means="The asker has what it wanted, a task_struct. The thread has not begun with its work; whoever asked may bind it to a CPU or rename it first, and wakes it.")
lab.point("khugepaged", "newborn",
    means="At last the thread runs the function that it is for.")
lab.point("kthread_stop", "asker", armed=["khugepaged"], when="arg.k == newborn",
    means="The switch is turned back, and the thread is asked to end. Nothing forces it; it has to look.")
lab.point("newborn_ends", "newborn", place="do_exit", armed=["kthread_stop"],
    means="The function has returned, and the thread ends by the path of every task.")
lab.ready()
end
