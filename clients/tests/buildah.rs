//! buildah: run and build with the runtime, images from nothing and from files.

use kickstage_clients::podman::{IMAGE, Podman};
use kickstage_clients::program;
use kickstage_tests::Ended;
use kickstage_tests::bundle::unique_id;
use std::fs;

/// buildah on the storage of a podman, with its isolation by the runtime under test.
struct Buildah(Podman);

impl Buildah {
    fn new() -> Self {
        Self(Podman::new())
    }

    /// What buildah calls a run by an OCI runtime: a user's can't set up the network as root's does.
    fn isolation(&self) -> &'static str {
        if self.0.rootless() { "rootless" } else { "oci" }
    }

    #[track_caller]
    fn call(&self, args: &[&str]) -> Ended {
        let mut command = self.0.program("buildah");
        program::run(
            command
                .env("BUILDAH_ISOLATION", self.isolation())
                .env("BUILDAH_RUNTIME", self.0.runtime())
                .args(args),
        )
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        self.call(args).ok().stdout.trim().to_string()
    }
}

/// A working container, removed with the value.
struct Working<'a>(&'a Buildah, String);

impl<'a> Working<'a> {
    #[track_caller]
    fn from(buildah: &'a Buildah, image: &str) -> Self {
        Self(buildah, buildah.says(&["from", "--name", &unique_id(), image]))
    }

    #[track_caller]
    fn run(&self, flags: &[&str], words: &[&str]) -> Ended {
        self.0.call(&[&["run"], flags, &[&self.1, "--"], words].concat())
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.call(&["rm", &self.1]);
    }
}

#[test]
fn run_has_output_exit_code_user_and_volumes() {
    let buildah = Buildah::new();
    let working = Working::from(&buildah, IMAGE);
    let said = working.run(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, said.stdout.as_str()), (7, "out\n"), "{said:?}");
    assert!(said.stderr.contains("err"), "{said:?}");
    assert_eq!(working.run(&["--user", "1000"], &["id", "-u"]).ok().stdout, "1000\n");
    let dir = tempfile::tempdir_in(buildah.0.dir()).unwrap();
    fs::write(dir.path().join("file"), "given").unwrap();
    let volume = format!("{}:/given:ro", dir.path().display());
    let said = working.run(
        &["--volume", &volume],
        &["sh", "-c", "cat /given/file; echo x > /given/new || echo refused"],
    );
    assert_eq!(said.ok().stdout, "givenrefused\n");
    let seen = working
        .run(&["--cap-add", "CAP_NET_ADMIN", "--hostname", "builder"], &["probe"])
        .ok()
        .json();
    assert_eq!(seen["hostname"], "builder");
    let set = u64::from_str_radix(seen["status"]["CapEff"].as_str().unwrap(), 16).unwrap();
    assert_ne!(set & 1 << 12, 0);
    assert_eq!(seen["status"]["Seccomp"], "2");
}

#[test]
fn what_a_run_changes_is_in_the_image() {
    let buildah = Buildah::new();
    let working = Working::from(&buildah, IMAGE);
    working.run(&[], &["sh", "-c", "echo made > /made"]).ok();
    let image = format!("localhost/{}", unique_id());
    buildah.says(&["commit", "--quiet", &working.1, &image]);
    assert_eq!(buildah.0.says(&["run", "--rm", &image, "cat", "/made"]), "made");
    buildah.0.call(&["rmi", "--force", &image]).ok();
}

#[test]
fn an_image_is_made_from_nothing() {
    let buildah = Buildah::new();
    let working = Working::from(&buildah, "scratch");
    buildah.says(&["copy", "--quiet", &working.1, "/bin/busybox", "/bin/busybox"]);
    assert_eq!(working.run(&[], &["/bin/busybox", "echo", "alone"]).ok().stdout, "alone\n");
}

#[test]
fn a_file_of_instructions_is_built() {
    let buildah = Buildah::new();
    let dir = tempfile::tempdir_in(buildah.0.dir()).unwrap();
    fs::write(dir.path().join("data"), "copied\n").unwrap();
    let instructions = format!(
        "FROM {IMAGE} AS first\n\
         RUN echo step one > /one\n\
         FROM {IMAGE}\n\
         ARG WORD=none\n\
         COPY data /data\n\
         COPY --from=first /one /one\n\
         RUN busybox chmod 1777 /tmp\n\
         USER 1000\n\
         WORKDIR /tmp\n\
         RUN id -u > /tmp/who && busybox pwd > /tmp/where && echo $WORD > /tmp/word\n\
         RUN --mount=type=tmpfs,target=/scratch echo x > /scratch/x || true\n\
         CMD [\"cat\", \"/data\", \"/one\", \"/tmp/who\", \"/tmp/where\", \"/tmp/word\"]\n"
    );
    fs::write(dir.path().join("Containerfile"), instructions).unwrap();
    let image = format!("localhost/{}", unique_id());
    let path = dir.path().display().to_string();
    buildah.call(&["bud", "--build-arg", "WORD=given", "--tag", &image, &path]).ok();
    let said = buildah.0.says(&["run", "--rm", &image]);
    assert_eq!(said, "copied\nstep one\n1000\n/tmp\ngiven");
    buildah.0.call(&["rmi", "--force", &image]).ok();
}

#[test]
fn a_step_that_fails_fails_the_build_with_its_code() {
    let buildah = Buildah::new();
    let dir = tempfile::tempdir_in(buildah.0.dir()).unwrap();
    fs::write(dir.path().join("Containerfile"), format!("FROM {IMAGE}\nRUN exit 9\n")).unwrap();
    let path = dir.path().display().to_string();
    let ended = buildah.call(&["bud", "--isolation", buildah.isolation(), &path]);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("exit status 9"), "{ended:?}");
}
