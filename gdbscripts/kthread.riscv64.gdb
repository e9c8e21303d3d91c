# kthread on riscv64, by hand: A kernel thread
# Generated from its lab.yaml by make generate; "lab debug kthread" has gdb read lab.py, then this.
python
lab = Lab("kthread")
lab.task("asker")
lab.task("maker", when="task.pid == 2")
lab.task("newborn")
lab.point("kthread_create_on_node", "asker", entry=True,
    means="The kernel, in the system call of the program that wrote to the file, requests a thread. It adds the request to a list, wakes kthreadd and waits.")
lab.point("kernel_thread", "maker", when="read.threadfn == kthread_create_on_node.arg.threadfn", reads={"threadfn": "as(arg.arg, \"kthread_create_info\").threadfn"},
    means="Another task, kthreadd, takes the request from the list and makes the thread. create_kthread calls this function; stock kernels inline it into kthreadd.")
lab.point("kernel_clone", "maker", armed=["kernel_thread"],
    means="Every fork of a user process calls this function too. The arguments differ.")
lab.point("dup_task_struct", "maker", armed=["kernel_thread"], finds={"newborn": "arg.dst"},
    means="The thread's task_struct is a copy of kthreadd's.")
lab.point("copy_thread", "maker", armed=["kernel_thread"],
    means="This function sets up the thread's kernel stack. It has no user registers to copy. It stores a function and its argument where the context switch restores registers.")
lab.point("wake_up_new_task", "maker", armed=["kernel_thread"],
    means="The thread is about to be put on a run queue.")
lab.point("ret_from_fork_kernel", "newborn",
    means="The thread's first instruction. The context switch has restored the function and its argument to two registers, and the code that starts here calls the function.")
lab.point("kthread", "newborn",
    means="Every thread that kthreadd makes executes this function first. It signals the requester that the thread has started, and sleeps until the thread is woken for the first time.")
lab.point("asker_gets", "asker", place="kthread_create_on_node", returns="kthread_create_on_node",
    means="The requester gets the thread's task_struct. The thread has not started its work. The requester may first bind it to a CPU, and then wakes it.")
lab.point("psimon", "newborn", place="psi_rtpoll_worker",
    means="The thread executes the requested function.")
lab.point("kthread_stop", "asker", armed=["psimon"], when="arg.k == newborn",
    means="The program has closed the file, which removes the trigger, and the kernel asks the thread to end. The thread is not forced to; it has to check.")
lab.point("newborn_ends", "newborn", place="do_exit", armed=["kthread_stop"],
    means="The function has returned, and the thread ends as every task does.")
lab.point("helper_requested", "any", place="user_mode_thread", step=False, when="read.function == \"call_usermodehelper_exec_async\"", reads={"function": "symbol(arg.fn)"},
    means="A kernel thread makes a task that will execute a program. The function that it starts with calls exec.")
lab.point("helper_cloned", "any", place="kernel_clone", step=False, armed=["helper_requested"],
    means="The same function makes this task too.")
lab.point("helper_execs", "any", place="kernel_execve", step=False, armed=["helper_requested"],
    means="The new task executes a program, as a process does. If that works, it returns to user space, which a kernel thread cannot.")
lab.ready()
end
