# wake-up on x86_64, by hand: A new task is woken
#
# Generated from labs/wake-up/lab.yaml by: go test ./labs -run TestGDBScripts
# -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug wake-up" starts it; or:
#   gdb-multiarch -ex 'set architecture i386:x86-64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/wake-up.x86_64.gdb
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
    "sched_fork": ["sched_fork"],
    "wake_up_new_task": ["wake_up_new_task"],
    "ret_from_fork": ["ret_from_fork_asm", "ret_from_fork"],
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
# - woken: type "finish" at wake_up_new_task to come there

# The running task's is kept in a per-CPU variable, at this offset from
# gs_base.
python
gdb.execute("set $percpu_current = %#x" % next(a for a in map(address, ["pcpu_hot", "current_task"]) if a is not None))
end

# sys_clone: The program forks.
break *$sys_clone if ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$rdi + 112) : (unsigned long)$rdi) & (0x100 + 0x10000)) == 0x0)
set $break_sys_clone = $bpnum
commands $break_sys_clone
  silent
  set $lab_parent = *(unsigned long *)((unsigned long)$gs_base + $percpu_current)
  set $lab_child = 0
  enable $break_sched_fork
  enable $break_wake_up_new_task
  enable $break_ret_from_fork
  printf "point sys_clone symbol %s", $symbol_sys_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# sched_fork: copy_process has the scheduler prepare the new task, whose
# task_struct is still a copy of its parent's, state and place on a run queue
# included.
break *$sched_fork if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_sched_fork = $bpnum
disable $break_sched_fork
commands $break_sched_fork
  silent
  set $lab_child = $rsi
  printf "point sched_fork symbol %s", $symbol_sched_fork
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# wake_up_new_task: The task is whole, and on no run queue. In the state
# TASK_NEW nothing can wake it, and no signal reaches it.
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

# ret_from_fork: The child's first instruction. A CPU has taken it from the
# run queue.
break *$ret_from_fork if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_child
set $break_ret_from_fork = $bpnum
disable $break_ret_from_fork
commands $break_ret_from_fork
  silent
  disable $break_sched_fork
  disable $break_wake_up_new_task
  disable $break_ret_from_fork
  printf "point ret_from_fork symbol %s", $symbol_ret_from_fork
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

printf "Ready: sys_clone, sched_fork, wake_up_new_task, ret_from_fork, in this order.\n"
printf "Type continue, and start wake-up in the guest.\n"
