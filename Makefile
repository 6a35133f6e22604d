# Names for commands. Variables:
#   VERSION   what jobd --version says              make build VERSION=1.2.3
#   PKG, RUN  which tests                           make test PKG=./job/... RUN=Stories
#   FUZZTIME  how long each fuzzer runs             make fuzz FUZZTIME=1m
#   DESTDIR   where to install, and                make install DESTDIR=/tmp/jobd PREFIX=/usr
#   PREFIX    below which directory
#   STEPS     how many random operations, each with  make soak STEPS=5000 SEED=7
#   SEED      which ones; 0: new ones

VERSION  ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo dev)
PKG      ?= ./...
RUN      ?= .
FUZZTIME ?= 20s
STEPS    ?= 100000
BIN      ?= bin
SEED     ?= 0
GO       ?= go
CC       ?= cc

# No build id: Go makes it of the C compiler's flags, too, and those have a path of this machine where another architecture is built for.
LDFLAGS    := -s -w -buildid= -X main.version=$(VERSION)
PAM_CFLAGS := -std=c11 -O2 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -fstack-protector-strong -D_FORTIFY_SOURCE=2
PAM_LDFLAGS := -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,--version-script=pam/module/pam_job.map
LIB_LDFLAGS := -shared -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,--version-script=libjob/libjob.map -Wl,-soname,libjob.so.2
JCOMMANDS  := jstat jkill jwait jattach jdetach jsethid
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

PACKAGING   := cmd/jobd/packaging

.PHONY: all build install uninstall packages demo test test-bpf test-vm test-full bench fuzz soak lint bpf deps clean
all: build

build: $(BIN)/jobd $(BIN)/jobctl $(BIN)/pam_job.so $(BIN)/libjob.so $(BIN)/jcompat

# jobd asks no name service and needs no C; jobctl opens PAM sessions, and does.
$(BIN)/jobd: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/jobd
$(BIN)/jobctl: FORCE
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/jobctl
$(BIN)/pam_job.so: $(wildcard pam/module/*.c pam/module/*.h) pam/module/pam_job.map
	@mkdir -p $(BIN)
	$(CC) $(PAM_CFLAGS) $(PAM_LDFLAGS) -o $@ $(wildcard pam/module/*.c) -lpam
# SGI's job library, for programs that are linked to it, and its commands: one program, by their names.
$(BIN)/libjob.so: $(BIN)/libjob.so.2
	ln -sf libjob.so.2 $@
$(BIN)/libjob.so.2: $(wildcard libjob/*.c libjob/*.h) libjob/libjob.map
	@mkdir -p $(BIN)
	$(CC) $(PAM_CFLAGS) $(LIB_LDFLAGS) -o $@ $(wildcard libjob/*.c)
$(BIN)/jcompat: FORCE
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/jcompat
	for name in $(JCOMMANDS); do ln -sf jcompat $(BIN)/$$name || exit; done
FORCE:

# For who has no packages: below DESTDIR, in PREFIX (/usr/local). Build first, then install as root.
install:
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BIN='$(BIN)' $(PACKAGING)/install.sh
uninstall:
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BIN='$(BIN)' $(PACKAGING)/install.sh --uninstall

# A .deb and an .rpm in dist, for amd64 and arm64 (ARCHES).
packages: deps
	.ci/deps packages
	$(PACKAGING)/build.sh

# The main job on this machine, from nothing. Installs a C compiler and libpam's headers if they are missing.
demo: deps build
	cmd/jobd/demo.sh

# Every test that this machine can run. What needs root or a program that is not there says so and is skipped; with
# JOBD_INTEGRATION=1 it fails instead.
test: deps build
	$(GO) test -timeout 15m -run '$(RUN)' $(PKG)

# Parity, storms, restarts, kills and random operations again, with the engine that the kernel tells. What is not named here is in
# test-full.
test-bpf: build
	JOBD_E2E_ENGINE=bpf JOBD_INTEGRATION=1 $(GO) test -count 1 -timeout 15m \
		-run 'Libjob|JCommands|JSetHID|DrainOutlives|AttachAgain|Parity|StormsAreCounted|TestHandover$$|KilledWithHeld|TestRandom$$|Limit|TestRestart|AttachMoveDetach' ./cmd/jobd/e2e \
		-args -random-steps 300

# The main job on a whole Debian 12 with systemd, in qemu; then power cuts and clocks that jump on a bare kernel.
test-vm: build
	cmd/jobd/vm/run.sh
	cmd/jobd/vm/power.sh

# All of it, with the race detector, and every fuzzer for a while.
test-full: deps build lint
	JOBD_INTEGRATION=1 JOBD_FULL=1 $(GO) test -race -timeout 60m -run '$(RUN)' $(PKG)
	JOBD_E2E_ENGINE=bpf JOBD_INTEGRATION=1 JOBD_FULL=1 $(GO) test -race -count 1 -timeout 60m ./cmd/jobd/e2e
	$(MAKE) fuzz
	$(MAKE) test-vm JOBD_POWER_CUTS=20

bench: deps build
	.ci/deps bench
	$(GO) test -count 1 -timeout 60m -v ./cmd/jobd/bench -args -bench-table

fuzz:
	.ci/fuzz $(FUZZTIME)

# Random operations by real processes beside the reference model, until there were enough or something differs. Says how to
# do the same again.
soak: deps
	JOBD_INTEGRATION=1 $(GO) test -count 1 -timeout 0 -v -run TestRandom ./cmd/jobd/e2e -args \
		-random-steps $(STEPS) -random-seed $(SEED) -random-shrink 20m | grep -v level=INFO

# The programs that run in the kernel, from their C. What comes out is committed, so that nobody else needs clang.
bpf:
	.ci/deps bpf
	$(GO) generate ./job/label

lint:
	@test -z "$$(gofmt -l cmd docs job metrics pam store)" || { gofmt -l cmd docs job metrics pam store; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

deps:
	.ci/deps build

clean:
	rm -rf bin dist
