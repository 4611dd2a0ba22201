//! Runs the hooks of one moment by hand: `kickstage-hooks --moment createRuntime --config-fd 3`.
//! Used by people who debug a container and by `kickstage run --standalone`.

fn main() {}
