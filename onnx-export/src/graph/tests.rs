use prost::Message;

use super::*;
use crate::checkpoint::Weights;

/// A safetensors file with one f32 tensor `w [2, 3]` = 1, 2, .., 6.
fn checkpoint(dir: &std::path::Path) -> Weights {
    let header = br#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    (1..=6).for_each(|v| bytes.extend_from_slice(&(v as f32).to_le_bytes()));
    std::fs::write(dir.join("model.safetensors"), bytes).unwrap();
    Weights::open_safetensors(dir).unwrap()
}

fn input(graph: &mut Graph<'_>, name: &str, dims: &[Dim]) -> Value {
    graph.input(name, Dtype::Fp32, dims).unwrap()
}

#[test]
fn a_name_used_twice_is_an_error_and_not_a_silent_reuse() {
    let mut graph = Graph::new("vision");
    let x = input(&mut graph, "x", &[fixed(3)]);
    graph.root().at("blocks.0").relu("y", &x).unwrap();
    let err = graph.root().at("blocks").at("0").relu("y", &x).unwrap_err();
    assert_eq!(err.to_string(), "graph `vision`: the name `blocks.0.y` is used twice");
}

#[test]
fn a_matrix_product_that_does_not_fit_names_the_node_and_both_shapes() {
    let mut graph = Graph::new("vision");
    let a = input(&mut graph, "a", &[symbol("n"), fixed(5), fixed(4)]);
    let b = input(&mut graph, "b", &[fixed(3), fixed(7)]);
    let err = graph.root().at("head.fc1").matmul("matmul", &a, &b).unwrap_err();
    let want = "graph `vision` node `head.fc1.matmul`: MatMul: [n, 5, 4] and [3, 7] do not multiply";
    assert_eq!(err.to_string(), want);
}

#[test]
fn broadcasting_is_numpys_and_a_symbol_only_fits_itself_or_one() {
    let mut graph = Graph::new("g");
    let a = input(&mut graph, "a", &[symbol("n"), fixed(1), fixed(4)]);
    let b = input(&mut graph, "b", &[fixed(3), fixed(4)]);
    let c = input(&mut graph, "c", &[symbol("m"), fixed(3), fixed(4)]);
    let mut root = graph.root();
    let sum = root.add("sum", &a, &b).unwrap();
    assert_eq!(sum.dims(), [symbol("n"), fixed(3), fixed(4)]);
    let err = root.add("other", &sum, &c).unwrap_err();
    assert_eq!(err.to_string(), "graph `g` node `other`: Add: [n, 3, 4] and [m, 3, 4] do not broadcast");
}

#[test]
fn a_reshape_keeps_the_number_of_elements() {
    let mut graph = Graph::new("g");
    let x = input(&mut graph, "x", &[fixed(6), fixed(4)]);
    let n = input(&mut graph, "n", &[symbol("n"), fixed(4)]);
    let mut root = graph.root();
    assert_eq!(root.reshape("a", &x, &[fixed(3), fixed(8)]).unwrap().dims(), [fixed(3), fixed(8)]);
    assert_eq!(root.reshape("b", &n, &[fixed(1), symbol("n"), fixed(4)]).unwrap().dims().len(), 3);
    let err = root.reshape("c", &x, &[fixed(5), fixed(5)]).unwrap_err();
    assert_eq!(err.to_string(), "graph `g` node `c`: Reshape: [6, 4] cannot become [5, 5]");
    let err = root.reshape("d", &n, &[symbol("n"), fixed(8)]).unwrap_err();
    assert_eq!(err.to_string(), "graph `g` node `d`: Reshape: [n, 4] cannot become [n, 8]");
}

#[test]
fn a_concatenation_has_the_stated_length() {
    let mut graph = Graph::new("g");
    let a = input(&mut graph, "a", &[fixed(2), fixed(4)]);
    let b = input(&mut graph, "b", &[symbol("n"), fixed(4)]);
    let mut root = graph.root();
    assert_eq!(root.concat("x", 0, &[&a, &a], &fixed(4)).unwrap().dims(), [fixed(4), fixed(4)]);
    assert_eq!(root.concat("y", 0, &[&a, &b], &symbol("m")).unwrap().dims(), [symbol("m"), fixed(4)]);
    let err = root.concat("z", 0, &[&a, &a], &fixed(5)).unwrap_err();
    assert_eq!(err.to_string(), "graph `g` node `z`: Concat: [2, 4], [2, 4] along axis 0 do not give length 5");
    let err = root.concat("v", 1, &[&a, &b], &fixed(8)).unwrap_err();
    assert_eq!(err.to_string(), "graph `g` node `v`: Concat: [2, 4], [n, 4] along axis 1 do not give length 8");
}

