//! What the flight recorder of a real node writes, and what `vla replay` makes of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::peer::Robot;
use super::{Node, remaps, robot};

/// Somebody who says again and again whether the e-stop is pressed.
fn estop(topic: &str, pressed: &Value) -> Robot {
    Robot::start(&json!({"hear": [], "send": [
        {"topic": topic, "type": "Bool", "rate_hz": 20, "message": {"data": pressed}},
    ]}))
}

#[test]
fn an_e_stop_leaves_a_file_from_which_replay_decides_the_same() {
    let hear = json!([
        {"topic": "/cell/boxed/action_chunk", "type": "ActionChunk"},
        {"topic": "/diagnostics", "type": "DiagnosticArray"},
    ]);
    let released = estop("/flown/estop", &json!(false));
    let robot = robot("/flown", &hear);
    let remaps = remaps("/flown", "boxed");
    let remaps: Vec<&str> = remaps.iter().map(String::as_str).collect();
    let flights = tempfile::tempdir().unwrap();
    let parameters = format!(
        "    dry_run: false\n    estop: /flown/estop\n    estop_timeout_ms: 2000\n    flight_recorder: {}\n",
        flights.path().display()
    );
    let node = Node::start(&parameters, &remaps);
    for _ in 0..3 {
        robot.hear("/cell/boxed/action_chunk", |chunk| chunk["verdict"] == "sent");
    }
    drop(released);
    let _pressed = estop("/flown/estop", &json!(true));
    let report = robot.hear("/diagnostics", |report| {
        let mut parts = report["status"].as_array().unwrap().iter();
        parts.any(|part| part["message"].as_str().unwrap().starts_with("wrote "))
    });
    let parts = report["status"].as_array().unwrap();
    assert_eq!(parts.last().unwrap()["name"], "/cell/boxed: flight recorder");
    let files: Vec<PathBuf> = fs::read_dir(flights.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.to_str().unwrap().ends_with("-estop.mcap"), "{}", file.display());

    let folder = node.folder.path();
    let replayed = Command::new(env!("CARGO_BIN_EXE_vla"))
        .arg("replay")
        .args([&folder.join("bundle"), file])
        .args(["--profile".as_ref(), folder.join("profile.yaml").as_path()])
        .args(["--params".as_ref(), folder.join("params.yaml").as_path()])
        .args(["--expect".as_ref(), file.as_path()])
        .arg("--ros-args")
        .args(&remaps)
        .output()
        .unwrap();
    let [told, log] = [replayed.stdout, replayed.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(replayed.status.success(), "{told}{log}");
    let compared = told.rsplit_once(".mcap: ").unwrap().1;
    let (count, rest) = compared.split_once(' ').unwrap();
    assert!(count.parse::<u32>().unwrap() >= 3, "{told}");
    assert_eq!(rest, "chunks compared; no value differs\n");
    let (code, log) = node.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}
