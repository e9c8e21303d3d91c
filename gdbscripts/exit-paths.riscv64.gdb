# exit-paths on riscv64, by hand: Two ways to die
#
# Generated from labs/exit-paths/lab.yaml by: go test ./labs -run
# TestGDBScripts -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug exit-paths" starts it; or:
#   gdb-multiarch -ex 'set architecture riscv:rv64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/exit-paths.riscv64.gdb
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
    "wake_up_new_task": ["wake_up_new_task"],
    "sys_exit_group": ["__riscv_sys_exit_group", "__se_sys_exit_group", "sys_exit_group"],
    "do_group_exit": ["do_group_exit"],
    "do_exit": ["do_exit"],
    "exit_signals": ["exit_signals"],
    "exit_mm": ["exit_mm", "exit_mm_release", "mm_update_next_owner"],
    "exit_sem": ["exit_sem"],
    "exit_files": ["exit_files"],
    "exit_fs": ["exit_fs"],
    "do_notify_parent": ["do_notify_parent"],
    "do_task_dead": ["do_task_dead"],
    "finish_task_switch": ["finish_task_switch"],
    "release_task": ["release_task"],
    "sys_kill": ["__riscv_sys_kill", "__se_sys_kill", "sys_kill"],
    "get_signal": ["get_signal"],
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
# $lab_parent and $lab_quitter and $lab_victim hold; 0 is none.
set $lab_parent = 0
set $lab_quitter = 0
set $lab_victim = 0

# sys_clone: The program makes the first child.
break *$sys_clone if $lab_parent == 0 && ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$a0 + 280) : (unsigned long)$a0) & (0x100 + 0x10000)) == 0x0)
set $break_sys_clone = $bpnum
commands $break_sys_clone
  silent
  set $lab_parent = (unsigned long)$tp
  set $lab_quitter = 0
  set $lab_victim = 0
  enable $break_quitter_born
  printf "point sys_clone symbol %s", $symbol_sys_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_born: The first child is whole. From here on the lab knows which
# task it is.
break *$wake_up_new_task if (unsigned long)$tp == $lab_parent
set $break_quitter_born = $bpnum
disable $break_quitter_born
commands $break_quitter_born
  silent
  set $lab_quitter = $a0
  enable $break_sys_exit_group
  enable $break_quitter_released
  enable $break_second_call
  disable $break_quitter_born
  printf "point quitter_born symbol %s", $symbol_wake_up_new_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# sys_exit_group: The first child asks to end, with all its threads. C's
# exit() comes here in the end, and so does a return from main.
break *$sys_exit_group if (unsigned long)$tp == $lab_quitter
set $break_sys_exit_group = $bpnum
disable $break_sys_exit_group
commands $break_sys_exit_group
  silent
  enable $break_quitter_group_exit
  enable $break_quitter_exit
  enable $break_exit_signals
  enable $break_exit_mm
  enable $break_exit_sem
  enable $break_exit_files
  enable $break_exit_fs
  enable $break_quitter_tells
  enable $break_quitter_dead
  disable $break_sys_exit_group
  printf "point sys_exit_group symbol %s", $symbol_sys_exit_group
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_group_exit: All threads of the process are told to end. Here both
# ways meet.
break *$do_group_exit if (unsigned long)$tp == $lab_quitter
set $break_quitter_group_exit = $bpnum
disable $break_quitter_group_exit
commands $break_quitter_group_exit
  silent
  disable $break_quitter_group_exit
  printf "point quitter_group_exit symbol %s", $symbol_do_group_exit
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_exit: This one task ends. The function never returns.
break *$do_exit if (unsigned long)$tp == $lab_quitter
set $break_quitter_exit = $bpnum
disable $break_quitter_exit
commands $break_quitter_exit
  silent
  disable $break_quitter_exit
  printf "point quitter_exit symbol %s", $symbol_do_exit
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# exit_signals: The task is marked PF_EXITING. From here on no signal is
# delivered to it.
break *$exit_signals if (unsigned long)$tp == $lab_quitter
set $break_exit_signals = $bpnum
disable $break_exit_signals
commands $break_exit_signals
  silent
  disable $break_exit_signals
  printf "point exit_signals symbol %s", $symbol_exit_signals
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# exit_mm: The task gives up its address space. What is left of it runs in the
# kernel only.
break *$exit_mm if (unsigned long)$tp == $lab_quitter
set $break_exit_mm = $bpnum
disable $break_exit_mm
commands $break_exit_mm
  silent
  disable $break_exit_mm
  printf "point exit_mm symbol %s", $symbol_exit_mm
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# exit_sem: What it did to semaphores is undone.
break *$exit_sem if (unsigned long)$tp == $lab_quitter
set $break_exit_sem = $bpnum
disable $break_exit_sem
commands $break_exit_sem
  silent
  disable $break_exit_sem
  printf "point exit_sem symbol %s", $symbol_exit_sem
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# exit_files: Its files are closed, those that no one else has open.
break *$exit_files if (unsigned long)$tp == $lab_quitter
set $break_exit_files = $bpnum
disable $break_exit_files
commands $break_exit_files
  silent
  disable $break_exit_files
  printf "point exit_files symbol %s", $symbol_exit_files
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# exit_fs: It lets go of its root and its working directory.
break *$exit_fs if (unsigned long)$tp == $lab_quitter
set $break_exit_fs = $bpnum
disable $break_exit_fs
commands $break_exit_fs
  silent
  disable $break_exit_fs
  printf "point exit_fs symbol %s", $symbol_exit_fs
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_tells: It is a zombie now, and its parent is sent SIGCHLD.
break *$do_notify_parent if (unsigned long)$tp == $lab_quitter
set $break_quitter_tells = $bpnum
disable $break_quitter_tells
commands $break_quitter_tells
  silent
  disable $break_quitter_tells
  printf "point quitter_tells symbol %s", $symbol_do_notify_parent
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_dead: The last function that it calls sets TASK_DEAD and calls
# __schedule, which does not come back. It still stands on its kernel stack,
# so it can not free that.
break *$do_task_dead if (unsigned long)$tp == $lab_quitter
set $break_quitter_dead = $bpnum
disable $break_quitter_dead
commands $break_quitter_dead
  silent
  enable $break_quitter_buried
  disable $break_quitter_dead
  printf "point quitter_dead symbol %s", $symbol_do_task_dead
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_buried: Another task runs, on a stack of its own. It finds that the
# task before it was dead, and gives back the dead one's kernel stack.
break *$finish_task_switch if ($a0 == $lab_quitter)
set $break_quitter_buried = $bpnum
disable $break_quitter_buried
commands $break_quitter_buried
  silent
  disable $break_quitter_buried
  printf "point quitter_buried symbol %s", $symbol_finish_task_switch
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# quitter_released: The parent's wait has found the zombie, and takes it off
# all lists. With several tasks on one CPU this may come before or after the
# stack is given back.
break *$release_task if (unsigned long)$tp == $lab_parent && ($a0 == $lab_quitter)
set $break_quitter_released = $bpnum
disable $break_quitter_released
commands $break_quitter_released
  silent
  disable $break_quitter_released
  printf "point quitter_released symbol %s", $symbol_release_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# second_call: The program makes the second child.
