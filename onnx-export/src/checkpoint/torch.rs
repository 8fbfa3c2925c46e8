//! A torch `.pt` state dict: a zip archive of one pickle and one entry per storage.
//!
//! The pickle is interpreted as data; no name in it ever leads to code.

mod archive;
mod pickle;
mod value;

use std::ops::Range;
use std::path::Path;

use archive::Archive;
use value::{Tensor, Value};

use super::CheckpointError;
use super::weights::Described;

/// Written in front of every name by torch's data-parallel wrapper.
const WRAPPER: &str = "module.";

/// Tensors of the state dict, without the prefix of the data-parallel wrapper where every name has it.
pub(super) fn describe(file: &[u8], path: &Path) -> Result<Vec<Described>, CheckpointError> {
    let refuse = |reason| CheckpointError::File { what: "torch file", reason, path: path.to_owned() };
    let archive = Archive::read(file).map_err(refuse)?;
    let values = pickle::read(archive.pickle(file)).map_err(refuse)?;
    let Value::Dict(items) = values.root() else {
        return Err(refuse(format!("got {}, wanted a state dict", values.root().kind())));
    };
    let mut described = Vec::with_capacity(items.len());
    for (key, value) in items {
        let Value::Text(name) = values.get(*key) else {
            return Err(refuse(format!("got {} as a name, wanted text", values.get(*key).kind())));
        };
        let tensor = match values.get(*value) {
            Value::Tensor(tensor) => place(name, tensor, &archive),
            other => Err(format!("got {}, wanted a tensor: this is no plain state dict", other.kind())),
        };
        let name = (*name).to_owned();
        described.push(tensor.map_err(|reason| CheckpointError::Tensor { name, reason, path: path.to_owned() })?);
    }
    if described.iter().all(|tensor| tensor.name.starts_with(WRAPPER)) {
        for tensor in &mut described {
            tensor.name.drain(..WRAPPER.len());
        }
    }
    Ok(described)
}

/// Where the tensor's elements lie in the file.
fn place(name: &str, tensor: &Tensor, archive: &Archive) -> Result<Described, String> {
    let Tensor { storage, offset, shape, strides } = tensor;
    let size = storage.dtype.bytes();
    let entry = archive.storage(storage.key).ok_or_else(|| format!("storage `{}` is not in the file", storage.key))?;
    if storage.elements.checked_mul(size) != Some(entry.len() as u64) {
        let (key, elements, got) = (storage.key, storage.elements, entry.len());
        return Err(format!("storage `{key}` has {got} bytes, wanted {elements} elements of {size} bytes"));
    }
    let extent = extent(*offset, shape, strides)
        .ok_or_else(|| format!("shape {shape:?} with strides {strides:?} is more than 2^64 elements"))?;
    if extent.end > storage.elements {
        let (key, elements, end) = (storage.key, storage.elements, extent.end);
        return Err(format!("ends at element {end}, storage `{key}` has {elements}"));
    }
    let at = |element: u64| entry.start + (element * size) as usize;
    Ok(Described {
        name: name.to_owned(),
        dtype: storage.dtype,
        shape: shape.clone(),
        strides: (!row_major(shape, strides)).then(|| strides.clone()),
        range: at(extent.start)..at(extent.end),
    })
}

/// Elements of the storage from the tensor's first to its last; `None` where the numbers overflow.
fn extent(offset: u64, shape: &[u64], strides: &[u64]) -> Option<Range<u64>> {
    // The product too, so that whoever asks for the number of elements later may multiply.
    shape.iter().try_fold(8_u64, |product, length| product.checked_mul((*length).max(1)))?;
    if shape.contains(&0) {
        return Some(0..0);
    }
    let last = shape.iter().zip(strides).try_fold(offset, |last, (length, stride)| {
        (length - 1).checked_mul(*stride).and_then(|step| last.checked_add(step))
    })?;
    Some(offset..last.checked_add(1)?)
}

