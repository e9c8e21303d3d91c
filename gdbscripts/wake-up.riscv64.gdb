# wake-up on riscv64, by hand: A new task is woken
# Generated from its lab.yaml by make generate; "lab debug wake-up" has gdb read lab.py, then this.
python
lab = Lab("wake-up")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program forks.")
lab.point("sched_fork", "parent", within="sys_clone", finds={"child": "arg.p"},
    means="copy_process calls this function to prepare the new task for the scheduler. The task_struct is still a copy of the parent's, including the state and on_rq.")
lab.point("wake_up_new_task", "parent", within="sys_clone",
    means="The task is complete but on no run queue. While its state is TASK_NEW, neither a signal nor another wake-up wakes it; a signal stays pending.")
lab.point("woken", "parent", place="wake_up_new_task", returns="wake_up_new_task",
    means="The same call returns. The task can run now, and may have run already, on another CPU or on this one if it preempted the parent.")
lab.point("ret_from_fork", "child",
    means="The child's first instruction. A CPU has taken it from the run queue.")
lab.ready()
end
