# What setup.sh and run_autograder share. AUTOGRADER_ROOT stands for /autograder.
root=${AUTOGRADER_ROOT:-/autograder}
here=$root/source

# Nothing that reads a student's files runs as root.
as=()
if [ "$(id -u)" = 0 ]; then
	as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi

# lab SECONDS ARGUMENT… runs lab for that long, with the archive's own toolchain
# and cache, and no network to ask.
lab() {
	local limit=$1
	shift
	timeout --kill-after=15 "$limit" "${as[@]}" env -i \
		PATH="$here/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
		HOME="$here/cache/home" GOCACHE="$here/cache/home/go-build" LAB_CACHE="$here/cache" \
		GOROOT="$here/go" GOTOOLCHAIN=local GOPROXY=off GOFLAGS= GOENV=off \
		LAB_SANDBOX="${LAB_SANDBOX:-}" NO_COLOR=1 \
		"$here/lab" "$@"
}
