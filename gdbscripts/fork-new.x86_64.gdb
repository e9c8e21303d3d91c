# fork-new on x86_64, by hand: A process is born
#
# Generated from labs/fork-new/lab.yaml by: go test ./labs -run TestGDBScripts
# -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug fork-new" starts it; or:
#   gdb-multiarch -ex 'set architecture i386:x86-64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/fork-new.x86_64.gdb
# Then type "continue", start the lab's program in the guest, and type
# "continue" at every stop. "set $lab_auto = 1" does that for you.

set confirm off
set pagination off
set breakpoint pending off
set language c
if $_isvoid($lab_auto)
  set $lab_auto = 0
end

# A point of the lab is called differently from kernel to kernel. For each,
# this takes the first candidate that the loaded symbols have and keeps its
# address in a variable of the point's name.
python
import gdb

points = {
    "sys_clone": ["__x64_sys_clone", "__se_sys_clone", "sys_clone"],
    "kernel_clone": ["kernel_clone", "_do_fork"],
    "copy_process": ["copy_process"],
    "dup_task_struct": ["dup_task_struct", "arch_dup_task_struct"],
    "copy_thread": ["copy_thread", "copy_thread_tls"],
    "wake_up_new_task": ["wake_up_new_task"],
    "ret_from_fork": ["ret_from_fork_asm", "ret_from_fork"],
    "release_task": ["release_task"],
}

def address(symbol):
    # The compiler may have added a suffix.
    for suffix in ["", ".isra.0", ".constprop.0", ".part.0"]:
        try:
            return int(gdb.parse_and_eval("(unsigned long)&'%s%s'" % (symbol, suffix)))
        except gdb.error:
            pass

for point, symbols in points.items():
    found = [s for s in symbols if address(s) is not None]
    if not found:
        raise gdb.GdbError("point %s: this kernel has none of %s" % (point, ", ".join(symbols)))
    gdb.execute("set $%s = %#x" % (point, address(found[0])))
    gdb.set_convenience_variable("symbol_" + point, found[0])
    # A wrapped system call is given a pointer to the saved user registers.
    gdb.set_convenience_variable("wrapped_" + point, int(found[0].startswith(("__x64_", "__riscv_"))))
end

# The lab's own tasks are told from others by their task_struct, which is what
# $lab_parent and $lab_child hold; 0 is none.
set $lab_parent = 0
set $lab_child = 0

# The running task's is kept in a per-CPU variable, at this offset from
# gs_base.
python
gdb.execute("set $percpu_current = %#x" % next(a for a in map(address, ["pcpu_hot", "current_task"]) if a is not None))
end

# sys_clone: The system call's entry. fork() is clone() with nothing shared
# and SIGCHLD as the signal its end sends.
break *$sys_clone if ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$rdi + 112) : (unsigned long)$rdi) & (0x100 + 0x10000)) == 0x0)
set $break_sys_clone = $bpnum
commands $break_sys_clone
  silent
  set $lab_parent = *(unsigned long *)((unsigned long)$gs_base + $percpu_current)
  set $lab_child = 0
  enable $break_kernel_clone
  enable $break_copy_process
  enable $break_dup_task_struct
  enable $break_copy_thread
  enable $break_wake_up_new_task
  printf "point sys_clone symbol %s", $symbol_sys_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# kernel_clone: fork, vfork, clone, clone3 and kernel threads all come here;
# only the arguments differ.
break *$kernel_clone if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_kernel_clone = $bpnum
disable $break_kernel_clone
commands $break_kernel_clone
  silent
  printf "point kernel_clone symbol %s", $symbol_kernel_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# copy_process: Makes the new task. It duplicates the caller's task_struct,
# then copies or shares each resource.
break *$copy_process if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_copy_process = $bpnum
disable $break_copy_process
commands $break_copy_process
  silent
  printf "point copy_process symbol %s", $symbol_copy_process
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# dup_task_struct: The child's task_struct has been allocated, and the
# parent's is about to be copied into it. Its own kernel stack is allocated by
# the same function.
break *$dup_task_struct if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_dup_task_struct = $bpnum
disable $break_dup_task_struct
commands $break_dup_task_struct
  silent
  set $lab_child = $rdi
  printf "point dup_task_struct symbol %s", $symbol_dup_task_struct
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# copy_thread: Lays out the child's kernel stack, and plants the address where
# it will start.
break *$copy_thread if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_copy_thread = $bpnum
disable $break_copy_thread
commands $break_copy_thread
  silent
  printf "point copy_thread symbol %s", $symbol_copy_thread
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# wake_up_new_task: The child is whole, and is put on a run queue. Nothing of
# it has run yet.
break *$wake_up_new_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_wake_up_new_task = $bpnum
disable $break_wake_up_new_task
commands $break_wake_up_new_task
  silent
  enable $break_ret_from_fork
  printf "point wake_up_new_task symbol %s", $symbol_wake_up_new_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# ret_from_fork: The child's first instruction. No one called it. __switch_to
# returned here because copy_thread wrote this address for it to return to.
break *$ret_from_fork if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_ret_from_fork = $bpnum
disable $break_ret_from_fork
commands $break_ret_from_fork
  silent
  disable $break_kernel_clone
  disable $break_copy_process
  disable $break_dup_task_struct
  disable $break_copy_thread
  disable $break_wake_up_new_task
  enable $break_release_task
  disable $break_ret_from_fork
  printf "point ret_from_fork symbol %s", $symbol_ret_from_fork
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# release_task: The parent's wait has found the child dead and frees it.
break *$release_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent && ($rdi == $lab_child)
set $break_release_task = $bpnum
disable $break_release_task
commands $break_release_task
  silent
  disable $break_release_task
  printf "point release_task symbol %s", $symbol_release_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

printf "Ready: sys_clone, kernel_clone, copy_process, dup_task_struct, copy_thread, wake_up_new_task, ret_from_fork, in this order.\n"
printf "Type continue, and start fork-new in the guest.\n"
