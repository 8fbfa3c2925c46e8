//! `vla inspect` on policies: what they compute, what the same model would without pruning, and what they ignore.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

#[path = "shared/case.rs"]
mod case;
#[path = "inspect/probe.rs"]
mod probe;

use std::process::Command;

use case::export;

/// What `inspect` says about the bundle of a case, one line each.
fn inspected(case: &str) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let bundle = scratch.path().join("bundle").display().to_string();
    export(case, &bundle, &["--golden", "off"]);
    let text = said(&["inspect", &bundle]);
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What a command that succeeds prints.
fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vla")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_says(lines: &[String], wanted: &str) {
    assert!(lines.iter().any(|line| line == wanted), "no line `{wanted}` in\n{}", lines.join("\n"));
}

/// Four layers of width 32 and 84: `4 (2 n (4 32^2 + 3 32 84) + 4 n^2 32)` for n = 100, and 143 without pruning.
#[test]
fn a_policy_that_prunes_once_shows_the_length_that_goes_on() {
    let lines = inspected("lightvla_l1");
    assert_says(&lines, "flops language per observation: 14.8 MFLOP, 24.4 MFLOP without pruning (1.64 times)");
    assert_says(&lines, "pruning kept: 100 of 143 tokens go on, 61 to 364");
}

/// Eight layers of width 24 and 64 on 133 tokens, of which 57 stand in the tail; per layer of n tokens
/// `2 n (4 24^2 + 3 24 64) + 4 24 ((n - 57)^2 + 57 n)`, and per router `4 24 133 + 8 24 12`.
#[test]
fn a_policy_that_prunes_in_layers_shows_what_each_of_them_keeps() {
    let lines = inspected("cogvla");
    assert_says(&lines, "flops language per observation: 22.6 MFLOP, 25.1 MFLOP without pruning (1.11 times)");
    assert_says(
        &lines,
        "pruning language keeps, of 40 picture tokens: layers.2 29, layers.3 29, layers.4 28, layers.5 27, layers.6 26, \
         layers.7 25",
    );
    assert_says(&lines, "merged adapters of 76 weights onto `base_checkpoint`, times 4, in fp32");
}

#[test]
fn a_policy_that_does_not_prune_shows_no_second_number() {
    let lines = inspected("openvla_oft_l1");
    assert!(lines.iter().all(|line| !line.starts_with("pruning") && !line.contains("without pruning")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("flops language per observation: ")), "{lines:?}");
}
