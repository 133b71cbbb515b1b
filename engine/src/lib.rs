//! Re-exports every symbol of Wasmtime's C API. Without this line rustc links none of them.
pub use wasmtime_c_api::*;
