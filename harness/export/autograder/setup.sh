#!/usr/bin/env bash
# Builds the autograder's image: what lab needs from the distribution, then a run
# of the lab, which boots the kernel once and keeps a snapshot of it, and shows
# that this image can grade. AUTOGRADER_NO_INSTALL leaves the packages out.
set -euo pipefail
. "${AUTOGRADER_ROOT:-/autograder}/source/env.sh"

if [ -z "${AUTOGRADER_NO_INSTALL:-}" ]; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update
	apt-get install --yes --no-install-recommends {{.Packages}}
fi

chmod -R go+rX "$here"
chmod 755 "$here/lab" "$here/go/bin/go" "$here"/go/pkg/tool/*/*
mkdir -p "$here/cache/home"
if [ "$(id -u)" = 0 ]; then
	chown -R 65534:65534 "$here/cache"
fi

# The lab's own program has to pass here.
lab 1200 run {{.Lab}} {{.On}} >/dev/null

# A submission that compiles, so that the packages it imports are compiled here and
# not while a student waits. It is graded, and need not pass.
code=0
lab 1200 run {{.Lab}} {{.On}} --submission "$here/selftest" --format json >/dev/null || code=$?
if [ "$code" -gt 1 ] && [ -z "${LAB_SANDBOX:-}" ]; then
	echo "The image can not keep a compiler apart from the rest. That is all right: each submission has a container of its own, and nothing runs as root." >&2
	code=0
	LAB_SANDBOX=none lab 1200 run {{.Lab}} {{.On}} --submission "$here/selftest" --format json >/dev/null || code=$?
fi
[ "$code" -le 1 ]
