# Everything that a contributor types. `make run` and `make test` work on a fresh Debian 12 with
# Rust, as root: what is missing they install.

TARGET  := x86_64-unknown-linux-musl
OUT     := target/$(TARGET)/release
PREFIX  ?= /usr/local
# What --version tells.
export KICKSTAGE_COMMIT := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
ROLES   := stage1 stage2 master rpc hooks
PROGRAMS := kickstage $(ROLES:%=kickstage-%)
STATIC  := --release --target $(TARGET)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: build deps run test check unit system test-clients test-vm stress fuzz bench lib starter install dist clean

build: deps
	cargo build $(STATIC) -p kickstage-cli $(ROLES:%=-p kickstage-%) -p kickstage-tests

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

# Real engines on top of ours: podman, buildah, containerd, docker, Slurm. Installs them.
test-clients: build
	.ci/deps clients
	cargo test -p kickstage-clients --quiet -- --test-threads=2

# The same in a guest with systemd and cgroup v2; TESTVM names the program that runs one.
test-vm: build
	.ci/test-vm

stress: build
	KICKSTAGE_STRESS=10000 cargo test --release -p kickstage-tests --test stress

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

install: build lib starter
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/kickstage \
		$(DESTDIR)$(PREFIX)/include/kickstage $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/libexec/kickstage
	install -m 755 $(PROGRAMS:%=$(OUT)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 755 -s target/kickstage-starter $(DESTDIR)$(PREFIX)/libexec/kickstage
	install -m 644 README.md LICENSE CHANGELOG.md SECURITY.md docs/*.md $(DESTDIR)$(PREFIX)/share/doc/kickstage
	$(OUT)/kickstage generate-docs $(DESTDIR)$(PREFIX)/share
	install -m 644 ffi/include/kickstage.h starter-sys/include/starter.h $(DESTDIR)$(PREFIX)/include/kickstage
	install -m 644 target/libkickstage.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 target/release/libkickstage.so $(DESTDIR)$(PREFIX)/lib
	sed 's|@prefix@|$(PREFIX)|; s|@libdir@|$(PREFIX)/lib|; s|@version@|$(VERSION)|' ffi/kickstage.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/kickstage.pc

dist: build
	rm -rf dist && mkdir -p dist/kickstage
	cp $(PROGRAMS:%=$(OUT)/%) README.md LICENSE CHANGELOG.md SECURITY.md dist/kickstage
	tar -C dist -czf dist/kickstage-$(TARGET).tar.gz kickstage

clean:
	cargo clean
	rm -rf dist
