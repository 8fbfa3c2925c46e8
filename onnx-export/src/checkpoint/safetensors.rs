//! The header of a safetensors file: eight bytes of length, a JSON object, then the tensors back to back.
//!
//! Format: <https://huggingface.co/docs/safetensors>; nothing in a header is believed before it fits the file.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::weights::{Described, ElementType};
use super::{CheckpointError, FloatType};

const LENGTH_BYTES: usize = 8;

/// Longest header that the format's own library accepts.
const MAX_HEADER: u64 = 100_000_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Entries in the order of the file, so that a name that occurs twice is still seen.
struct Header(Vec<(String, Info)>);

/// Tensors that a safetensors file describes, in the order of their bytes.
pub(super) fn describe(file: &[u8], path: &Path) -> Result<Vec<Described>, CheckpointError> {
    let refuse = |reason| CheckpointError::File { what: "safetensors header", reason, path: path.to_owned() };
    let (header, data) = split(file).map_err(refuse)?;
    let Header(mut entries) = serde_json::from_slice(header).map_err(|e| refuse(e.to_string()))?;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    let mut described = Vec::with_capacity(entries.len());
    for (name, info) in entries {
        match check(&info, end, data.len() as u64) {
            Ok(dtype) => {
                let (begin, until) = info.data_offsets;
                end = until;
                let start = file.len() - data.len();
                let range = start + begin as usize..start + until as usize;
                described.push(Described { name, dtype, shape: info.shape, strides: None, range });
            }
            Err(reason) => return Err(CheckpointError::Tensor { name, reason, path: path.to_owned() }),
        }
    }
    if end != data.len() as u64 {
        return Err(refuse(format!("the tensors end at byte {end} of the data, and the data at byte {}", data.len())));
    }
    Ok(described)
}

/// Header text and tensor data.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("got a file of {} bytes, wanted {LENGTH_BYTES} for the header's length", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!("length is {length}, at most {MAX_HEADER} makes sense"));
    }
    rest.split_at_checked(length as usize)
        .ok_or_else(|| format!("length is {length}, and the file has {} bytes after it", rest.len()))
}

/// Element type of a tensor whose bytes start where the tensor before it ended, lie in the data and match the shape.
fn check(info: &Info, previous_end: u64, data: u64) -> Result<ElementType, String> {
    let dtype = element_type(&info.dtype).ok_or_else(|| format!("unknown dtype `{}`", info.dtype))?;
    let (begin, end) = info.data_offsets;
    if begin > end {
        return Err(format!("data begins at byte {begin} and ends at byte {end}"));
    }
    if end > data {
        return Err(format!("data ends at byte {end}, the file holds {data}"));
    }
    if begin != previous_end {
        let what = if begin < previous_end { "overlaps" } else { "leaves a hole after" };
        return Err(format!(
            "data begins at byte {begin} and {what} the tensor before it, which ends at {previous_end}"
        ));
    }
    let wanted = info.shape.iter().try_fold(dtype.bytes(), |bytes, length| bytes.checked_mul(*length));
    if wanted != Some(end - begin) {
        let wanted = wanted.map_or_else(|| "more than 2^64".to_owned(), |bytes| bytes.to_string());
        return Err(format!("got {} bytes, {} {:?} wants {wanted}", end - begin, info.dtype, info.shape));
    }
    Ok(dtype)
}

