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
    assert!(installed("share/vla_runtime/launch/vla_node.launch.xml").is_file());
    assert!(installed("share/vla_runtime/systemd/vla_node.service").is_file());
    let program = fs::metadata(installed("lib/vla_runtime/vla")).unwrap();
    assert_eq!(program.permissions().mode() & 0o111, 0o111);
    let params = fs::read_dir(installed("share/vla_runtime/params")).unwrap();
    assert!(params.map(|entry| entry.unwrap().path()).any(|path| path.extension().is_some_and(|e| e == "yaml")));
}

#[test]
fn both_launch_files_take_the_same_arguments_and_start_the_same_program() {
    let texts =
        ["vla_node.launch.py", "vla_node.launch.xml"].map(|name| fs::read_to_string(launch().join(name)).unwrap());
    let arguments = |text: &str, before: &str| -> Vec<String> {
        text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let [python, xml] = &texts;
    let wanted = ["params", "bundle", "profile", "dry_run", "name", "namespace", "log_level"];
    assert_eq!(arguments(python, "DeclareLaunchArgument(\""), wanted);
    assert_eq!(arguments(xml, "\n  <arg name=\""), wanted);
    for (python_says, xml_says) in [
        ("package=\"vla_runtime\"", "pkg=\"vla_runtime\""),
        ("executable=\"vla\"", "exec=\"vla\""),
        ("arguments=[\"node\"]", "args=\"node\""),
        ("ros_arguments=[\"--log-level\",", "ros_args=\"--log-level $(var log_level)\""),
    ] {
        assert!(python.contains(python_says) && xml.contains(xml_says), "{python_says} {xml_says}");
    }
    // Well-formed, in the eyes of a reader that is not ours.
    let parse = "import sys, xml.etree.ElementTree as t; t.parse(sys.argv[1])";
    let parsed =
        Command::new("python3").args(["-c", parse]).arg(launch().join("vla_node.launch.xml")).output().unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
}

#[test]
fn the_service_starts_what_install_lays_out_and_never_starts_again_by_itself() {
    let unit = fs::read_to_string(launch().join("vla_node.service")).unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert!(value("ExecStart").starts_with("/opt/vla_runtime/lib/vla_runtime/vla node --ros-args --params-file "));
    assert_eq!((value("KillSignal"), value("Restart")), ("SIGINT", "no"));
}

#[test]
fn the_message_package_has_the_fields_that_are_sent() {
    let text = fs::read_to_string(launch().join("vla_msgs/msg/ActionChunk.msg")).unwrap();
    let fields = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let described: Vec<&str> = fields.filter_map(|line| line.split_whitespace().nth(1)).collect();
    let json = serde_json::to_string(&ActionChunk::default()).unwrap();
    let positions: Vec<usize> = described.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(positions.is_sorted(), "order of the fields: {described:?} against {json}");
    assert_eq!(described.len(), 14);
}
