//! Argument lists are those that launch 3.7 and launch_ros 0.28 were seen to build; typing follows rcl's `parse.c`.

use std::io::Write;

use super::params::ParamRules;
use super::*;

fn parse(args: &[&str]) -> Result<RosArgs, RosArgsError> {
    RosArgs::parse(args.iter().map(|&arg| arg.to_owned()), "vla_node")
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn error(args: &[&str]) -> String {
    parse(args).unwrap_err().to_string()
}

fn value(text: &str) -> ParamValue {
    parse(&["--ros-args", "-p", &format!("x:={text}")]).unwrap().parameters()["x"].clone()
}

fn text(value: &str) -> ParamValue {
    ParamValue::String(value.to_owned())
}

#[test]
fn the_arguments_of_launch_are_understood() {
    let params = file("/**:\n  ros__parameters:\n    rate_hz: 20.0\n    cams: [a, b]\n");
    let temporary = file("/vla/vla_node:\n  ros__parameters:\n    cams: !!python/tuple\n    - c\n    nested.x: 1.5\n");
    let args = parse(&[
        "--model",
        "x",
        "--ros-args",
        "--log-level",
        "debug",
        "--disable-rosout-logs",
        "--ros-args",
        "-r",
        "__node:=vla_node",
        "-r",
        "__ns:=/vla",
        "-p",
        "use_sim_time:=True",
        "--params-file",
        params.path().to_str().unwrap(),
        "--params-file",
        temporary.path().to_str().unwrap(),
        "-r",
        "/diag:=/diagnostics",
        "-r",
        "image:=/camera/image_raw",
        "-r",
        "~/cmd:=/arm/joint_trajectory",
    ])
    .unwrap();
    assert_eq!(args.rest(), ["--model", "x"]);
    assert_eq!(args.fully_qualified_name(), "/vla/vla_node");
    assert_eq!(args.log_levels(), [LogLevelRule { logger: None, level: LogLevel::Debug }]);
    let want = [
        ("cams", ParamValue::StringArray(vec!["c".to_owned()])),
        ("nested.x", ParamValue::Double(1.5)),
        ("rate_hz", ParamValue::Double(20.0)),
        ("use_sim_time", ParamValue::Bool(true)),
    ];
    assert_eq!(args.parameters(), &want.map(|(name, value)| (name.to_owned(), value)).into());
    assert_eq!(args.resolve("image").unwrap(), "/camera/image_raw");
    assert_eq!(args.resolve("~/cmd").unwrap(), "/arm/joint_trajectory");
    assert_eq!(args.resolve("/diag").unwrap(), "/diagnostics");
    assert_eq!(args.resolve("joint_states").unwrap(), "/vla/joint_states");
    assert_eq!(args.resolve("~/action_chunk").unwrap(), "/vla/vla_node/action_chunk");
}

#[test]
fn a_section_ends_at_two_dashes() {
    let args = parse(&["a", "--ros-args", "-p", "n:=3", "--", "b", "-r", "--ros-args", "-r", "__ns:=/x"]).unwrap();
    assert_eq!(args.rest(), ["a", "b", "-r"]);
    assert_eq!(args.parameters()["n"], ParamValue::Int(3));
    assert_eq!(args.namespace(), "/x");
}

#[test]
fn without_arguments_the_node_stands_in_the_root_namespace() {
    let args = parse(&[]).unwrap();
    assert_eq!((args.namespace(), args.node_name()), ("/", "vla_node"));
    assert_eq!(args.resolve("images/front").unwrap(), "/images/front");
    assert_eq!(args.resolve("~/command").unwrap(), "/vla_node/command");
}

#[test]
fn the_other_options_of_rcl_are_accepted() {
    let args = parse(&[
        "--ros-args",
        "-e",
        "/enclave",
        "--log-config-file",
        "f",
        "--log-file-name",
        "g",
        "--enable-stdout-logs",
        "--disable-external-lib-logs",
        "--log-level",
        "vla_node:=WARN",
    ])
    .unwrap();
    assert_eq!(args.log_levels(), [LogLevelRule { logger: Some("vla_node".to_owned()), level: LogLevel::Warn }]);
}

#[test]
fn what_cannot_be_understood_is_named() {
    assert_eq!(error(&["--ros-args", "--model", "x"]), "unknown ROS argument `--model`");
    assert_eq!(error(&["--ros-args", "-r"]), "`-r` wants a value behind it");
    assert_eq!(error(&["--ros-args", "-r", "a=b"]), "`-r a=b` is not of the form from:=to or node:from:=to");
    assert_eq!(error(&["--ros-args", "-p", "a"]), "`-p a` is not of the form name:=value or node:name:=value");
    assert_eq!(
        error(&["--ros-args", "--log-level", "loud"]),
        "log level `loud` is none of debug, info, warn, error, fatal"
    );
    assert_eq!(
        error(&["--ros-args", "-r", "image:=/camera//raw"]),
        "`/camera//raw` is not a valid topic name: it has an empty part"
    );
    assert_eq!(
        error(&["--ros-args", "-r", "__node:=a/b"]),
        "`a/b` is not a valid node name: only letters, digits, _ and / are allowed"
    );
    assert_eq!(error(&["--ros-args", "-r", "__ns:=arm"]), "`arm` is not a valid namespace: it does not start with /");
    assert_eq!(
        error(&["--ros-args", "-r", "~cmd:=/x"]),
        "`~cmd` is not a valid topic name: a tilde is followed by a slash"
    );
    assert_eq!(
        error(&["--ros-args", "--params-file", "no/such.yaml"]),
        "cannot read parameter file: No such file or directory (os error 2): no/such.yaml"
    );
    assert_eq!(
        error(&["--ros-args", "-p", "a:=[1, 2.5]"]),
        "parameter `a`: line 1: a list that starts with a whole number holds nothing else"
    );
}

#[test]
fn a_rule_for_another_node_changes_nothing() {
    let rules = ["--ros-args", "-r", "other:__ns:=/x", "-r", "other:image:=/a", "-r", "arm:image:=/b"];
    let named = [&rules[..], &["-r", "vla_node:__node:=arm"]].concat();
    assert_eq!(parse(&rules).unwrap().resolve("image").unwrap(), "/image");
    let args = parse(&named).unwrap();
    assert_eq!(args.fully_qualified_name(), "/arm");
    assert_eq!(args.resolve("image").unwrap(), "/b");
}

#[test]
fn the_first_matching_rule_wins_and_both_sides_are_expanded() {
    let args = parse(&[
        "--ros-args",
        "-r",
        "__ns:=/arm/left",
        "-r",
        "/arm/left/image:=wrist",
        "-r",
        "image:=/too_late",
        "-r",
        "~/command:=~/out",
        "-r",
        "{ns}/state:=/{node}/state",
    ])
    .unwrap();
    assert_eq!(args.resolve("image").unwrap(), "/arm/left/wrist");
    assert_eq!(args.resolve("~/command").unwrap(), "/arm/left/vla_node/out");
    assert_eq!(args.resolve("/image").unwrap(), "/image");
}

#[test]
fn plain_scalars_have_the_types_of_rcl() {
    for yes in ["y", "Yes", "ON", "true", "True"] {
        assert_eq!(value(yes), ParamValue::Bool(true), "{yes}");
    }
    assert_eq!((value("off"), value("N")), (ParamValue::Bool(false), ParamValue::Bool(false)));
    assert_eq!((value("0x1f"), value("-010")), (ParamValue::Int(31), ParamValue::Int(-8)));
    assert_eq!((value("+5"), value("0")), (ParamValue::Int(5), ParamValue::Int(0)));
    assert_eq!((value("1e3"), value("-.5")), (ParamValue::Double(1000.0), ParamValue::Double(-0.5)));
    assert_eq!((value("08"), value("-.inf")), (ParamValue::Double(8.0), ParamValue::Double(f64::NEG_INFINITY)));
    assert!(matches!(value(".nan"), ParamValue::Double(nan) if nan.is_nan()));
    assert_eq!((value("'true'"), value("\"7\"")), (text("true"), text("7")));
    assert_eq!((value("!!str 7"), value("yEs")), (text("7"), text("yEs")));
    assert_eq!((value("1e999"), value("pick up, now")), (text("1e999"), text("pick up, now")));
    assert_eq!(value("/a/b.yaml"), text("/a/b.yaml"));
}

#[test]
fn lists_hold_one_type() {
    assert_eq!(value("[1, 0x2]"), ParamValue::IntArray(vec![1, 2]));
    assert_eq!(value("[1.0, .inf]"), ParamValue::DoubleArray(vec![1.0, f64::INFINITY]));
    assert_eq!(value("[yes, off]"), ParamValue::BoolArray(vec![true, false]));
    assert_eq!(value("['1', b]"), ParamValue::StringArray(vec!["1".to_owned(), "b".to_owned()]));
}

#[test]
fn node_keys_match_as_in_rclcpp() {
    let mut rules = ParamRules::default();
    rules
        .read(
            "/**:\n  ros__parameters: {a: 1, b: 1, c: 1}\n\
             arm:\n  vla_node:\n    ros__parameters: {b: 2, deep: {er: x}}\n\
             /arm/other:\n  ros__parameters: {a: 9}\n\
             /*:\n  ros__parameters: {d: 4}\n\
             /*/vla_node:\n  ros__parameters: {c: 3}\n\
             vla_node:\n  ros__parameters: {e: 5}\n",
        )
        .unwrap();
    let named = |node: &str| -> Vec<(String, ParamValue)> { rules.of_node(node).into_iter().collect() };
    let integer = |name: &str, value| (name.to_owned(), ParamValue::Int(value));
    assert_eq!(
        named("/arm/vla_node"),
        [integer("a", 1), integer("b", 2), integer("c", 3), ("deep.er".to_owned(), text("x"))]
    );
    let root = [integer("a", 1), integer("b", 1), integer("c", 1), integer("d", 4), integer("e", 5)];
    assert_eq!(named("/vla_node"), root);
    assert_eq!(named("/a/b/c"), [integer("a", 1), integer("b", 1), integer("c", 1)]);
}

#[test]
fn node_keys_apply_in_the_order_of_their_first_appearance() {
    let for_node = file("/vla_node:\n  ros__parameters: {a: 2}\n");
    let for_both = file("/**:\n  ros__parameters: {b: 0}\n/vla_node:\n  ros__parameters: {a: 2}\n");
    let a = |args: &[&str]| parse(args).unwrap().parameters()["a"].clone();
    let (for_node, for_both) = (for_node.path().to_str().unwrap(), for_both.path().to_str().unwrap());
    assert_eq!(a(&["--ros-args", "--params-file", for_node, "-p", "a:=1"]), ParamValue::Int(1));
    assert_eq!(a(&["--ros-args", "-p", "a:=1", "--params-file", for_node]), ParamValue::Int(2));
    // `-p` belongs to the key `/**`, which this file mentions before the node.
    assert_eq!(a(&["--ros-args", "--params-file", for_both, "-p", "a:=1"]), ParamValue::Int(2));
    assert_eq!(a(&["--ros-args", "--params-file", for_both, "-p", "vla_node:a:=1"]), ParamValue::Int(1));
}

#[test]
fn files_that_are_no_parameter_files_say_where() {
    let refused = |text: &str| ParamRules::default().read(text).unwrap_err().to_string();
    assert_eq!(refused("a:\n  b: 1\n"), "line 2: `b` wants `ros__parameters` below it");
    assert_eq!(refused("ros__parameters:\n  b: 1\n"), "line 2: `ros__parameters` stands outside of a node");
    assert_eq!(refused("- a\n"), "line 1: the file is not a map of nodes");
    assert_eq!(refused("a:\n  ros__parameters:\n    x: []\n"), "line 3: an empty list has no type in ROS 2");
    assert_eq!(refused("a:\n  ros__parameters:\n    x:\n    y: 1\n"), "line 3: there is no value");
    assert_eq!(
        refused("a:\n  ros__parameters:\n    x: &k 1\n    y: *k\n"),
        "line 4: aliases are not allowed in parameter files"
    );
    assert_eq!(
        refused("a: {b: [}"),
        "not YAML: while parsing a node, did not find expected node content at byte 8 line 1 column 9"
    );
    assert!(ParamRules::default().read("# nothing\n").is_ok());
}
