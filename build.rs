//! Notes the compiler's version, for `springhead_build_info`.

use std::process::Command;

fn main() {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let said = Command::new(compiler).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    // "rustc 1.95.0 (hash date)"
    let version = said.split_whitespace().nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=SPRINGHEAD_RUSTC={version}");
    println!("cargo:rerun-if-changed=build.rs");
}
