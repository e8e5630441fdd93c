//! The crates tokenizers and safetensors behind a C ABI. midlayer_ffi.h documents every function; here is only what the
//! two halves share: how bytes come in and how errors go out.

mod safetensors_header;
mod tokenizer;

use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs `body`; an error or a panic becomes a message in `*error` and `None`.
///
/// A panic leaves nothing half-written that is used again: tokenizers are only read, and the crates ignore a cache whose
/// lock is poisoned.
fn guard<T>(error: *mut *mut c_char, body: impl FnOnce() -> Result<T, String>) -> Option<T> {
    let message = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(message)) => message,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            format!("internal error: {text}")
        }
    };
    if !error.is_null() {
        let message = CString::new(message.replace('\0', "\u{fffd}")).unwrap_or_default();
        // SAFETY: the caller gave a valid place for the message, or null.
        unsafe { *error = message.into_raw() };
    }
    None
}

/// The bytes at `data[0, size)`. An empty C++ view may have a null pointer, which a Rust slice must not have.
///
/// # Safety
/// The bytes must be readable and unchanged for `'a`.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if data.is_null() || size == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(data, size) }
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_error_free(message: *mut c_char) {
    if !message.is_null() {
        drop(unsafe { CString::from_raw(message) });
    }
}
