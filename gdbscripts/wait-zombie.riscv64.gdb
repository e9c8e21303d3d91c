# wait-zombie on riscv64, by hand: Dead, and not yet gone
# Generated from its lab.yaml by make generate; "lab debug wait-zombie" has gdb read lab.py, then this.
python
lab = Lab("wait-zombie")
lab.task("parent")
lab.task("first")
lab.task("second")
lab.task("init", when="task.tgid == 1")
lab.point("sys_clone", "parent", entry=True, when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes its first child. The low byte of the flags is the signal that will tell the program of the child's end.")
lab.point("first_born", "parent", place="wake_up_new_task", armed=["sys_clone"], finds={"first": "arg.p"},
    means="The first child is whole. From here on the lab knows which task it is.")
lab.point("first_ends", "first", place="do_notify_parent",
    means="The first child is dying, and in its last act tells its parent. It has given back its memory and its files; it is a zombie from here on.")
lab.point("sys_wait4", "parent",
    means="The parent asks how its child ended. The child has been dead for a while, and all that is left of it is its task_struct, with the answer in it.")
lab.point("first_released", "parent", place="release_task", when="arg.p == first",
    means="The wait has found the zombie, taken what it left, and frees it. In the child's place it is the parent that does this work.")
lab.point("wait_returns", "parent", place="sys_wait4", returns="sys_wait4",
    means="The wait gives the program the child's pid. No task has that pid any more.")
lab.point("second_call", "parent", place="sys_clone", armed=["first_born"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program makes its second child, as it made the first.")
lab.point("second_born", "parent", place="wake_up_new_task", armed=["second_call"], finds={"second": "arg.p"},
    means="The second child is whole.")
lab.point("second_ends", "second", place="do_notify_parent",
    means="The second child dies as the first did. Its parent will never ask.")
lab.point("parent_ends", "parent", place="sys_exit_group", armed=["second_born"],
    means="The program ends. Its second child is still there.")
lab.point("adopted", "any", place="do_notify_parent", armed=["parent_ends"], when="arg.tsk == second",
    means="The dying parent hands its children on. The zombie has a new parent, which is told once more of the end.")
lab.point("second_released", "init", place="release_task", armed=["parent_ends"], when="arg.p == second",
    means="Process 1 waits for whatever it is given, and frees the zombie.")
lab.ready()
end