fn row_major(shape: &[u64], strides: &[u64]) -> bool {
    let mut wanted = 1;
    shape.iter().zip(strides).rev().all(|(length, stride)| {
        let fits = *length <= 1 || *stride == wanted;
        wanted *= (*length).max(1);
        fits
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    const HEAD: &[u8] = include_bytes!("../../tests/data/proprio_projector--150000_checkpoint.pt");

    type Pickled<'a> = &'a [u8];
    type Entry<'a> = (&'a str, &'a [u8]);

    fn zipped(entries: &[Entry]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(vec![]));
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, data) in entries {
            archive.start_file(*name, stored).unwrap();
            archive.write_all(data).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// A state dict of one tensor `w` over the f32 storage `0` of `elements`, with the given pickled numbers.
    fn pickled([elements, offset, shape, strides]: [Pickled; 4]) -> Vec<u8> {
        let parts: [&[u8]; 9] = [
            b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n",
            b"X\x01\0\0\x000X\x03\0\0\0cpu",
            elements,
            b"tQ",
            offset,
            shape,
            strides,
            b"\x89}tRs",
            b".",
        ];
        parts.concat()
    }

    fn refusal(file: &[u8]) -> String {
        describe(file, Path::new("w.pt")).unwrap_err().to_string()
    }

    #[test]
    fn a_tensor_that_does_not_fit_its_storage_is_refused() {
        let cases: [([Pickled; 4], &str); 5] = [
            ([b"K\x06", b"K\0", b"K\x06\x85", b"K\x01\x85"], "storage `0` has 20 bytes, wanted 6 elements of 4 bytes"),
            ([b"K\x05", b"K\x01", b"K\x05\x85", b"K\x01\x85"], "ends at element 6, storage `0` has 5"),
            ([b"K\x05", b"K\0", b"K\x02K\x02\x86", b"K\x04K\x01\x86"], "ends at element 6, storage `0` has 5"),
            (
                [b"K\x05", b"K\0", b"K\x02\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"],
                "ends at element 9223372036854775808, storage `0` has 5",
            ),
            (
                [b"K\x05", b"K\0", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", b"K\0\x85"],
                "shape [9223372036854775807] with strides [0] is more than 2^64 elements",
            ),
        ];
        for (numbers, reason) in cases {
            let pickle = pickled(numbers);
            let file = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[9; 20])]);
            assert_eq!(refusal(&file), format!("tensor `w`: {reason}: w.pt"));
        }
        let pickle = pickled([b"K\x05", b"K\0", b"K\x05\x85", b"K\x01\x85"]);
        assert_eq!(
            refusal(&zipped(&[("a/data.pkl", &pickle), ("b/data/0", &[9; 20])])),
            "tensor `w`: storage `0` is not in the file: w.pt"
        );
    }

    #[test]
    fn lengths_that_are_no_lengths_are_refused() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "got -1, wanted a number that is not negative"),
            (b"K\x02\x85", b")", "shape [2] and strides [] differ in rank"),
            (b"N\x85", b"K\x01\x85", "got None, wanted a length"),
        ];
        for (shape, strides, reason) in cases {
            let pickle = pickled([b"K\x05", b"K\0", shape, strides]);
            let file = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[9; 20])]);
            // The call stands before SETITEM and STOP.
            let at = pickle.len() - 3;
            assert_eq!(refusal(&file), format!("torch file: byte {at} of the pickle: {reason}: w.pt"));
        }
    }

    #[test]
    fn an_archive_that_is_no_state_dict_is_refused() {
        let cases: [(&[Entry], &str); 7] = [
            (&[("a/data.pkl", b"K\x07.")], "torch file: got an integer, wanted a state dict: w.pt"),
            (&[("a/data.pkl", b"}K\x01K\x02s.")], "torch file: got an integer as a name, wanted text: w.pt"),
            (
                &[("a/data.pkl", b"}X\x05\0\0\0epochK\x02s.")],
                "tensor `epoch`: got an integer, wanted a tensor: this is no plain state dict: w.pt",
            ),
            (&[("a/data/0", b"1234")], "torch file: no data.pkl in the archive: w.pt"),
            (&[("data.pkl", b"}.")], "torch file: wanted one data.pkl in a folder of the archive: w.pt"),
            (
                &[("a/data.pkl", b"}."), ("b/data.pkl", b"}.")],
                "torch file: wanted one data.pkl in a folder of the archive: w.pt",
            ),
            (&[("a/data.pkl", b"}."), ("a/byteorder", b"big")], "torch file: byte order is not little: w.pt"),
        ];
        for (entries, message) in cases {
            assert_eq!(refusal(&zipped(entries)), message);
        }
    }

    #[test]
    fn a_file_of_an_old_torch_is_refused_with_the_remedy() {
        // LONG1 of ten bytes: the magic number that torch before 1.6 wrote first.
        assert_eq!(
            refusal(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
            "torch file: written by a torch older than 1.6, load and save it once with a current one: w.pt"
        );
    }

    #[test]
    fn a_wrapper_prefix_that_not_every_name_has_stays() {
        let tensor = pickled([b"K\x05", b"K\0", b"K\x05\x85", b"K\x01\x85"]);
        let tensor = &tensor[9..tensor.len() - 2];
        let pickle = [b"}X\x08\0\0\0module.w".as_slice(), tensor, b"sX\x01\0\0\0w", tensor, b"s."].concat();
        let file = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[9; 20])]);
        let names: Vec<_> = describe(&file, Path::new("w.pt")).unwrap().into_iter().map(|t| t.name).collect();
        assert_eq!(names, ["module.w", "w"]);
    }

    #[test]
    fn a_directory_that_claims_more_than_the_file_costs_nothing() {
        let mut file = b"PK\x06\x06".to_vec();
        let count = 1_u64 << 40;
        file.extend_from_slice(&44_u64.to_le_bytes());
        file.extend_from_slice(&[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for field in [count, count, count * 46, count] {
            file.extend_from_slice(&field.to_le_bytes());
        }
        file.extend_from_slice(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
        file.extend_from_slice(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
        assert!(refusal(&file).starts_with("torch file: not a zip archive: "));
    }

    #[test]
    fn an_entry_that_is_compressed_or_longer_than_the_file_is_refused() {
        let file = zipped(&[("a/data.pkl", b"}.")]);
        let directory = file.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
        let changed = |at: usize, value: u8| {
            let mut file = file.clone();
            file[directory + at] = value;
            refusal(&file)
        };
        // Bytes 10 and 20 of a directory entry: the method (8 is deflate) and the compressed size (APPNOTE.TXT 4.3.12).
        assert_eq!(changed(10, 8), "torch file: entry `a/data.pkl` is compressed or encrypted, wanted stored: w.pt");
        let length = file.len();
        assert_eq!(
            changed(20, 200),
            format!("torch file: entry `a/data.pkl` ends after the file's {length} bytes: w.pt")
        );
    }

    #[test]
    fn a_tensor_without_elements_takes_no_bytes() {
        let pickle = pickled([b"K\x05", b"K\0", b"K\0K\x03\x86", b"K\x03K\x01\x86"]);
        let file = zipped(&[("a/data.pkl", &pickle), ("a/data/0", &[9; 20])]);
        let found = describe(&file, Path::new("w.pt")).unwrap();
        assert_eq!((found[0].shape.as_slice(), found[0].range.len()), ([0, 3].as_slice(), 0));
    }

    proptest! {
        #[test]
        fn any_bytes_give_tensors_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = describe(&bytes, Path::new("w.pt"));
        }

        #[test]
        fn a_damaged_file_gives_tensors_inside_it_or_an_error(
            damage in proptest::collection::vec((0..HEAD.len(), any::<u8>()), 1..8),
            length in 0..=HEAD.len(),
        ) {
            let mut file = HEAD.to_vec();
            for (at, byte) in damage {
                file[at] = byte;
            }
            file.truncate(length.max(HEAD.len() - 600));
            if let Ok(tensors) = describe(&file, Path::new("w.pt")) {
                for tensor in tensors {
                    prop_assert!(tensor.range.start <= tensor.range.end && tensor.range.end <= file.len());
                }
            }
        }

        #[test]
        fn a_damaged_pickle_gives_tensors_inside_the_file_or_an_error(
            damage in proptest::collection::vec((0..550_usize, any::<u8>()), 1..4),
        ) {
            let archive = Archive::read(HEAD).unwrap();
            let mut pickle = archive.pickle(HEAD).to_vec();
            for (at, byte) in damage {
                pickle[at] = byte;
            }
            let mut entries = vec![("a/data.pkl", pickle.as_slice())];
            for (name, key) in [("a/data/0", "0"), ("a/data/1", "1"), ("a/data/2", "2"), ("a/data/3", "3")] {
                entries.push((name, &HEAD[archive.storage(key).unwrap()]));
            }
            let file = zipped(&entries);
            if let Ok(tensors) = describe(&file, Path::new("w.pt")) {
                for tensor in tensors {
                    prop_assert!(tensor.range.start <= tensor.range.end && tensor.range.end <= file.len());
                }
            }
        }
    }
}
