# fork-family on riscv64, by hand: Four ways to make a task, and one
#
# Generated from labs/fork-family/lab.yaml by: go test ./labs -run
# TestGDBScripts -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug fork-family" starts it; or:
#   gdb-multiarch -ex 'set architecture riscv:rv64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/fork-family.riscv64.gdb
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
    "sys_clone": ["__riscv_sys_clone", "__se_sys_clone", "sys_clone"],
    "kernel_clone": ["kernel_clone", "_do_fork"],
    "wake_up_new_task": ["wake_up_new_task"],
    "ret_from_fork": ["ret_from_fork_user_asm", "ret_from_fork"],
    "do_exit": ["do_exit"],
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
# $lab_parent and $lab_forked and $lab_vforked and $lab_thread and $lab_cloned
# hold; 0 is none.
set $lab_parent = 0
set $lab_forked = 0
set $lab_vforked = 0
set $lab_thread = 0
set $lab_cloned = 0

# What the lab watches and this script does not:
# - sys_fork: its table of system calls, the generic one, leaves out fork,
# which is clone there
# - sys_vfork: its table leaves out vfork too, which is clone with flags there
# - vfork_returns: type "finish" at vfork to come there
# - clone_thread: it is armed at vfork_returns, which is left out
# - thread_made: it is armed at clone_thread, which is left out
# - thread_made_wakes: it is armed at thread_made, which is left out
# - thread_made_starts: nothing here tells which task the thread is
# - sys_clone3: it is armed at thread_made_starts, which is left out
# - clone3: it is armed at sys_clone3, which is left out
# - clone3_wakes: it is armed at clone3, which is left out
# - clone3_starts: nothing here tells which task the cloned is

# fork_is_clone: Where there is no fork, it is clone with nothing shared and
# SIGCHLD as the signal of its end.
break *$sys_clone if $lab_parent == 0 && (($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$a0 + 280) : (unsigned long)$a0) == 0x11)
set $break_fork_is_clone = $bpnum
commands $break_fork_is_clone
  silent
  set $lab_parent = (unsigned long)$tp
  set $lab_forked = 0
  set $lab_vforked = 0
  set $lab_thread = 0
  set $lab_cloned = 0
  enable $break_fork
  printf "point fork_is_clone symbol %s", $symbol_sys_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# fork: All ways meet here. fork asks for nothing but a signal at the end.
break *$kernel_clone if (unsigned long)$tp == $lab_parent
set $break_fork = $bpnum
disable $break_fork
commands $break_fork
  silent
  enable $break_fork_wakes
  disable $break_fork
  printf "point fork symbol %s", $symbol_kernel_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# fork_wakes: The new task is whole. Here is what it shares with its parent.
break *$wake_up_new_task if (unsigned long)$tp == $lab_parent
set $break_fork_wakes = $bpnum
disable $break_fork_wakes
commands $break_fork_wakes
  silent
  set $lab_forked = $a0
  enable $break_fork_starts
  disable $break_fork_wakes
  printf "point fork_wakes symbol %s", $symbol_wake_up_new_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# fork_starts: The child of fork, at its first instruction.
break *$ret_from_fork if (unsigned long)$tp == $lab_forked
set $break_fork_starts = $bpnum
disable $break_fork_starts
commands $break_fork_starts
  silent
  enable $break_vfork_is_clone
  disable $break_fork_starts
  printf "point fork_starts symbol %s", $symbol_ret_from_fork
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# vfork_is_clone: Where there is no vfork, it is clone with CLONE_VM and
# CLONE_VFORK.
break *$sys_clone if (unsigned long)$tp == $lab_parent && ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$a0 + 280) : (unsigned long)$a0) & 0x4000) != 0x0)
set $break_vfork_is_clone = $bpnum
disable $break_vfork_is_clone
commands $break_vfork_is_clone
  silent
  enable $break_vfork
  disable $break_vfork_is_clone
  printf "point vfork_is_clone symbol %s", $symbol_sys_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# vfork: vfork lends the child its memory, and its stack, and sleeps until the
# child has called exec or ended.
break *$kernel_clone if (unsigned long)$tp == $lab_parent
set $break_vfork = $bpnum
disable $break_vfork
commands $break_vfork
  silent
  enable $break_vfork_wakes
  disable $break_vfork
  printf "point vfork symbol %s", $symbol_kernel_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# vfork_wakes: The new task is whole. Here is what it shares with its parent.
break *$wake_up_new_task if (unsigned long)$tp == $lab_parent
set $break_vfork_wakes = $bpnum
disable $break_vfork_wakes
commands $break_vfork_wakes
  silent
  set $lab_vforked = $a0
  enable $break_vfork_starts
  disable $break_vfork_wakes
  printf "point vfork_wakes symbol %s", $symbol_wake_up_new_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# vfork_starts: The child of vfork, in the memory of its parent.
break *$ret_from_fork if (unsigned long)$tp == $lab_vforked
set $break_vfork_starts = $bpnum
disable $break_vfork_starts
commands $break_vfork_starts
  silent
  enable $break_vforked_ends
  disable $break_vfork_starts
  printf "point vfork_starts symbol %s", $symbol_ret_from_fork
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# vforked_ends: The child ends. Not before that, or an exec, does its parent
# go on.
break *$do_exit if (unsigned long)$tp == $lab_vforked
set $break_vforked_ends = $bpnum
disable $break_vforked_ends
commands $break_vforked_ends
  silent
  disable $break_vforked_ends
  printf "point vforked_ends symbol %s", $symbol_do_exit
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

printf "Ready: fork_is_clone, fork, fork_wakes, fork_starts, vfork_is_clone, vfork, vfork_wakes, vfork_starts, vforked_ends, in this order.\n"
printf "Type continue, and start fork-family in the guest.\n"
