#!/bin/sh
# The lab's own script: it sets ftrace up, runs the program, and stops tracing.
set -e
cd /sys/kernel/tracing

# Nothing is recorded until everything is set up.
echo 0 > tracing_on
echo nop > current_tracer
echo > set_event
echo > trace

# Which functions: the clone call's entry has another name on each architecture.

# What is recorded with each call: the stack, with offsets.
echo function > current_tracer
echo 1 > options/func_stack_trace
echo 1 > options/sym-offset

# Which events.
echo sched_switch sched_wakeup sched_process_fork sched_process_exit > set_event
echo signal_generate signal_deliver >> set_event

echo 1 > tracing_on
ftrace-process
echo 0 > tracing_on
