# wake-up on riscv64, by hand: A new task is woken
# Generated from its lab.yaml by make generate; "lab debug wake-up" has gdb read lab.py, then this.
python
lab = Lab("wake-up")
lab.task("parent")
lab.task("child")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program forks.")
lab.point("sched_fork", "parent", finds={"child": "arg.p"},
    means="copy_process has the scheduler prepare the new task, whose task_struct is still a copy of its parent's, state and place on a run queue included.")
lab.point("wake_up_new_task", "parent",
    means="The task is whole, and on no run queue. In the state TASK_NEW nothing can wake it, and no signal reaches it.")
lab.point("woken", "parent", place="wake_up_new_task", returns="wake_up_new_task",
    means="The same call, as it returns. The task can run; on another CPU it might already, and on this one its parent may be put aside for it at any time.")
lab.point("ret_from_fork", "child",
    means="The child's first instruction. A CPU has taken it from the run queue.")
lab.ready()
end
