# wait-zombie on x86_64, by hand: Dead, and not yet gone
#
# Generated from labs/wait-zombie/lab.yaml by: go test ./labs -run
# TestGDBScripts -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug wait-zombie" starts it; or:
#   gdb-multiarch -ex 'set architecture i386:x86-64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/wait-zombie.x86_64.gdb
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
    "wake_up_new_task": ["wake_up_new_task"],
    "do_notify_parent": ["do_notify_parent"],
    "sys_wait4": ["__x64_sys_wait4", "__se_sys_wait4", "sys_wait4"],
    "release_task": ["release_task"],
    "sys_exit_group": ["__x64_sys_exit_group", "__se_sys_exit_group", "sys_exit_group"],
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
# $lab_parent and $lab_first and $lab_second and $lab_init hold; 0 is none.
set $lab_parent = 0
set $lab_first = 0
set $lab_second = 0
set $lab_init = 0

# What the lab watches and this script does not:
# - wait_returns: type "finish" at sys_wait4 to come there
# - second_released: the condition of init: task.tgid can not be said in gdb

# The running task's is kept in a per-CPU variable, at this offset from
# gs_base.
python
gdb.execute("set $percpu_current = %#x" % next(a for a in map(address, ["pcpu_hot", "current_task"]) if a is not None))
end

# sys_clone: The program makes its first child. The low byte of the flags is
# the signal that will tell the program of the child's end.
break *$sys_clone if $lab_parent == 0 && ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$rdi + 112) : (unsigned long)$rdi) & (0x100 + 0x10000)) == 0x0)
set $break_sys_clone = $bpnum
commands $break_sys_clone
  silent
  set $lab_parent = *(unsigned long *)((unsigned long)$gs_base + $percpu_current)
  set $lab_first = 0
  set $lab_second = 0
  enable $break_first_born
  enable $break_first_ends
  enable $break_sys_wait4
  enable $break_first_released
  enable $break_second_ends
  printf "point sys_clone symbol %s", $symbol_sys_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# first_born: The first child is whole. From here on the lab knows which task
# it is.
break *$wake_up_new_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_first_born = $bpnum
disable $break_first_born
commands $break_first_born
  silent
  set $lab_first = $rdi
  enable $break_second_call
  disable $break_first_born
  printf "point first_born symbol %s", $symbol_wake_up_new_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# first_ends: The first child is dying, and in its last act tells its parent.
# It has given back its memory and its files; it is a zombie from here on.
break *$do_notify_parent if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_first
set $break_first_ends = $bpnum
disable $break_first_ends
commands $break_first_ends
  silent
  printf "point first_ends symbol %s", $symbol_do_notify_parent
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# sys_wait4: The parent asks how its child ended. The child has been dead for
# a while, and all that is left of it is its task_struct, with the answer in
# it.
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

# first_released: The wait has found the zombie, taken what it left, and frees
# it. In the child's place it is the parent that does this work.
break *$release_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent && ($rdi == $lab_first)
set $break_first_released = $bpnum
disable $break_first_released
commands $break_first_released
  silent
  printf "point first_released symbol %s", $symbol_release_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# second_call: The program makes its second child, as it made the first.
break *$sys_clone if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent && ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$rdi + 112) : (unsigned long)$rdi) & (0x100 + 0x10000)) == 0x0)
set $break_second_call = $bpnum
disable $break_second_call
commands $break_second_call
  silent
  enable $break_second_born
  disable $break_second_call
  printf "point second_call symbol %s", $symbol_sys_clone
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# second_born: The second child is whole.
break *$wake_up_new_task if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_second_born = $bpnum
disable $break_second_born
commands $break_second_born
  silent
  set $lab_second = $rdi
  enable $break_parent_ends
  disable $break_second_born
  printf "point second_born symbol %s", $symbol_wake_up_new_task
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# second_ends: The second child dies as the first did. Its parent will never
# ask.
break *$do_notify_parent if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_second
set $break_second_ends = $bpnum
disable $break_second_ends
commands $break_second_ends
  silent
  printf "point second_ends symbol %s", $symbol_do_notify_parent
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# parent_ends: The program ends. Its second child is still there.
break *$sys_exit_group if *(unsigned long *)((unsigned long)$gs_base + $percpu_current) == $lab_parent
set $break_parent_ends = $bpnum
disable $break_parent_ends
commands $break_parent_ends
  silent
  enable $break_adopted
  disable $break_parent_ends
  printf "point parent_ends symbol %s", $symbol_sys_exit_group
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

# adopted: The dying parent hands its children on. The zombie has a new
# parent, which is told once more of the end.
break *$do_notify_parent if ($rdi == $lab_second)
set $break_adopted = $bpnum
disable $break_adopted
commands $break_adopted
  silent
  disable $break_first_ends
  disable $break_sys_wait4
  disable $break_first_released
  disable $break_second_ends
  disable $break_adopted
  printf "point adopted symbol %s", $symbol_do_notify_parent
  printf " rsp=%#lx rdi=%#lx rsi=%#lx rdx=%#lx rax=%#lx\n", (unsigned long)$rsp, (unsigned long)$rdi, (unsigned long)$rsi, (unsigned long)$rdx, (unsigned long)$rax
  if $lab_auto
    continue
  end
end

printf "Ready: sys_clone, first_born, first_ends, sys_wait4, first_released, second_call, second_born, second_ends, parent_ends, adopted, in this order.\n"
printf "Type continue, and start wait-zombie in the guest.\n"