fn element_type(dtype: &str) -> Option<ElementType> {
    let other = |name, bytes| Some(ElementType::Other { name, bytes });
    match dtype {
        "F64" => Some(ElementType::Float(FloatType::F64)),
        "F32" => Some(ElementType::Float(FloatType::F32)),
        "F16" => Some(ElementType::Float(FloatType::F16)),
        "BF16" => Some(ElementType::Float(FloatType::Bf16)),
        "I64" => other("I64", 8),
        "U64" => other("U64", 8),
        "I32" => other("I32", 4),
        "U32" => other("U32", 4),
        "I16" => other("I16", 2),
        "U16" => other("U16", 2),
        "I8" => other("I8", 1),
        "U8" => other("U8", 1),
        "BOOL" => other("BOOL", 1),
        "F8_E4M3" => other("F8_E4M3", 1),
        "F8_E5M2" => other("F8_E5M2", 1),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = vec![];
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let info = map.next_value().map_err(|e| A::Error::custom(format!("tensor `{name}`: {e}")))?;
                    entries.push((name, info));
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    fn refusal(bytes: &[u8]) -> String {
        describe(bytes, Path::new("m.safetensors")).unwrap_err().to_string()
    }

    #[test]
    fn tensors_lie_behind_the_header_in_the_order_of_their_bytes() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"I64","shape":[1],"data_offsets":[12,20]},
            "a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#;
        let found = describe(&file(header, 20), Path::new("m.safetensors")).unwrap();
        let start = 8 + header.len();
        let seen: Vec<_> = found.iter().map(|t| (t.name.as_str(), t.shape.as_slice(), t.range.clone())).collect();
        assert_eq!(seen, [("a", [2, 3].as_slice(), start..start + 12), ("b", [1].as_slice(), start + 12..start + 20)]);
        assert_eq!(found[0].dtype, ElementType::Float(FloatType::Bf16));
    }

    #[test]
    fn a_header_that_lies_about_its_own_length_is_refused() {
        assert_eq!(
            refusal(&[1, 2, 3]),
            "safetensors header: got a file of 3 bytes, wanted 8 for the header's length: m.safetensors"
        );
        assert_eq!(
            refusal(&file("{}", 1)[..9]),
            "safetensors header: length is 2, and the file has 1 bytes after it: m.safetensors"
        );
        assert_eq!(
            refusal(&u64::MAX.to_le_bytes()),
            "safetensors header: length is 18446744073709551615, at most 100000000 makes sense: m.safetensors"
        );
    }

    #[test]
    fn a_tensor_that_does_not_fit_its_file_is_refused_by_name() {
        let cases = [
            (r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#, "data ends at byte 8, the file holds 7"),
            (r#""a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}"#, "got 4 bytes, F32 [3] wants 12"),
            (
                r#""a":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,0]}"#,
                "got 0 bytes, F16 [4294967296, 4294967296] wants more than 2^64",
            ),
            (r#""a":{"dtype":"F32","shape":[0],"data_offsets":[4,0]}"#, "data begins at byte 4 and ends at byte 0"),
            (r#""a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}"#, "unknown dtype `F4`"),
            (
                r#""z":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[3],"data_offsets":[3,6]}"#,
                "data begins at byte 3 and overlaps the tensor before it, which ends at 4",
            ),
            (
                r#""z":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}"#,
                "data begins at byte 5 and leaves a hole after the tensor before it, which ends at 4",
            ),
        ];
        for (entries, reason) in cases {
            let got = refusal(&file(&format!("{{{entries}}}"), 7));
            assert_eq!(got, format!("tensor `a`: {reason}: m.safetensors"));
        }
    }

    #[test]
    fn bytes_that_belong_to_no_tensor_are_refused() {
        assert_eq!(
            refusal(&file(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 6)),
            "safetensors header: the tensors end at byte 4 of the data, and the data at byte 6: m.safetensors"
        );
    }

    #[test]
    fn a_header_entry_of_another_form_is_refused_by_name() {
        assert_eq!(
            refusal(&file(r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, 1)),
            "safetensors header: tensor `a`: invalid value: integer `-1`, expected u64 at line 1 column 30: m.safetensors"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_tensors_inside_the_file_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = describe(&bytes, Path::new("m"));
        }

        #[test]
        fn any_header_gives_tensors_inside_the_file_or_an_error(
            entries in proptest::collection::vec(("[ab]", "F32|BF16|U8|X", any::<[u8; 2]>(), 0..9_u64, 0..40_u64), 0..4),
            wild in any::<u64>(),
            data in 0..40_usize,
        ) {
            let entries: Vec<String> = entries.iter().map(|(name, dtype, [a, b], begin, end)| {
                let first = if *b == 255 { wild } else { u64::from(a % 4) };
                format!(r#""{name}":{{"dtype":"{dtype}","shape":[{first},{}],"data_offsets":[{begin},{end}]}}"#, b % 4)
            }).collect();
            let bytes = file(&format!("{{{}}}", entries.join(",")), data);
            if let Ok(found) = describe(&bytes, Path::new("m")) {
                for tensor in found {
                    prop_assert!(tensor.range.start <= tensor.range.end && tensor.range.end <= bytes.len());
                }
            }
        }
    }
}
