//! Reading torch state dicts; expected values by Python, see the recipes in `data`.

use std::path::{Path, PathBuf};

use onnx_export::checkpoint::{FloatType, Weights};

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

#[test]
fn components_saved_by_torch_read_as_python_reads_them() {
    let mut names = vec![];
    for line in include_str!("data/expect_torch.txt").lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [file, name, dtype, shape, first @ .., sha256] = fields.as_slice() else { panic!("{line}") };
        let name = name.strip_prefix("module.").unwrap();
        let shape: Vec<u64> = shape.split('x').map(|length| length.parse().unwrap()).collect();
        let weights = Weights::open_torch(&data(file)).unwrap();
        let weight = weights.read(name, &shape).unwrap();
        assert_eq!(weight.dtype(), if *dtype == "bf16" { FloatType::Bf16 } else { FloatType::F32 }, "{line}");
        let first: Vec<f32> = first.iter().map(|value| value.parse().unwrap()).collect();
        assert_eq!(weight.to_f32()[..3], first, "{line}");
        let mut written = vec![];
        weight.write_f32(&mut written).unwrap();
        let mut digest = vla_bundle::Digest::default();
        digest.update(&written);
        assert_eq!(digest.hex(), *sha256, "{line}");
        names.push((*file, name));
    }
    for file in ["action_head--150000_checkpoint.pt", "proprio_projector--150000_checkpoint.pt"] {
        let weights = Weights::open_torch(&data(file)).unwrap();
        let mut wanted: Vec<&str> = names.iter().filter(|(of, _)| *of == file).map(|(_, name)| *name).collect();
        wanted.sort_unstable();
        assert_eq!(weights.names().collect::<Vec<_>>(), wanted);
        assert_eq!(weights.sources(), [data(file)]);
    }
}

#[test]
fn views_of_one_storage_read_in_their_own_order() {
    for protocol in [2, 5] {
        let weights = Weights::open_torch(&data(&format!("views_protocol{protocol}.pt"))).unwrap();
        // Element i of the storage is i + 0.25, so these are the elements' places.
        let places = |name: &str, shape: &[u64]| -> Vec<f32> {
            let weight = weights.read(name, shape).unwrap();
            let mut written = vec![];
            weight.write_f32(&mut written).unwrap();
            let values = weight.to_f32();
            assert_eq!(written, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
            values.iter().map(|value| value - 0.25).collect()
        };
        assert_eq!(places("whole", &[3, 4]), [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.]);
        assert_eq!(places("transposed", &[4, 3]), [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        assert_eq!(places("tail", &[2, 3]), [5., 6., 7., 8., 9., 10.]);
        assert_eq!(places("columns", &[3, 2]), [1., 2., 5., 6., 9., 10.]);
        assert_eq!(places("parameter", &[1]), [11.]);
        assert_eq!(places("scalar", &[]), [7.]);
        assert_eq!(weights.shape("ids"), Some([2].as_slice()));
        assert_eq!(
            weights.read("ids", &[2]).unwrap_err().to_string(),
            format!("tensor `ids`: got elements of type I64, wanted floats: {}", weights.sources()[0].display())
        );
    }
}
