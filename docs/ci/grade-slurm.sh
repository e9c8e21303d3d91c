#!/bin/bash
# Grade a class with a Slurm array, from a checkout on a file system that all nodes
# share, after "make tools" there:
#
#	sbatch docs/ci/grade-slurm.sh
#
# The shards share one folder of results, and the last shard to end writes the whole
# class's grades.csv there; "bin/lab grade merge graded" prints it.
#SBATCH --job-name=grade-fork-new
#SBATCH --array=1-10
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --requeue
set -euo pipefail

# Fetch kernels where there is a network: run "bin/lab kernels fetch 6.1" on the
# login node, with the same cache.
export LAB_CACHE=${LAB_CACHE:-$HOME/.cache/lab}

# Exit code 1 means that some students failed, which is not a failure of this job. A job that
# was stopped resumes where it stopped.
bin/lab grade fork-new --submissions submissions --out graded --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --arch x86_64 --jobs "$SLURM_CPUS_PER_TASK" || [ $? = 1 ]
