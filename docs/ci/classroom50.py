#!/usr/bin/env python3
"""An autograder for Classroom 50: prog.go and answers.yaml are in the root of the
student's repository. Copy to CLASSROOM/autograders/ASSIGNMENT/autograder.py of your
classroom50 repository, and replace the URL with that of your copy of this project.

The assignment needs this runtime, as lab fetches kernels from the mirror in its
container's apt sources:

    {"container": {"image": "golang:1.26-trixie", "user": "root"}}
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = "https://github.com/COURSE/lab"
LAB = "fork-new"

# The working directory is the student's checkout. Nothing of it may take the place of
# this autograder's own results.
student = Path.cwd()
for name in ("result.json", "release-body.md"):
    (student / name).unlink(missing_ok=True)

work = Path(tempfile.mkdtemp())
os.environ.setdefault("LAB_CACHE", str(work / "cache"))
subprocess.run(["git", "clone", "--depth=1", PROJECT, work / "lab"], check=True)
subprocess.run(["make", "-C", work / "lab", "tools"], check=True)

# The identity of the submission is in the environment, which lab reads.
script = f"""
bin/lab run {LAB} --arch x86_64 --submission "$STUDENT" --out "$OUT" --format classroom50 > "$OUT.json"
"""
done = subprocess.run(
    ["bash", "-c", script],
    cwd=work / "lab",
    env={**os.environ, "STUDENT": str(student), "OUT": str(work / "out")},
)

# Exit code 0 means passed and 1 failed: both are graded. With any other the runner
# reports an error of the infrastructure, and no score.
if done.returncode not in (0, 1):
    sys.exit(done.returncode)
shutil.copy(work / "out.json", student / "result.json")
shutil.copy(work / "out" / "feedback.md", student / "release-body.md")
