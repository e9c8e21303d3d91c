# current-switch on x86_64, by hand: Who is current
# Generated from its lab.yaml by make generate; "lab debug current-switch" has gdb read lab.py, then this.
python
lab = Lab("current-switch")
lab.task("reader")
lab.task("next")
lab.task("writer")
lab.point("sys_read", "reader", entry=True, when="arg.count == 1",
    means="A task reads from the pipe, which is empty.")
lab.point("waits", "reader", place="__schedule", armed=["sys_read"], when="read.state == 1", reads={"state": "current.__state ?? current.state"},
    means="The task has set its state to TASK_INTERRUPTIBLE, and asks for another task to run.")
lab.point("leaves", "reader", place="__switch_to", armed=["waits"], finds={"next": "reg.rsi"},
    means="The kernel is about to make the other task current.")
lab.point("arrives", "next", place="finish_task_switch", armed=["leaves"], when="reg.rdi == reader",
    means="The same CPU, on the other task's stack. The switch that it once began returns.")
lab.point("softirq", "any", place="run_timer_softirq", armed=["arrives"],
    means="The kernel has left a timer's interrupt, and serves the timers that have run out. Whichever task was interrupted is still current.")
lab.point("wakes", "any", place="try_to_wake_up", armed=["arrives"], when="reg.rdi == reader", finds={"writer": "current"},
    means="The task that writes to the pipe wakes the task that waits for it. The reader does not run yet.")
lab.point("back", "reader", place="finish_task_switch", armed=["wakes"],
    means="The reader has the CPU again. Its call of __switch_to returns.")
lab.point("tick", "reader", place="update_process_times", armed=["back"],
    means="The timer has interrupted the reader, which computes. The interrupt has no task of its own.")
lab.point("preempted", "reader", place="__switch_to", armed=["tick"], when="read.state == 0 and read.to == writer", reads={"state": "current.__state ?? current.state", "to": "reg.rsi"},
    means="The reader leaves the CPU to the writer, and did not ask for it. Its state is still TASK_RUNNING.")
lab.ready()
end
