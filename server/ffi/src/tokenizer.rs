//! The tokenizers crate behind C functions.

use std::ffi::c_char;
use std::ptr;
use std::str;

use tokenizers::{Encoding, PostProcessor, Token, Tokenizer};

use crate::{bytes, guard};

/// A tokenizer whose special tokens are known beforehand. The post-processor's work on ids is to put the same tokens
/// around every text; doing that here lets truncation cut the text alone, at either end.
pub struct MidlayerTokenizer {
    tokenizer: Tokenizer,
    leading: Vec<i32>,
    trailing: Vec<i32>,
    vocab_size: usize,
    max_id: i32,
}

#[repr(C)]
pub struct MidlayerTokenizerInfo {
    vocab_size: usize,
    max_id: i32,
    num_leading: usize,
    num_trailing: usize,
}

// An integer, not a Rust enum: C may pass any number.
const TRUNCATE_NONE: u32 = 0;
const TRUNCATE_LEFT: u32 = 1;
const TRUNCATE_RIGHT: u32 = 2;

#[repr(C)]
pub struct MidlayerEncodeOptions {
    truncate: u32,
    max_tokens: usize,
    lowercase: bool,
}

#[repr(C)]
pub struct MidlayerEncoding {
    ids: *mut i32,
    size: usize,
    untruncated_size: usize,
}

impl MidlayerTokenizer {
    fn new(json: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| e.to_string())?;
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        tokenizer.with_padding(None);
        let (leading, trailing) = special_tokens(&tokenizer)?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        let largest = largest.map(to_i32).transpose()?.unwrap_or(-1);
        let max_id = leading.iter().chain(&trailing).copied().fold(largest, i32::max);
        let vocab_size = tokenizer.get_vocab_size(true);
        Ok(Self { tokenizer, leading, trailing, vocab_size, max_id })
    }

    /// The ids of `text` with special tokens, and how many there would be without truncation.
    fn encode(&self, text: &[u8], options: &MidlayerEncodeOptions) -> Result<(Vec<i32>, usize), String> {
        let text = str::from_utf8(text).map_err(|e| format!("text: expected UTF-8: {e}"))?;
        let encoding = if options.lowercase {
            self.tokenizer.encode_fast(text.to_lowercase(), false)
        } else {
            self.tokenizer.encode_fast(text, false)
        };
        let encoding = encoding.map_err(|e| e.to_string())?;
        let all = encoding.get_ids();
        let num_special = self.leading.len() + self.trailing.len();
        let room = || {
            options.max_tokens.checked_sub(num_special).map(|room| room.min(all.len())).ok_or_else(|| {
                format!("max_tokens: expected at least the {num_special} special tokens, found {}", options.max_tokens)
            })
        };
        let kept = match options.truncate {
            TRUNCATE_NONE => all,
            TRUNCATE_LEFT => &all[all.len() - room()?..],
            TRUNCATE_RIGHT => &all[..room()?],
            other => return Err(format!("truncate: expected 0, 1 or 2, found {other}")),
        };
        let mut ids = Vec::with_capacity(kept.len() + num_special);
        ids.extend_from_slice(&self.leading);
        // No id is larger than max_id, which fits i32: new() looked.
        ids.extend(kept.iter().map(|&id| id as i32));
        ids.extend_from_slice(&self.trailing);
        Ok((ids, all.len() + num_special))
    }
}

fn to_i32(id: u32) -> Result<i32, String> {
    i32::try_from(id).map_err(|_| format!("vocabulary: expected ids of at most {}, found {id}", i32::MAX))
}

/// The special tokens before and after a text, found by running the post-processor over one made-up token.
fn special_tokens(tokenizer: &Tokenizer) -> Result<(Vec<i32>, Vec<i32>), String> {
    let Some(processor) = tokenizer.get_post_processor() else {
        return Ok((vec![], vec![]));
    };
    let text = Encoding::from_tokens(vec![Token::new(0, "x".into(), (0, 1))], 0);
    let processed = processor.process(text, None, true).map_err(|e| e.to_string())?;
    let mask = processed.get_special_tokens_mask();
    let texts: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] == 0).collect();
    let [at] = texts[..] else {
        return Err(format!(
            "post_processor: expected the text once among special tokens, found it {} times",
            texts.len()
        ));
    };
    let ids = processed.get_ids().iter().map(|&id| to_i32(id)).collect::<Result<Vec<_>, _>>()?;
    Ok((ids[..at].to_vec(), ids[at + 1..].to_vec()))
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_tokenizer_new(
    json: *const u8,
    size: usize,
    error: *mut *mut c_char,
) -> *mut MidlayerTokenizer {
    let created = guard(error, || MidlayerTokenizer::new(unsafe { bytes(json, size) }));
    created.map_or(ptr::null_mut(), |tokenizer| Box::into_raw(Box::new(tokenizer)))
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_tokenizer_free(tokenizer: *mut MidlayerTokenizer) {
    if !tokenizer.is_null() {
        drop(unsafe { Box::from_raw(tokenizer) });
    }
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_tokenizer_info(tokenizer: *const MidlayerTokenizer) -> MidlayerTokenizerInfo {
    let tokenizer = unsafe { &*tokenizer };
    MidlayerTokenizerInfo {
        vocab_size: tokenizer.vocab_size,
        max_id: tokenizer.max_id,
        num_leading: tokenizer.leading.len(),
        num_trailing: tokenizer.trailing.len(),
    }
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_tokenizer_encode(
    tokenizer: *const MidlayerTokenizer,
    text: *const u8,
    size: usize,
    options: *const MidlayerEncodeOptions,
    encoding: *mut MidlayerEncoding,
    error: *mut *mut c_char,
) -> bool {
    let encoded = guard(error, || unsafe { (*tokenizer).encode(bytes(text, size), &*options) });
    let Some((ids, untruncated_size)) = encoded else {
        return false;
    };
    let size = ids.len();
    let ids = Box::into_raw(ids.into_boxed_slice()) as *mut i32;
    unsafe { *encoding = MidlayerEncoding { ids, size, untruncated_size } };
    true
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_encoding_free(encoding: *mut MidlayerEncoding) {
    let encoding = unsafe { &mut *encoding };
    if !encoding.ids.is_null() {
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(encoding.ids, encoding.size)) });
    }
    *encoding = MidlayerEncoding { ids: ptr::null_mut(), size: 0, untruncated_size: 0 };
}