#[test]
fn a_kernel_that_does_not_tile_the_picture_is_refused() {
    let mut graph = Graph::new("g");
    let x = input(&mut graph, "x", &[symbol("n"), fixed(3), fixed(30), fixed(28)]);
    let kernel = input(&mut graph, "k", &[fixed(8), fixed(3), fixed(14), fixed(14)]);
    let bias = input(&mut graph, "b", &[fixed(8)]);
    let err = graph.root().patchify("grid", &x, &kernel, &bias).unwrap_err();
    let want = "graph `g` node `grid`: Conv: [n, 3, 30, 28], [8, 3, 14, 14], [8] do not tile the picture";
    assert_eq!(err.to_string(), want);
}

#[test]
fn heads_that_do_not_divide_the_width_are_refused() {
    let mut graph = Graph::new("g");
    let q = input(&mut graph, "q", &[fixed(1), symbol("n"), fixed(10)]);
    let err = graph.root().attention("a", [&q, &q, &q], 4).unwrap_err();
    let want = "graph `g` node `a`: Attention: [1, n, 10], [1, n, 10], [1, n, 10] with 4 heads do not fit";
    assert_eq!(err.to_string(), want);
}

#[test]
fn weights_are_written_page_aligned_and_transposed_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let weights = checkpoint(dir.path());
    let mut graph = Graph::new("g");
    let x = input(&mut graph, "x", &[symbol("n"), fixed(3)]);
    let mut root = graph.root();
    let stored = root.weight(weights.read("w", &[2, 3]).unwrap(), Layout::AsStored).unwrap();
    assert_eq!(stored.dims(), [fixed(2), fixed(3)]);
    let transposed = root.weight(weights.read("w", &[2, 3]).unwrap(), Layout::Transposed).unwrap();
    let y = root.matmul("y", &x, &transposed).unwrap();
    graph.output("out", &y).unwrap();
    assert_eq!(graph.external_bytes(), 2 * 4096);

    let mut written = 0;
    let saved = graph.save(dir.path(), &mut |bytes| written += bytes).unwrap();
    assert_eq!(written, 2 * 4096);
    let raw = std::fs::read(dir.path().join("g.weights")).unwrap();
    let floats =
        |at: usize| -> Vec<f32> { raw[at..at + 24].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect() };
    assert_eq!(floats(0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(floats(4096), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let (bytes, sha256) = vla_bundle::file_digest(&dir.path().join("g.weights")).unwrap();
    assert_eq!(saved.files["g.weights"], vla_bundle::FileEntry { bytes, sha256 });

    let model = proto::ModelProto::decode(std::fs::read(dir.path().join("g.onnx")).unwrap().as_slice()).unwrap();
    let second = &model.graph.unwrap().initializer[1];
    let at: Vec<(&str, &str)> = second.external_data.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
    assert_eq!(at, [("location", "g.weights"), ("offset", "4096"), ("length", "24")]);
    assert_eq!((second.dims.as_slice(), second.data_location), (&[3_i64, 2][..], 1));
}

#[test]
fn a_graph_may_take_its_weights_from_anothers_file() {
    let dir = tempfile::tempdir().unwrap();
    let weights = checkpoint(dir.path());
    let read = |name: &str, layout: &[Layout]| {
        let mut graph = Graph::new(name);
        for layout in layout {
            graph.root().weight(weights.read("w", &[2, 3]).unwrap(), *layout).unwrap();
        }
        graph
    };
    let first = read("first", &[Layout::AsStored, Layout::Transposed]);
    let mut second = read("second", &[Layout::Transposed]);
    second.share_weights(&first).unwrap();
    assert_eq!(second.external_bytes(), 0);
    let saved = second.save(dir.path(), &mut |_| panic!("nothing to write")).unwrap();
    assert_eq!(saved.graph.weights.as_deref(), Some("first.weights"));
    assert_eq!(saved.files.keys().collect::<Vec<_>>(), ["second.onnx"]);
    let model = proto::ModelProto::decode(std::fs::read(dir.path().join("second.onnx")).unwrap().as_slice()).unwrap();
    let data = &model.graph.unwrap().initializer[0].external_data;
    let entries: Vec<&str> = data.iter().map(|entry| entry.value.as_str()).collect();
    // Behind the first weight, which takes a page.
    assert_eq!(entries, ["first.weights", "4096", "24"]);
    let other = read("other", &[Layout::AsStored]);
    let refused = read("second", &[Layout::Transposed]).share_weights(&other).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "graph `second` weight `w.transposed`: not in the file of graph `other`, where it should be"
    );
}
