//! The run parameters as tools see them: description, type, range, value, and whether they change while the node runs.

use std::collections::BTreeMap;

use super::ParamValue;

/// One parameter of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What it decides.
    pub description: String,
    /// What its values are.
    pub kind: ParamKind,
    /// What it is now; `None` where nobody set it and it has no default.
    pub value: Option<ParamValue>,
    /// Whether it may change.
    pub setting: Setting,
}

/// Type and range of a parameter's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamKind {
    /// True or false.
    Bool,
    /// A whole number of this or more.
    Int {
        /// The smallest.
        from: i64,
    },
    /// A number of this or more.
    Double {
        /// The smallest.
        from: f64,
    },
    /// A text.
    String,
    /// As given at the start, not ours to read.
    Foreign,
}

/// When a parameter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Once, when the node starts.
    AtStart,
    /// Whenever it is set.
    Live,
}

/// Every parameter of a node that was given `given` and has these cameras, by name.
pub fn declare<'a>(
    given: &BTreeMap<String, ParamValue>,
    cameras: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Declared> {
    let mut declared: BTreeMap<String, Declared> =
        OWN.iter().map(|(name, kind, setting, text)| ((*name).to_owned(), empty(text, *kind, *setting))).collect();
    for camera in cameras {
        let text = format!("topic of camera `{camera}`; the profile's where not set");
        declared.insert(format!("images.{camera}"), empty(&text, ParamKind::String, Setting::AtStart));
        let text = format!("topic of the camera info of camera `{camera}`; the profile's where not set");
        declared.insert(format!("camera_info.{camera}"), empty(&text, ParamKind::String, Setting::AtStart));
    }
    for (name, value) in [
        ("dry_run", ParamValue::Bool(true)),
        ("provider", ParamValue::String("cpu".to_owned())),
        ("assumed_latency_ms", ParamValue::Double(0.0)),
        ("noise_seed", ParamValue::Int(0)),
        ("execution", ParamValue::String("receding_horizon".to_owned())),
        ("horizon_ms", ParamValue::Double(300.0)),
        ("use_sim_time", ParamValue::Bool(false)),
        ("autostart", ParamValue::Bool(true)),
        ("wait_for_start", ParamValue::Bool(false)),
        ("flight_recorder_s", ParamValue::Double(20.0)),
        ("flight_recorder_mib", ParamValue::Int(256)),
    ] {
        declared.entry(name.to_owned()).and_modify(|parameter| parameter.value = Some(value));
    }
    for (name, value) in given {
        let foreign = || empty("given at the start, passed on as it is", ParamKind::Foreign, Setting::AtStart);
        let parameter = declared.entry(name.clone()).or_insert_with(foreign);
        parameter.value = Some(match (parameter.kind, value) {
            (ParamKind::Double { .. }, ParamValue::Int(whole)) => ParamValue::Double(*whole as f64),
            _ => value.clone(),
        });
    }
    declared
}

fn empty(description: &str, kind: ParamKind, setting: Setting) -> Declared {
    Declared { description: description.to_owned(), kind, value: None, setting }
}

type Row = (&'static str, ParamKind, Setting, &'static str);

