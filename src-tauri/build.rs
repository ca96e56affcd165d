//! Reads `tauri.conf.json` for the compiler.

fn main() {
    tauri_build::build();
}
