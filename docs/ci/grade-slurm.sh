#!/bin/bash
# Grade a class with a Slurm array, from a checkout on a file system that all nodes
# share, after "make tools" there:
#
#	sbatch docs/ci/grade-slurm.sh
#
# The shards share one folder of results, and the last to end leaves the whole
# class's grades.csv there; "bin/lab grade merge graded" prints it.
#SBATCH --job-name=grade-fork-new
#SBATCH --array=1-10
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --requeue
set -euo pipefail

# Kernels are fetched where there is a network: "bin/lab kernels fetch 6.1" on the
# login node, with the same cache.
export LAB_CACHE=${LAB_CACHE:-$HOME/.cache/lab}

# 1 is a class in which some failed, which is no failure of this job. A job that is
# stopped goes on where it was.
bin/lab grade fork-new --submissions submissions --out graded --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --arch x86_64 --jobs "$SLURM_CPUS_PER_TASK" || [ $? = 1 ]
