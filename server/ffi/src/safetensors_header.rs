//! The header check of the safetensors crate behind a C function.

use std::collections::HashSet;
use std::ffi::{c_char, c_void};
use std::fmt;

use safetensors::SafeTensors;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::{bytes, guard};

/// Size of the length that a file starts with.
const LENGTH_SIZE: usize = 8;

#[repr(C)]
pub struct MidlayerTensor {
    name: *const c_char,
    name_size: usize,
    dtype: *const c_char,
    dtype_size: usize,
    shape: *const usize,
    rank: usize,
    begin: usize,
    end: usize,
}

struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

/// Accepts a JSON object whose keys are all different. The crate reads the header into a map, where of two tensors with
/// one name the first is lost without a word.
struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("tensor `{key}` is named twice")));
            }
        }
        Ok(())
    }
}

struct Header {
    tensors: Vec<Tensor>,
    metadata: Vec<(String, String)>,
}

fn read(file: &[u8]) -> Result<Header, String> {
    let (header_size, header) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
    let data = LENGTH_SIZE + header_size;
    let mut json = serde_json::Deserializer::from_slice(&file[LENGTH_SIZE..data]);
    json.deserialize_map(UniqueKeys).map_err(|e| e.to_string())?;
    let mut tensors: Vec<Tensor> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| Tensor {
            name,
            dtype: info.dtype.to_string(),
            shape: info.shape.clone(),
            begin: data + info.data_offsets.0,
            end: data + info.data_offsets.1,
        })
        .collect();
    tensors.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
    if let Some(tensor) = tensors.iter().find(|t| t.begin > t.end || t.end > file.len()) {
        return Err(format!("tensor `{}`: expected its data inside the file", tensor.name));
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(Header { tensors, metadata })
}

#[no_mangle]
pub unsafe extern "C" fn midlayer_safetensors_read(
    file: *const u8,
    size: usize,
    tensor_callback: extern "C" fn(*mut c_void, *const MidlayerTensor),
    metadata_callback: extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize),
    context: *mut c_void,
    error: *mut *mut c_char,
) -> bool {
    let Some(header) = guard(error, || read(unsafe { bytes(file, size) })) else {
        return false;
    };
    for (key, value) in &header.metadata {
        metadata_callback(context, key.as_ptr().cast(), key.len(), value.as_ptr().cast(), value.len());
    }
    for tensor in &header.tensors {
        let view = MidlayerTensor {
            name: tensor.name.as_ptr().cast(),
            name_size: tensor.name.len(),
            dtype: tensor.dtype.as_ptr().cast(),
            dtype_size: tensor.dtype.len(),
            shape: tensor.shape.as_ptr(),
            rank: tensor.shape.len(),
            begin: tensor.begin,
            end: tensor.end,
        };
        tensor_callback(context, &view);
    }
    true
}