/// The table of [`super::RunParameters::parse`], in its order.
const OWN: &[Row] = &[
    ("bundle", ParamKind::String, Setting::AtStart, "folder of the policy's bundle"),
    ("profile", ParamKind::String, Setting::AtStart, "file of the robot profile"),
    ("task", ParamKind::String, Setting::Live, "the instruction; setting it is a new instruction, empty stops"),
    ("dry_run", ParamKind::Bool, Setting::Live, "whether nothing moves; true at any time, false at the start only"),
    ("provider", ParamKind::String, Setting::AtStart, "where the graphs run: cpu, cuda or tensorrt"),
    ("intra_op_threads", ParamKind::Int { from: 1 }, Setting::AtStart, "threads that share one operator"),
    ("denoise_steps", ParamKind::Int { from: 1 }, Setting::AtStart, "steps of a denoising; the bundle's where not set"),
    ("noise_seed", ParamKind::Int { from: 0 }, Setting::AtStart, "seed of the noise that a denoising starts from"),
    ("inference_rate_hz", ParamKind::Double { from: 0.0 }, Setting::AtStart, "most inferences per second, above 0"),
    ("n_action_steps", ParamKind::Int { from: 1 }, Setting::AtStart, "steps of a chunk that are executed"),
    ("execution", ParamKind::String, Setting::AtStart, "how chunks follow each other; receding_horizon where not set"),
    (
        "ensemble_decay",
        ParamKind::Double { from: 0.0 },
        Setting::AtStart,
        "weight of older predictions, 0 for all alike",
    ),
    (
        "queue_threshold",
        ParamKind::Double { from: 0.0 },
        Setting::AtStart,
        "share left when a chunk is asked for, 0 to 1",
    ),
    ("aggregate", ParamKind::String, Setting::AtStart, "how overlapping predictions are merged"),
    ("horizon_ms", ParamKind::Double { from: 0.0 }, Setting::AtStart, "how far a command reaches before it stops"),
    (
        "max_observation_age_ms",
        ParamKind::Double { from: 0.0 },
        Setting::AtStart,
        "oldest observation whose chunk may begin; the executed rows' length where not set",
    ),
    ("max_skew_ms", ParamKind::Double { from: 0.0 }, Setting::AtStart, "largest difference between stamps of inputs"),
    ("assumed_latency_ms", ParamKind::Double { from: 0.0 }, Setting::AtStart, "time of an inference, in replay only"),
    ("use_sim_time", ParamKind::Bool, Setting::AtStart, "whether /clock is the clock"),
    ("autostart", ParamKind::Bool, Setting::AtStart, "whether the node configures and activates itself"),
    ("wait_for_start", ParamKind::Bool, Setting::AtStart, "whether nothing moves before ~/start"),
    ("estop", ParamKind::String, Setting::AtStart, "topic, std_msgs/Bool again and again; true or silence stops"),
    ("estop_heartbeat", ParamKind::String, Setting::AtStart, "topic, std_msgs/Empty again and again; silence stops"),
    ("estop_timeout_ms", ParamKind::Double { from: 0.0 }, Setting::AtStart, "longest silence of an e-stop, above 0"),
    ("deadman", ParamKind::String, Setting::AtStart, "topic, sensor_msgs/Joy; nothing moves unless a button is held"),
    ("deadman_button", ParamKind::Int { from: 0 }, Setting::AtStart, "index of the button to hold"),
    (
        "deadman_timeout_ms",
        ParamKind::Double { from: 0.0 },
        Setting::AtStart,
        "longest silence of the deadman, above 0",
    ),
    ("deadman_resumes", ParamKind::Bool, Setting::AtStart, "whether to hold it again is enough, without ~/start"),
    ("takeover", ParamKind::String, Setting::AtStart, "topic, std_msgs/Bool; nothing moves while a person drives"),
    (
        "flight_recorder",
        ParamKind::String,
        Setting::AtStart,
        "folder for files of what went wrong; empty keeps nothing",
    ),
    ("flight_recorder_s", ParamKind::Double { from: 0.0 }, Setting::AtStart, "how far back such a file goes, above 0"),
    ("flight_recorder_mib", ParamKind::Int { from: 1 }, Setting::AtStart, "memory that the flight recorder may take"),
    ("joint_states", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("instruction", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("joint_trajectory", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("command", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("gripper", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("eef_target", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("eef_twist", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
    ("action_chunk", ParamKind::String, Setting::AtStart, "topic; the profile's where not set"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_what_is_assumed_and_what_is_open_are_told_apart() {
        let given = [
            ("max_skew_ms", ParamValue::Int(12)),
            ("dry_run", ParamValue::Bool(false)),
            ("provider_options.device_id", ParamValue::Int(1)),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value)).into();
        let declared = declare(&given, ["front"]);
        let value = |name: &str| declared[name].value.clone();
        assert_eq!(value("max_skew_ms"), Some(ParamValue::Double(12.0)));
        assert_eq!(
            (value("dry_run"), value("use_sim_time")),
            (Some(ParamValue::Bool(false)), Some(ParamValue::Bool(false)))
        );
        assert_eq!((value("task"), value("images.front")), (None, None));
        assert_eq!(declared["provider_options.device_id"].kind, ParamKind::Foreign);
        assert_eq!(declared["provider_options.device_id"].value, Some(ParamValue::Int(1)));
    }

    #[test]
    fn every_parameter_that_the_parser_takes_is_declared() {
        let declared = declare(&BTreeMap::new(), []);
        let value = |parameter: &Declared| match parameter.kind {
            ParamKind::Bool => ParamValue::Bool(true),
            ParamKind::Int { from } => ParamValue::Int(from),
            ParamKind::Double { from } => ParamValue::Double(from + 1.0),
            ParamKind::String | ParamKind::Foreign => ParamValue::String("text".to_owned()),
        };
        let all: BTreeMap<String, ParamValue> =
            declared.iter().map(|(name, parameter)| (name.clone(), value(parameter))).collect();
        let text = |text: &str| ParamValue::String(text.to_owned());
        for (word, others) in
            [("temporal_ensemble", &["queue_threshold", "aggregate"][..]), ("asynchronous", &["ensemble_decay"])]
        {
            let mut some = all.clone();
            some.retain(|name, _| !others.contains(&name.as_str()));
            some.insert("execution".to_owned(), text(word));
            some.entry("aggregate".to_owned()).and_modify(|aggregate| *aggregate = text("average"));
            super::super::RunParameters::parse(&some).unwrap();
        }
        let parameters = include_str!("parameters.rs").split("#[cfg(test)]").next().unwrap();
        let source = [parameters, include_str!("interlocks.rs"), include_str!("flight.rs")].concat();
        for (name, ..) in OWN {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
        }
        let read = source.split("reader.").skip(1).filter_map(|call| call.split('"').nth(1));
        for name in read.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
            assert!(declared.contains_key(name) || name.is_empty(), "{name} is read and not declared");
        }
    }
}
