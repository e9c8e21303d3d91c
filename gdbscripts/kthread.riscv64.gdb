# kthread on riscv64, by hand: A thread of the kernel's own
#
# Generated from labs/kthread/lab.yaml by: go test ./labs -run TestGDBScripts
# -update
#
# Use it in gdb-multiarch that has the kernel's symbols and is connected to
# its guest, as "lab debug kthread" starts it; or:
#   gdb-multiarch -ex 'set architecture riscv:rv64' -ex 'symbol-file SYMBOLS' \
#     -ex 'target remote SOCKET' -x gdbscripts/kthread.riscv64.gdb
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
    "kthread_create_on_node": ["kthread_create_on_node"],
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
# $lab_asker and $lab_maker and $lab_newborn hold; 0 is none.
set $lab_asker = 0
set $lab_maker = 0
set $lab_newborn = 0

# What the lab watches and this script does not:
# - kernel_thread: the condition of maker: task.pid can not be said in gdb
# - kernel_clone: the condition of maker: task.pid can not be said in gdb
# - dup_task_struct: the condition of maker: task.pid can not be said in gdb
# - copy_thread: the condition of maker: task.pid can not be said in gdb
# - wake_up_new_task: the condition of maker: task.pid can not be said in gdb
# - ret_from_fork_kernel: nothing here tells which task the newborn is
# - kthread: nothing here tells which task the newborn is
# - asker_gets: type "finish" at kthread_create_on_node to come there
# - khugepaged: nothing here tells which task the newborn is
# - kthread_stop: it is armed at khugepaged, which is left out
# - newborn_ends: nothing here tells which task the newborn is

# kthread_create_on_node: The kernel, running for the program that wrote to
# the switch, asks for a thread. It puts its wish on a list, wakes kthreadd
# and waits.
break *$kthread_create_on_node if 1
set $break_kthread_create_on_node = $bpnum
commands $break_kthread_create_on_node
  silent
  set $lab_asker = (unsigned long)$tp
  set $lab_newborn = 0
  printf "point kthread_create_on_node symbol %s", $symbol_kthread_create_on_node
  printf " sp=%#lx ra=%#lx a0=%#lx a1=%#lx a2=%#lx\n", (unsigned long)$sp, (unsigned long)$ra, (unsigned long)$a0, (unsigned long)$a1, (unsigned long)$a2
  if $lab_auto
    continue
  end
end

printf "Ready: kthread_create_on_node, in this order.\n"
printf "Type continue, and start kthread in the guest.\n"
