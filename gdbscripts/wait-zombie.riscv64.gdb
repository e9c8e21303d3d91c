# wait-zombie on riscv64, by hand: Dead, and not yet gone
# Generated from its lab.yaml by make generate; "lab debug wait-zombie" has gdb read lab.py, then this.
python
lab = Lab("wait-zombie")
lab.task("parent")
lab.task("first")
lab.task("second")
lab.task("init", when="task.tgid == 1")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes its first child. The low byte of the flags is the signal that the program gets when the child ends.")
lab.point("first_born", "parent", place="wake_up_new_task", armed=["sys_clone"], finds={"first": "arg.p"}, reads={"pid": "arg.p.pid"},
    means="The first child is complete. From here on the lab recognizes its task.")
lab.point("first_ends", "first", place="do_notify_parent",
    means="The first child is dying and notifies its parent. It has given back its memory and its files, and it is a zombie now.")
lab.point("sys_wait4", "parent", until="first_released", when="(arg.upid <= 0 or arg.upid == first_born.read.pid) and (read.state != 0 or bitand(arg.options, 1) == 0)", reads={"state": "first.exit_state"},
    means="The parent asks how its child ended. The child has been dead for a while. Its task_struct remains, with what belongs to it, and holds the answer.")
lab.point("first_released", "parent", place="release_task", armed=["first_born"], when="arg.p == first",
    means="The wait has found the zombie and read its status, and releases it. The parent does this work, because the child cannot.")
lab.point("wait_returns", "parent", place="sys_wait4", returns="sys_wait4", when="ret == first_born.read.pid or ret == 0 - 10",
    means="The wait returns the child's pid to the program. The child does not have it any more, and the kernel may give it to a new task.")
lab.point("second_call", "parent", place="sys_clone", armed=["first_born"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes its second child in the same way.")
lab.point("second_born", "parent", place="wake_up_new_task", armed=["second_call"], finds={"second": "arg.p"},
    means="The second child is complete.")
lab.point("second_ends", "second", place="do_notify_parent",
    means="The second child dies in the same way. Its parent will never ask for its status.")
lab.point("parent_ends", "parent", place="sys_exit_group", armed=["second_born"],
    means="The program ends. Its second child is still a zombie.")
lab.point("adopted", "any", place="do_notify_parent", armed=["parent_ends"], when="arg.tsk == second",
    means="The dying parent's children get a new parent. The kernel notifies the zombie's new parent that it has ended.")
lab.point("second_released", "init", place="release_task", armed=["parent_ends"], when="arg.p == second",
    means="Process 1 waits for every child that it gets, and releases the zombie.")
lab.ready()
end
