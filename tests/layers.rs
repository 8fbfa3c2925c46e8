//! The layer table of ARCHITECTURE.md and its invariants, held against the source text.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names of model systems; the runtime must not know any of them.
const SYSTEMS: &[&str] = &[
    "openvla",
    "lightvla",
    "cogvla",
    "smolvla",
    "prismatic",
    "dinov2",
    "siglip",
    "llama",
    "paligemma",
    "gemma",
    "pi0",
];

/// Names that mean something else in one place.
const HOMONYMS: &[(&str, &str)] = &[
    // A joint that slides, in robot descriptions.
    ("src/kinematics", "prismatic"),
];

#[test]
fn every_module_uses_only_what_its_row_allows() {
    let table = layer_table();
    let mut wrong = Vec::new();
    for (path, code) in sources("src") {
        let Some(module) = module_of(&path) else { continue };
        let Some(allowed) = table.get(&module) else {
            wrong.push(format!("module `{module}` has no row in ARCHITECTURE.md"));
            continue;
        };
        for used in names_after(&code, "crate::") {
            if used != module && table.contains_key(&used) && !allowed.contains(&used) {
                wrong.push(format!("{}: `{module}` uses `{used}`", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_layer_table_has_no_cycle_and_no_row_too_many() {
    let table = layer_table();
    let mut placed = BTreeSet::new();
    while placed.len() < table.len() {
        let next = table.iter().find(|(module, uses)| !placed.contains(*module) && uses.is_subset(&placed));
        let (module, _) = next.unwrap_or_else(|| panic!("cycle among the modules after {placed:?}"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(format!("{module}.rs"));
        assert!(file.exists(), "row `{module}` of ARCHITECTURE.md names no module");
        placed.insert(module.clone());
    }
}

#[test]
fn libraries_and_clocks_stay_where_they_belong() {
    let places = [
        (&["ort::", "use ort"][..], "src/policy"),
        (&["ros2_client", "rustdds"][..], "src/drive/ros"),
        (&["Instant::now", "SystemTime::now", "thread::sleep"][..], "src/drive/clock.rs"),
    ];
    let mut wrong = Vec::new();
    for (path, code) in sources("src") {
        for (needles, home) in places {
            let found = needles.iter().find(|needle| contains_word(&code, needle));
            if let Some(needle) = found
                && !path.starts_with(home)
                && !path.starts_with(format!("{home}.rs"))
            {
                wrong.push(format!("{}: `{needle}` belongs to {home}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_runtime_names_no_model_system() {
    let mut wrong = Vec::new();
    for (path, code) in sources("src").into_iter().chain(sources("bundle/src")) {
        let lower = code.to_lowercase();
        let homonym =
            |name: &str| HOMONYMS.iter().any(|(home, word)| *word == name && path.to_string_lossy().starts_with(home));
        let found = SYSTEMS.iter().filter(|name| lower.contains(**name) && !homonym(name));
        wrong.extend(found.map(|name| format!("{}: {name}", path.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_exporter_does_not_depend_on_onnx_runtime() {
    let manifest = fs::read_to_string(root().join("onnx-export/Cargo.toml")).unwrap();
    let wrong: Vec<_> =
        manifest.lines().filter(|line| line.starts_with("ort") || line.starts_with("vla-runtime")).collect();
    assert_eq!(wrong, Vec::<&str>::new());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module -> modules it may use, from the table under "Layers".
fn layer_table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Layers").nth(1).expect("ARCHITECTURE.md has a section Layers");
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let uses = cells[2].split(',').map(str::trim).filter(|u| !u.is_empty()).map(str::to_owned).collect();
            (cells[0].trim_matches('`').to_owned(), uses)
        })
        .collect()
}

/// Every Rust file under `folder` with its path from the root and its code without tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut test_files = BTreeSet::new();
    let mut open = vec![root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let (code, modules) = without_tests(&fs::read_to_string(&path).unwrap());
                test_files.extend(modules.iter().map(|name| path.with_extension("").join(format!("{name}.rs"))));
                found.push((path, code));
            }
        }
    }
    found.retain(|(path, _)| !test_files.contains(path));
    assert!(!found.is_empty(), "no source under {folder}");
    found.into_iter().map(|(path, code)| (path.strip_prefix(root()).unwrap().to_owned(), code)).collect()
}

/// Code without its inline test module, and the names of test modules that are files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut pieces = code.split("#[cfg(test)]");
    kept.push_str(pieces.next().unwrap());
    for piece in pieces {
        let (item, rest) = piece.trim_start().split_once('\n').unwrap_or((piece, ""));
        match item.strip_suffix(';').and_then(|item| item.split_once("mod ")) {
            Some((_, name)) => {
                modules.push(name.to_owned());
                kept.push_str(rest);
            }
            // An inline module stands at the end of its file; anything else under the attribute is kept.
            None if item.contains("mod tests {") => {}
            None => kept.push_str(piece),
        }
    }
    (kept, modules)
}

/// `src/policy/plan.rs` and `src/policy.rs` are module `policy`; the crate roots are none.
fn module_of(path: &Path) -> Option<String> {
    let first = path.iter().nth(1)?.to_str()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| first.to_owned())
}

/// The identifiers that follow `prefix`, also inside `crate::{a, b::c}`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        names.insert(ident(&group[i..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            names.insert(ident(rest));
        }
    }
    names
}

/// Whether `needle` stands in `code` and not as the tail of a longer identifier (`support::` is not `ort::`).
fn contains_word(code: &str, needle: &str) -> bool {
    code.match_indices(needle).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}
