//! Writes a graph: weights first, then the ONNX file that points into them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use prost::Message;
use vla_bundle::{Digest, Dim, Dtype, FileEntry, TensorSpec};

use super::external::{External, WeightsFile};
use super::proto::{
    DimensionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};
use super::{Graph, GraphError, OPSET};

/// The ONNX file format: 11 knows operator set 23, and ONNX Runtime reads it from 1.23 on.
const IR_VERSION: i64 = 11;

/// What [`Graph::save`] wrote.
pub struct Saved {
    /// The graph's entry in the manifest.
    pub graph: vla_bundle::Graph,
    /// Its files, by name.
    pub files: BTreeMap<String, FileEntry>,
}

impl Graph<'_> {
    /// Writes `<name>.onnx` and, where the graph has weights of its own, `<name>.weights` into `dir`; `wrote` gets the
    /// bytes of each weight once it is written. Memory stays bounded by a fixed piece, whatever the size of the weights.
    ///
    /// # Errors
    /// Whatever the operating system says about the files.
    pub fn save(self, dir: &Path, wrote: &mut dyn FnMut(u64)) -> Result<Saved, GraphError> {
        let mut files = BTreeMap::new();
        let onnx = format!("{}.onnx", self.name);
        let own = WeightsFile::of(&self);
        let weights = self.shared.as_ref().unwrap_or(&own);
        if self.shared.is_none() && !self.external.is_empty() {
            let entry = self.write(&dir.join(&weights.name), |out| {
                for external in &self.external {
                    external.write(out)?;
                    wrote(external.padded_bytes());
                }
                Ok(())
            })?;
            files.insert(weights.name.clone(), entry);
        }
        let model = self.model(weights).encode_to_vec();
        files.insert(onnx.clone(), self.write(&dir.join(&onnx), |out| out.write_all(&model))?);
        let weights = (!self.external.is_empty()).then(|| weights.name.clone());
        let graph = vla_bundle::Graph { file: onnx, weights, inputs: self.inputs, outputs: self.outputs };
        Ok(Saved { graph, files })
    }

    /// The ONNX file alone, whose weights are nowhere.
    #[cfg(test)]
    pub(crate) fn onnx(&self) -> Vec<u8> {
        self.model(&WeightsFile::of(self)).encode_to_vec()
    }

    fn write(
        &self,
        path: &Path,
        content: impl FnOnce(&mut Recorded<BufWriter<File>>) -> io::Result<()>,
    ) -> Result<FileEntry, GraphError> {
        Recorded::create(path)
            .and_then(|mut out| {
                content(&mut out)?;
                out.finish()
            })
            .map_err(|source| GraphError::Write { graph: self.name.clone(), source, path: path.to_owned() })
    }

    fn model(&self, weights: &WeightsFile) -> ModelProto {
        let mut initializer = self.inline.clone();
        initializer.extend(self.external.iter().map(|external| located(external, weights)));
        ModelProto {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(GraphProto {
                node: self.nodes.clone(),
                name: self.name.clone(),
                initializer,
                input: self.inputs.iter().map(value_info).collect(),
                output: self.outputs.iter().map(value_info).collect(),
            }),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET.into() }],
        }
    }
}

fn located(external: &External<'_>, weights: &WeightsFile) -> TensorProto {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    TensorProto {
        dims: external.dims().iter().map(|d| if let Dim::Fixed(n) = d { *n as i64 } else { 0 }).collect(),
        data_type: onnx_type(Dtype::Fp32),
        external_data: vec![
            entry("location", weights.name.clone()),
            entry("offset", weights.offsets[&external.name()].to_string()),
            entry("length", external.bytes().to_string()),
        ],
        name: external.name(),
        data_location: 1,
        ..TensorProto::default()
    }
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dim = spec
        .dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), dim_param: None },
            Dim::Symbol(name) => DimensionProto { dim_value: None, dim_param: Some(name.clone()) },
        })
        .collect();
    let tensor_type = TensorTypeProto { elem_type: onnx_type(spec.dtype), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: spec.name.clone(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// `TensorProto.DataType`.
pub(super) fn onnx_type(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::Fp32 => 1,
        Dtype::Int64 => 7,
        Dtype::Bool => 9,
        Dtype::Fp16 => 10,
        Dtype::Bf16 => 16,
    }
}

/// A file whose length and digest are known when it is written, without reading it again.
struct Recorded<W> {
    out: W,
    digest: Digest,
    bytes: u64,
}

impl Recorded<BufWriter<File>> {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { out: BufWriter::with_capacity(1 << 20, File::create(path)?), digest: Digest::default(), bytes: 0 })
    }

    fn finish(mut self) -> io::Result<FileEntry> {
        self.out.flush()?;
        Ok(FileEntry { bytes: self.bytes, sha256: self.digest.hex() })
    }
}

impl<W: Write> Write for Recorded<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let n = self.out.write(piece)?;
        self.digest.update(&piece[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
