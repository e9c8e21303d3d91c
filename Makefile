# Two commands do everything: "make run" shows a process being born on real
# kernels, "make test" passes the tests. Both install what is missing.

GO     ?= go
LAB    := bin/lab
export GOFLAGS := -buildvcs=false

.PHONY: run test check bench fuzz soak build tools kernels generate clean

run: build tools
	$(LAB) run fork-new

# Every architecture named in LAB_REQUIRE must be tested: a test that would skip fails.
# vet is make check's.
test: export LAB_REQUIRE ?= x86_64,riscv64
test: build tools kernels
	$(GO) tool gotestsum --format pkgname -- -vet=off -timeout 30m ./...
	$(GO) test -race -run TestForkNewPasses ./harness

build:
	@echo "building $(LAB)"
	@$(GO) build -trimpath -o $(LAB) ./cmd/lab

# lab's own QEMU, into the cache, and gdb, bubblewrap and compilers, through apt-get,
# with sudo when not root.
tools: build
	$(LAB) doctor --install

# The kernels that the tests run on.
kernels: build
	$(LAB) kernels fetch 5.10 6.1 6.12 7.2

# The gate before a commit; needs no QEMU and no kernel, and so requires none.
check: export LAB_REQUIRE =
check:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "gofmt -w the files above"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) test -race -short -skip '^TestChanges$$' ./...
	$(GO) test -run '^TestChanges$$' ./harness/recording # takes eight times as long with -race

bench: build tools kernels
	$(GO) test -run '^$$' -bench 'Run|Start|Throughput|Open|List' -benchtime 3x ./cmd/lab
	$(GO) test -run '^$$' -bench 'Class|Course' -benchtime 1x ./cmd/lab

# Every native fuzz target, for a time each: make fuzz FUZZTIME=5m. What made one fail
# is kept in its package's testdata/fuzz, where the tests try it from then on.
FUZZTIME ?= 10s
fuzz:
	@failed=; for target in $$(git grep -o '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | sed 's/func //'); do \
		dir=$$(dirname $${target%%:*}) name=$${target##*:}; \
		echo "$$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "./$$dir" || failed="$$failed $$dir/$$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# RUNS runs on both architectures, with kills, stops and faults at random, and a class of
# as many submissions; SEED repeats one. It prints its seed.
RUNS ?= 2000
SEED ?=
soak: export LAB_REQUIRE ?= x86_64,riscv64
soak: build tools kernels
	LAB_SOAK=$(RUNS) LAB_SOAK_SEED=$(SEED) $(GO) test -count 1 -timeout 24h -v -run '^TestSoak' ./cmd/lab

# Files that are made from others; a test fails when they are stale.
generate:
	$(GO) test ./labs ./harness/grade ./harness/report ./harness/task/listing -run 'Golden|Stale|Script|Schema' -update

clean:
	rm -rf bin
