//! Copies the C headers to `$WEIR_ENGINE_INCLUDE`, because their own directory has a hashed name.

use std::path::Path;
use std::{env, fs, io};

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn main() {
    println!("cargo:rerun-if-env-changed=WEIR_ENGINE_INCLUDE");
    let from = env::var("DEP_WASMTIME_C_API_INCLUDE").expect("wasmtime-c-api-impl tells where its headers are");
    let to = env::var("WEIR_ENGINE_INCLUDE")
        .unwrap_or_else(|_| format!("{}/include", env::var("OUT_DIR").expect("cargo sets OUT_DIR")));
    copy(Path::new(&from), Path::new(&to)).expect("copying the engine's headers");
}
