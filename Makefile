# Everything that a contributor types. `make run` and `make test` work on a fresh Debian 12 with
# Rust, as root: what is missing they install.

TARGET  := x86_64-unknown-linux-musl
OUT     := target/$(TARGET)/release
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
# The list of what `make install` has brought.
INSTALLED := $(PREFIX)/share/kickstage/installed
# What --version tells.
export KICKSTAGE_COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
ROLES   := stage1 stage2 master rpc hooks
PROGRAMS := kickstage $(ROLES:%=kickstage-%) kickstage-wasm
STATIC  := --release --target $(TARGET)

DEBIAN_LIBDIR := /usr/lib/x86_64-linux-gnu
# Who vouches for a package: whoever made the commit it is made of.
MAINTAINER ?= $(shell git log -1 --format='%an <%ae>' 2>/dev/null)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: build deps run test check unit system test-clients test-clients-vm test-vm stress fuzz bench \
	lib starter stage install uninstall dist test-package clean

build: deps
	cargo build $(STATIC) -p kickstage-cli $(ROLES:%=-p kickstage-%) -p kickstage-wasm -p kickstage-tests

# Debian packages: a linker for musl, libclang for bindgen, and for the tests a static busybox,
# the peers, and tools.
deps:
	@.ci/deps

run: build
	$(OUT)/kickstage try $(ARGS)

test: check unit system

check: deps
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	.ci/licences

# Each crate alone, as a contributor would.
unit: deps
	cargo test --workspace --exclude kickstage-tests --exclude kickstage-clients --quiet

system: build
	cargo test -p kickstage-tests --quiet

# Real engines on top of ours: podman, buildah, containerd, docker, Slurm. Installs them. With
# TESTVM in a guest as well.
test-clients: build
	.ci/deps clients
	cargo test -p kickstage-clients --quiet -- --test-threads=2
	$(if $(TESTVM),$(MAKE) test-clients-vm)

# These engines in a guest with systemd and cgroup v2, as root and as a user.
test-clients-vm: build
	.ci/test-vm-clients

# The same in a guest with systemd and cgroup v2; TESTVM names the program that runs one.
test-vm: build
	.ci/test-vm

stress: build
	KICKSTAGE_STRESS=10000 cargo test --release -p kickstage-tests --test stress
	KICKSTAGE_RACES=10000 cargo test --release -p kickstage-tests --test hardening_paths --test hardening_devices
	.ci/deps clients
	KICKSTAGE_PODMAN_ROW=500 KICKSTAGE_PODMAN_AT_ONCE=100 cargo test --release -p kickstage-clients --test podman_many

# The property tests with ever new inputs: MINUTES for each, TARGET for some (part of a name).
fuzz: deps
	MINUTES="$(MINUTES)" TARGET="$(TARGET)" .ci/fuzz

# In a view of the host without the empty v2 hierarchy of a hybrid one, which crun refuses.
# More peers: ARGS="--runtime NAME=PATH --floor PATH".
bench: build
	cargo build $(STATIC) --quiet -p kickstage-bench
	unshare -m --propagation private sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$$@"' sh \
		$(OUT)/kickstage-bench --runtime kickstage=$(OUT)/kickstage --runtime crun=crun --runtime runc=runc $(ARGS)

# The C library; its one object shows only the names of the header.
lib: deps
	cargo build --release -p kickstage-ffi
	ffi/hide-symbols.sh target/release/libkickstage.a target/libkickstage.a

# The reference starter, linked with the library: takes the place of Apptainer's
# libexec/apptainer/bin/starter for the oci engine.
starter: lib
	$(CC) -std=c11 -O2 -Wall -Wextra -Werror -Iffi/include -Istarter-sys/include -o target/kickstage-starter \
		starter-sys/reference/starter.c target/libkickstage.a $(shell sed -n 's/^Libs.private: //p' ffi/kickstage.pc.in)

# An installation as a tree, from which install and dist take it.
STAGE   := target/stage
stage: build lib starter
	PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" UNITDIR="$(UNITDIR)" ZSHDIR="$(ZSHDIR)" VERSION=$(VERSION) \
		packaging/stage $(STAGE) $(OUT)

install: stage
	packaging/install $(STAGE) "$(DESTDIR)" "$(INSTALLED)"

# What install has brought, and nothing else; needs no build.
uninstall:
	packaging/uninstall "$(DESTDIR)" "$(INSTALLED)"

# Debian packages, and an archive of the static programs for everything else. The packages are made
# by dpkg-deb: cargo-deb takes two minutes of processor time to install (3.8.0), several times what
# all the rest of this takes, and makes one package of one crate's files.
dist:
	$(MAKE) stage STAGE=target/debian PREFIX=/usr LIBDIR=$(DEBIAN_LIBDIR) UNITDIR=/lib/systemd/system \
		ZSHDIR=/usr/share/zsh/vendor-completions
	VERSION=$(VERSION) LIBDIR=$(DEBIAN_LIBDIR) MAINTAINER="$(MAINTAINER)" packaging/debian/build target/debian dist
	rm -rf dist/kickstage && mkdir -p dist/kickstage
	cp $(PROGRAMS:%=$(OUT)/%) README.md LICENSE CHANGELOG.md SECURITY.md dist/kickstage
	tar -C dist -czf dist/kickstage-$(TARGET).tar.gz kickstage

# The packages, and install and uninstall, on a clean Debian 12 that is made and kept in
# ~/.cache/kickstage.
test-package: dist
	.ci/deps package
	packaging/test

clean:
	cargo clean
	rm -rf dist
