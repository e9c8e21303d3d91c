#!/bin/sh
# The script for ftrace of ftrace-process.
#
# Your task: ${variant.extra} is among the functions that are traced, too.
#
# Run it line by line, and read what each line has done:
#     lab ftrace ftrace-process --script .
set -e
cd /sys/kernel/tracing
echo 0 > tracing_on

# Choose the functions, the tracer, its options and the events here.

echo 1 > tracing_on
ftrace-process
echo 0 > tracing_on
