# copy-on-write on x86_64, by hand: One page for two
# Generated from its lab.yaml by make generate; "lab debug copy-on-write" has gdb read lab.py, then this.
python
lab = Lab("copy-on-write")
lab.task("parent")
lab.task("child")
lab.task("first", when="task.address == parent or task.address == child")
lab.task("second", when="(task.address == parent or task.address == child) and task.address != first")
lab.point("sys_mmap", "parent", entry=True, when="arg.len == 4096 * 5",
    means="The program asks for memory. Only this call tells the lab where it is.")
lab.point("mapped", "parent", place="sys_mmap", returns="sys_mmap",
    means="The call returns the address of the mapping. No page of it has a page frame yet.")
lab.point("sys_clone", "parent", armed=["mapped"], when="bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
    means="The program has written to every page, and forks. Each page has a frame by now.")
lab.point("dup_task_struct", "parent", within="sys_clone", finds={"child": "arg.dst"},
    means="The child's task_struct has been allocated. From here on the lab recognizes the child.")
lab.point("copies", "parent", place="copy_page_range", armed=["dup_task_struct"], within="sys_clone", when="read.start <= mapped.ret and mapped.ret < read.end", reads={"start": "arg.src_vma.vm_start", "end": "arg.src_vma.vm_end"},
    means="dup_mmap has given the child a mapping like this one, and the page table entries of it are about to be copied.")
lab.point("copied", "parent", place="copy_page_range", returns="copies",
    means="The entries are copied, and no page is. Both tasks, parent and child, have the same frame, and neither may write to it.")
lab.point("first_faults", "first", place="page_fault", armed=["copied"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "reg.cr2"},
    means="The first write. The processor does not execute the instruction, because the entry forbids writing, and enters the kernel.")
lab.point("first_handled", "first", place="handle_mm_fault", armed=["first_faults"], when="bitushr(arg.address, 12) == bitushr(mapped.ret, 12) + 2",
    means="The architecture's part is done. The address is in a mapping that allows writing, so this is no mistake of the program.")
lab.point("first_protected", "first", place="do_wp_page", armed=["first_handled"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "arg.vmf.address"},
    means="The page is present and write-protected. Here the kernel decides between a copy of the page and the page itself.")
lab.point("first_copies", "first", place="wp_page_copy", armed=["first_protected"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "arg.vmf.address ?? arg.address"},
    means="Another task maps the frame too, so this task gets a frame of its own, with a copy of what the old one contains.")
lab.point("first_done", "first", place="do_wp_page", returns="first_protected",
    means="The task's entry maps the new frame and allows writing. The processor now executes the instruction again. The other task's entry is as it was.")
lab.point("second_faults", "second", place="page_fault", armed=["first_done"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "reg.cr2"},
    means="The second write. The fork made this task's entry read-only too, and nothing has changed that.")
lab.point("second_protected", "second", place="do_wp_page", armed=["second_faults"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "arg.vmf.address"},
    means="The same decision once more. This time no other task maps the frame.")
lab.point("second_reuses", "second", place="wp_page_reuse", armed=["second_protected"], when="bitushr(read.address, 12) == bitushr(mapped.ret, 12) + 2", reads={"address": "arg.vmf.address ?? arg.address"},
    means="The task keeps the frame, and its entry is about to be made writable. Nothing is copied.")
lab.point("second_done", "second", place="do_wp_page", returns="second_protected",
    means="The two tasks have different frames for this page, and both may write. For the other pages of the mapping they still have the same frames.")
lab.ready()
end
