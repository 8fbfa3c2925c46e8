//! What the ROS 2 tools look for in an installed package.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use vla_runtime::msg::ActionChunk;

fn launch() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/launch"))
}

#[test]
fn an_installed_package_has_what_ros2_launch_and_ros2_run_look_for() {
    let prefix = tempfile::tempdir().unwrap();
    let install = launch().join("install.sh");
    let done = Command::new(install).arg(prefix.path()).arg(env!("CARGO_BIN_EXE_vla")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let installed = |path: &str| prefix.path().join(path);
    assert_eq!(fs::read(installed("share/ament_index/resource_index/packages/vla_runtime")).unwrap(), b"");
    let package = fs::read_to_string(installed("share/vla_runtime/package.xml")).unwrap();
    assert!(package.contains("<name>vla_runtime</name>") && package.contains("<build_type>ament_cargo</build_type>"));
    assert!(installed("share/vla_runtime/launch/vla_node.launch.py").is_file());
    let program = fs::metadata(installed("lib/vla_runtime/vla")).unwrap();
    assert_eq!(program.permissions().mode() & 0o111, 0o111);
    let params = fs::read_dir(installed("share/vla_runtime/params")).unwrap();
    assert!(params.map(|entry| entry.unwrap().path()).any(|path| path.extension().is_some_and(|e| e == "yaml")));
}

#[test]
fn the_message_package_has_the_fields_that_are_sent() {
    let text = fs::read_to_string(launch().join("vla_msgs/msg/ActionChunk.msg")).unwrap();
    let fields = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let described: Vec<&str> = fields.filter_map(|line| line.split_whitespace().nth(1)).collect();
    let json = serde_json::to_string(&ActionChunk::default()).unwrap();
    let positions: Vec<usize> = described.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(positions.is_sorted(), "order of the fields: {described:?} against {json}");
    assert_eq!(described.len(), 12);
}
