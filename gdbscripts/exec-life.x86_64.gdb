# exec-life on x86_64, by hand: A program's life
#
# Generated from labs/exec-life/lab.yaml by: go test ./labs -run
# TestGDBScripts -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug exec-life" starts it; or:
#   gdb-multiarch -ex 'set architecture i386:x86-64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/exec-life.x86_64.gdb
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
    "dup_task_struct": ["dup_task_struct", "arch_dup_task_struct"],
    "proc_fork_connector": ["proc_fork_connector"],
    "wake_up_new_task": ["wake_up_new_task"],
    "ret_from_fork": ["ret_from_fork_asm", "ret_from_fork"],
    "sys_execve": ["__x64_sys_execve", "__se_sys_execve", "sys_execve"],
    "begin_new_exec": ["begin_new_exec", "flush_old_exec"],
    "proc_exec_connector": ["proc_exec_connector"],
    "sys_exit_group": ["__x64_sys_exit_group", "__se_sys_exit_group", "sys_exit_group"],
    "do_exit": ["do_exit"],
    "do_notify_parent": ["do_notify_parent"],
    "do_task_dead": ["do_task_dead"],
    "sys_wait4": ["__x64_sys_wait4", "__se_sys_wait4", "sys_wait4"],
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

# What the lab watches and this script does not:
# - wait_returns: type "finish" at sys_wait4 to come there

# The running task's is kept in a per-CPU variable, at this offset from
# gs_base.
python
gdb.execute("set $percpu_current = %#x" % next(a for a in map(address, ["pcpu_hot", "current_task"]) if a is not None))
end

# sys_clone: The first stage, the fork. Nothing in it says which program is to
# run.
break *$sys_clone if ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$rdi + 112) : (unsigned long)$rdi) & (0x100 + 0x10000)) == 0x0)
set $break_sys_clone = $bpnum
commands $break_sys_clone
  silent
  set $lab_parent = *(unsigned long *)((unsigned long)$gs_base + $percpu_current)
  set $lab_child = 0
  enable $break_dup_task_struct
  enable $break_proc_fork_connector
  enable $break_wake_up_new_task
  enable $break_ret_from_fork
  enable $break_sys_execve
  enable $break_begin_new_exec
  enable $break_proc_exec_connector
  enable $break_sys_exit_group
  enable $break_do_exit
  enable $break_do_notify_parent
  enable $break_do_task_dead
  enable $break_sys_wait4
  enable $break_release_task
  printf "point sys_clone symbol %s", $symbol_sys_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# dup_task_struct: A task_struct for the child, a copy of the parent's.
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

# proc_fork_connector: The child is whole and has a pid. It is called what its
# parent is called.
break *$proc_fork_connector if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_proc_fork_connector = $bpnum
disable $break_proc_fork_connector
commands $break_proc_fork_connector
  silent
  printf "point proc_fork_connector symbol %s", $symbol_proc_fork_connector
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# wake_up_new_task: The child is put on a run queue.
break *$wake_up_new_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_wake_up_new_task = $bpnum
disable $break_wake_up_new_task
commands $break_wake_up_new_task
  silent
  printf "point wake_up_new_task symbol %s", $symbol_wake_up_new_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# ret_from_fork: The child's first instruction. It is still a copy of the
# shell, with a copy of its memory.
break *$ret_from_fork if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_ret_from_fork = $bpnum
disable $break_ret_from_fork
commands $break_ret_from_fork
  silent
  printf "point ret_from_fork symbol %s", $symbol_ret_from_fork
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# sys_execve: The second stage. The child asks to become another program, and
# names its file.
break *$sys_execve if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_sys_execve = $bpnum
disable $break_sys_execve
commands $break_sys_execve
  silent
  printf "point sys_execve symbol %s", $symbol_sys_execve
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# begin_new_exec: The file is there, may be run and has a known format. From
# here on exec can not fail back into the old program, for that is about to
# go.
break *$begin_new_exec if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_begin_new_exec = $bpnum
disable $break_begin_new_exec
commands $break_begin_new_exec
  silent
  printf "point begin_new_exec symbol %s", $symbol_begin_new_exec
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# proc_exec_connector: The new program is mapped, and the way back from the
# system call leads to its first instruction.
break *$proc_exec_connector if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_proc_exec_connector = $bpnum
disable $break_proc_exec_connector
commands $break_proc_exec_connector
  silent
  printf "point proc_exec_connector symbol %s", $symbol_proc_exec_connector
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# sys_exit_group: The new program ends by its own call. This is the only
# system call of it that the lab watches; the other was the write.
break *$sys_exit_group if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_sys_exit_group = $bpnum
disable $break_sys_exit_group
commands $break_sys_exit_group
  silent
  printf "point sys_exit_group symbol %s", $symbol_sys_exit_group
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# do_exit: The process takes itself apart.
break *$do_exit if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_do_exit = $bpnum
disable $break_do_exit
commands $break_do_exit
  silent
  printf "point do_exit symbol %s", $symbol_do_exit
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# do_notify_parent: It is a zombie, and its parent is told.
break *$do_notify_parent if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_do_notify_parent = $bpnum
disable $break_do_notify_parent
commands $break_do_notify_parent
  silent
  printf "point do_notify_parent symbol %s", $symbol_do_notify_parent
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# do_task_dead: It leaves the CPU for the last time.
break *$do_task_dead if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_do_task_dead = $bpnum
disable $break_do_task_dead
commands $break_do_task_dead
  silent
  printf "point do_task_dead symbol %s", $symbol_do_task_dead
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# sys_wait4: The shell waits for its command. Whether it comes here before the
# child has begun or after it has ended is the scheduler's choice.
break *$sys_wait4 if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_sys_wait4 = $bpnum
disable $break_sys_wait4
commands $break_sys_wait4
  silent
  printf "point sys_wait4 symbol %s", $symbol_sys_wait4
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# release_task: The wait has found the zombie and frees it. That is the last
# that the kernel knows of it.
break *$release_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent && ($rdi == $lab_child)
set $break_release_task = $bpnum
disable $break_release_task
commands $break_release_task
  silent
  disable $break_dup_task_struct
  disable $break_proc_fork_connector
  disable $break_wake_up_new_task
  disable $break_ret_from_fork
  disable $break_sys_execve
  disable $break_begin_new_exec
  disable $break_proc_exec_connector
  disable $break_sys_exit_group
  disable $break_do_exit
  disable $break_do_notify_parent
  disable $break_do_task_dead
  disable $break_sys_wait4
  disable $break_release_task
  printf "point release_task symbol %s", $symbol_release_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

printf "Ready: sys_clone, dup_task_struct, proc_fork_connector, wake_up_new_task, ret_from_fork, sys_execve, begin_new_exec, proc_exec_connector, sys_exit_group, do_exit, do_notify_parent, do_task_dead, sys_wait4, release_task, in this order.\n"
printf "Type continue, and start exec-life in the guest.\n"