break *$sys_clone if (unsigned long)$tp == $lab_parent && ((($wrapped_sys_clone ? *(unsigned long *)((unsigned long)$a0 + 280) : (unsigned long)$a0) & (0x100 + 0x10000)) == 0x0)
set $break_second_call = $bpnum
disable $break_second_call
commands $break_second_call
  silent
  enable $break_victim_born
  disable $break_second_call
  printf "point second_call symbol %s", $symbol_sys_clone
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_born: The second child is whole. It will wait without end, and ask
# for nothing.
break *$wake_up_new_task if (unsigned long)$tp == $lab_parent
set $break_victim_born = $bpnum
disable $break_victim_born
commands $break_victim_born
  silent
  set $lab_victim = $a0
  enable $break_sys_kill
  enable $break_victim_released
  disable $break_victim_born
  printf "point victim_born symbol %s", $symbol_wake_up_new_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# sys_kill: The parent sends SIGKILL. That marks a signal as pending and wakes
# the victim; more the sender can not do.
break *$sys_kill if (unsigned long)$tp == $lab_parent
set $break_sys_kill = $bpnum
disable $break_sys_kill
commands $break_sys_kill
  silent
  enable $break_get_signal
  enable $break_victim_group_exit
  enable $break_victim_exit
  disable $break_sys_kill
  printf "point sys_kill symbol %s", $symbol_sys_kill
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# get_signal: The victim is on its way back to user space, and looks for
# signals before it gets there. It finds one that it can neither catch nor
# ignore.
break *$get_signal if (unsigned long)$tp == $lab_victim
set $break_get_signal = $bpnum
disable $break_get_signal
commands $break_get_signal
  silent
  disable $break_get_signal
  printf "point get_signal symbol %s", $symbol_get_signal
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_group_exit: The same function that an exit_group calls, called for
# the victim by the delivery of its signal.
break *$do_group_exit if (unsigned long)$tp == $lab_victim
set $break_victim_group_exit = $bpnum
disable $break_victim_group_exit
commands $break_victim_group_exit
  silent
  disable $break_victim_group_exit
  printf "point victim_group_exit symbol %s", $symbol_do_group_exit
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_exit: From here on its way is that of the first child.
break *$do_exit if (unsigned long)$tp == $lab_victim
set $break_victim_exit = $bpnum
disable $break_victim_exit
commands $break_victim_exit
  silent
  enable $break_victim_dead
  disable $break_victim_exit
  printf "point victim_exit symbol %s", $symbol_do_exit
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_dead: The end, as before.
break *$do_task_dead if (unsigned long)$tp == $lab_victim
set $break_victim_dead = $bpnum
disable $break_victim_dead
commands $break_victim_dead
  silent
  enable $break_victim_buried
  disable $break_victim_dead
  printf "point victim_dead symbol %s", $symbol_do_task_dead
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_buried: And whichever task comes next gives its kernel stack back.
break *$finish_task_switch if ($a0 == $lab_victim)
set $break_victim_buried = $bpnum
disable $break_victim_buried
commands $break_victim_buried
  silent
  disable $break_victim_buried
  printf "point victim_buried symbol %s", $symbol_finish_task_switch
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

# victim_released: The parent has waited for it as for the other.
break *$release_task if (unsigned long)$tp == $lab_parent && ($a0 == $lab_victim)
set $break_victim_released = $bpnum
disable $break_victim_released
commands $break_victim_released
  silent
  disable $break_victim_released
  printf "point victim_released symbol %s", $symbol_release_task
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

printf "Ready: sys_clone, quitter_born, sys_exit_group, quitter_group_exit, quitter_exit, exit_signals, exit_mm, exit_sem, exit_files, exit_fs, quitter_tells, quitter_dead, quitter_buried, quitter_released, second_call, victim_born, sys_kill, get_signal, victim_group_exit, victim_exit, victim_dead, victim_buried, victim_released, in this order.\n"
printf "Type continue, and start exit-paths in the guest.\n"
