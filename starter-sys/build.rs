//! Generates the Rust view of `include/starter.h`.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::{env, panic, process};

/// What bindgen reads. C's `bool` becomes a byte: the memory is written by another process,
/// and a Rust `bool` that is neither 0 nor 1 would be undefined behaviour.
const HEADER: &str = "\
#include <stdbool.h>
#undef bool
#define bool unsigned char
#include \"starter.h\"
";

const NO_LIBCLANG: &str = "\
bindgen reads starter.h with libclang, and that failed. If it is missing, install it
(Debian, Ubuntu: apt-get install libclang-dev), or set LIBCLANG_PATH to the directory that
holds libclang.so.";

fn main() {
    let include = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("include");
    println!("cargo::rerun-if-changed={}", include.display());
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");

    // bindgen panics when there is no libclang; its other failures are values.
    panic::set_hook(Box::new(|_| ()));
    let generated = panic::catch_unwind(|| generate(&include));
    let bindings = match generated {
        Ok(Ok(bindings)) => bindings,
        Ok(Err(error)) => fail(&format!("{NO_LIBCLANG}\n{error}")),
        Err(panic) => fail(&format!("{NO_LIBCLANG}\n{}", text(&*panic))),
    };
    let target = PathBuf::from(variable("OUT_DIR")).join("abi.rs");
    if let Err(error) = bindings.write_to_file(&target) {
        fail(&format!("{}: {error}", target.display()));
    }
}

fn generate(include: &Path) -> Result<bindgen::Bindings, bindgen::BindgenError> {
    bindgen::builder()
        .header_contents("starter-bytes.h", HEADER)
        .clang_args(["-std=c11".to_owned(), format!("-I{}", include.display())])
        .allowlist_type("starterConfig")
        .allowlist_var("STARTER_.*")
        .derive_debug(false)
        .layout_tests(false) // src/layout.rs asserts numbers, not what clang happens to say
        .formatter(bindgen::Formatter::None)
        .generate()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map_or("", String::as_str)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("{name} is not set: run this by cargo")))
}

fn fail(message: &str) -> ! {
    eprintln!("kickstage-starter-sys: {message}");
    process::exit(1)
}
