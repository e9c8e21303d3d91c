# task-struct on riscv64, by hand: A tour of task_struct
# Generated from its lab.yaml by make generate; "lab debug task-struct" has gdb read lab.py, then this.
python
lab = Lab("task-struct")
lab.task("leader")
lab.task("thread")
lab.task("first")
lab.task("second")
lab.point("sys_chdir", "leader", entry=True, when="read.euid != 0", reads={"euid": "current.cred.euid"},
    means="The program asks for another working directory. The values are the tour of its task_struct before any of them changes.")
lab.point("moved", "leader", place="sys_chdir", returns="sys_chdir", when="ret == 0",
    means="The working directory is another one. The task_struct points to the same fs_struct as before.")
lab.point("sys_prctl", "leader", armed=["moved"], when="arg.option == 15",
    means="The program changes its name. The name is in the task_struct itself, with room for 15 bytes and a zero.")
lab.point("renamed", "leader", place="sys_prctl", returns="sys_prctl",
    means="ps and the kernel's messages show this name now. The executable is the same, and so are the names of other threads.")
lab.point("sys_openat", "leader", armed=["renamed"],
    means="The program opens a file.")
lab.point("opened", "leader", place="sys_openat", returns="sys_openat", when="read.name == \"null\"", reads={"name": "str(as(u64(current.files.fdt.fd + 8 * ret), \"file\").f_path.dentry.d_name.name)"},
    means="The number that the program gets is an index into an array of pointers to struct file.")
lab.point("signals", "leader", place="sys_kill", armed=["opened"], when="arg.pid == leader.pid and arg.sig != 0",
    means="The program sends itself a signal that it blocks.")
lab.point("sent", "leader", place="sys_kill", returns="signals",
    means="The signal is for the process, so it is pending in the signal_struct, which all of its threads have in common.")
lab.point("thread_born", "leader", place="wake_up_new_task", armed=["sent"], when="read.tgid == leader.pid and read.clears != 0", finds={"thread": "arg.p"}, reads={"pid": "arg.p.pid", "tgid": "arg.p.tgid", "clears": "arg.p.clear_child_tid"},
    means="A thread is complete. It is a task of its own, with a task_struct of its own, in the same thread group.")
lab.point("first_born", "leader", place="wake_up_new_task", armed=["thread_born"], when="read.pid == read.tgid", finds={"first": "arg.p"}, reads={"pid": "arg.p.pid", "tgid": "arg.p.tgid"},
    means="The first child is complete. It is a process of its own, linked into its parent's list.")
lab.point("second_born", "leader", place="wake_up_new_task", armed=["first_born"], when="read.pid == read.tgid", finds={"second": "arg.p"}, reads={"pid": "arg.p.pid", "tgid": "arg.p.tgid"},
    means="The second child is complete. The list of children goes through the member sibling of each child and back to its head.")
lab.point("kills_first", "leader", place="sys_kill", armed=["second_born"], when="arg.pid == first_born.read.pid and arg.sig != 0",
    means="The program names a process by its pid. The kernel looks the number up in the pid namespace and gets a struct pid, which leads to the task.")
lab.point("first_released", "leader", place="release_task", armed=["kills_first"], when="arg.p == first",
    means="The program has waited for its first child. Until now it was a zombie, and still in the list.")
lab.point("kills_second", "leader", place="sys_kill", armed=["first_released"], when="arg.pid == second_born.read.pid and arg.sig != 0",
    means="The first child has gone from its parent's list.")
lab.ready()
end
