//! Run parameters: how to run today. ROS 2 parameters become typed, range-checked values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FlightRules, InterlockRules};
use crate::execute::{Aggregate, Asynchronous, Execution, TemporalEnsemble};
use crate::time::Span;

/// The value of a ROS 2 parameter (`rcl_interfaces/ParameterValue`).
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ParamValue {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
    BoolArray(Vec<bool>),
    IntArray(Vec<i64>),
    DoubleArray(Vec<f64>),
    StringArray(Vec<String>),
}

impl ParamValue {
    /// The type's word in messages.
    pub fn type_word(&self) -> &'static str {
        match self {
            ParamValue::Bool(_) => "a bool",
            ParamValue::Int(_) => "an integer",
            ParamValue::Double(_) => "a number",
            ParamValue::String(_) => "a string",
            ParamValue::BoolArray(_) => "an array of bools",
            ParamValue::IntArray(_) => "an array of integers",
            ParamValue::DoubleArray(_) => "an array of numbers",
            ParamValue::StringArray(_) => "an array of strings",
        }
    }
}

/// Whether commands leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// `dry_run: true`, the default: everything is computed and recorded, nothing moves.
    DryRun,
    /// `dry_run: false`.
    Live,
}

/// How to run today; every value is of its type and in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct RunParameters {
    pub(super) bundle: Option<PathBuf>,
    pub(super) profile: Option<PathBuf>,
    pub(super) task: Option<String>,
    pub(super) motion: Motion,
    pub(super) provider: String,
    pub(super) provider_options: Vec<(String, String)>,
    pub(super) intra_op_threads: Option<usize>,
    pub(super) denoise_steps: Option<usize>,
    pub(super) noise_seed: u64,
    pub(super) inference_rate_hz: f64,
    pub(super) n_action_steps: usize,
    pub(super) execution: Execution,
    pub(super) horizon: Span,
    pub(super) max_observation_age: Option<Span>,
    pub(super) max_skew: Span,
    pub(super) assumed_latency: Span,
    pub(super) use_sim_time: bool,
    pub(super) autostart: bool,
    pub(super) interlocks: InterlockRules,
    pub(super) flight_recorder: Option<FlightRules>,
    pub(super) images: BTreeMap<String, String>,
    pub(super) camera_infos: BTreeMap<String, String>,
    pub(super) topics: Topics,
}

/// Topics that parameters put in the place of the profile's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Topics {
    pub joint_states: Option<String>,
    pub instruction: Option<String>,
    pub joint_trajectory: Option<String>,
    pub command: Option<String>,
    pub gripper: Option<String>,
    pub eef_target: Option<String>,
    pub eef_twist: Option<String>,
    pub action_chunk: Option<String>,
}

/// Every parameter that is missing, unknown, of the wrong type or out of range.
#[derive(Debug, thiserror::Error)]
#[error("parameters: {}", .0.join("; "))]
pub struct ParameterError(pub Vec<String>);

impl RunParameters {
    /// Reads parameters by their dotted names. `use_sim_time` and `qos_overrides.*` are ROS 2's own and accepted.
    ///
    /// | name | type | default |
    /// |---|---|---|
    /// | `bundle`, `profile` | string, a path | the command line's |
    /// | `task` | string, the instruction until one arrives | none |
    /// | `dry_run` | bool | true |
    /// | `provider` | string | cpu |
    /// | `provider_options.<key>` | bool, integer, number or string | the provider's |
    /// | `intra_op_threads` | integer, at least 1 | ONNX Runtime's |
    /// | `denoise_steps` | integer, at least 1 | the bundle's |
    /// | `noise_seed` | integer, at least 0 | 0 |
    /// | `inference_rate_hz` | number above 0 | required |
    /// | `n_action_steps` | integer, at least 1 | required |
    /// | `execution` | `synchronous`, `receding_horizon`, `temporal_ensemble` or `asynchronous` | receding_horizon |
    /// | `ensemble_decay` | number, at least 0; with `temporal_ensemble` | required there |
    /// | `queue_threshold` | number, 0 to 1; with `asynchronous` | required there |
    /// | `aggregate` | `weighted_average`, `latest_only`, `average` or `conservative`; with `asynchronous` | required there |
    /// | `horizon_ms` | number above 0: how far a command reaches before it begins to stop | 300 |
    /// | `max_observation_age_ms` | number above 0: oldest observation whose chunk may still begin | the executed rows' length |
    /// | `max_skew_ms` | number, at least 0 | required |
    /// | `assumed_latency_ms` | number, at least 0; replay only | 0 |
    /// | `autostart` | bool: configures and activates by itself | true |
    /// | `wait_for_start` | bool: moves after `~/start` | false |
    /// | `estop`, `estop_heartbeat` | string, a topic of `std_msgs/Bool` or `std_msgs/Empty` | none |
    /// | `estop_timeout_ms` | number above 0 | required with an e-stop |
    /// | `deadman` | string, a topic of `sensor_msgs/Joy` | none |
    /// | `deadman_button`, `deadman_timeout_ms` | integer, at least 0; number above 0 | required with `deadman` |
    /// | `deadman_resumes` | bool: holding it again is enough to move | false |
    /// | `takeover` | string, a topic of `std_msgs/Bool` | none |
    /// | `flight_recorder` | string, a folder for what went wrong | none: nothing is kept |
    /// | `flight_recorder_s` | number above 0: how far back a file goes | 20 |
    /// | `flight_recorder_mib` | integer, at least 1: memory for that | 256 |
    /// | `images.<camera>`, `camera_info.<camera>`, `joint_states`, `instruction`, `joint_trajectory`, `command`, `gripper`, `eef_target`, `eef_twist`, `action_chunk` | string, a topic | the profile's |
    ///
    /// # Errors
    /// [`ParameterError`] lists every problem at once.
    pub fn parse(values: &BTreeMap<String, ParamValue>) -> Result<Self, ParameterError> {
        let mut reader = Reader { values: values.clone(), problems: Vec::new() };
        let dry_run = reader.bool("dry_run").unwrap_or(true);
        let parameters = Self {
            bundle: reader.string("bundle").map(PathBuf::from),
            profile: reader.string("profile").map(PathBuf::from),
            task: reader.string("task"),
            motion: if dry_run { Motion::DryRun } else { Motion::Live },
            provider: reader.string("provider").unwrap_or_else(|| "cpu".to_owned()),
            provider_options: reader.family(PROVIDER_OPTIONS).into_iter().collect(),
            intra_op_threads: reader.count("intra_op_threads"),
            denoise_steps: reader.count("denoise_steps"),
            noise_seed: reader.seed("noise_seed").unwrap_or(0),
            inference_rate_hz: reader.inference_rate(),
            n_action_steps: reader.required("n_action_steps", Reader::count, 1),
            execution: reader.execution(),
            horizon: reader.span("horizon_ms").unwrap_or(HORIZON),
            max_observation_age: reader.span("max_observation_age_ms"),
            max_skew: reader.required("max_skew_ms", Reader::millis, Span::ZERO),
            assumed_latency: reader.millis("assumed_latency_ms").unwrap_or(Span::ZERO),
            use_sim_time: reader.bool("use_sim_time").unwrap_or(false),
            autostart: reader.bool("autostart").unwrap_or(true),
            interlocks: InterlockRules::read(&mut reader),
            flight_recorder: FlightRules::read(&mut reader),
            images: reader.family("images."),
            camera_infos: reader.family("camera_info."),
            topics: Topics {
                joint_states: reader.string("joint_states"),
                instruction: reader.string("instruction"),
                joint_trajectory: reader.string("joint_trajectory"),
                command: reader.string("command"),
                gripper: reader.string("gripper"),
                eef_target: reader.string("eef_target"),
                eef_twist: reader.string("eef_twist"),
                action_chunk: reader.string("action_chunk"),
            },
        };
        reader.finish().map(|()| parameters)
    }

    /// The bundle's folder, where a parameter names it.
    pub fn bundle(&self) -> Option<&Path> {
        self.bundle.as_deref()
    }

    /// The robot profile's file, where a parameter names it.
    pub fn profile(&self) -> Option<&Path> {
        self.profile.as_deref()
    }

    /// Execution provider, by its word.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Options of the execution provider, key and value, sorted by key.
    pub fn provider_options(&self) -> &[(String, String)] {
        &self.provider_options
    }

    /// Threads of one operator; `None` leaves it to ONNX Runtime.
    pub fn intra_op_threads(&self) -> Option<usize> {
        self.intra_op_threads
    }

    /// Steps of a denoising; `None` leaves it to the bundle.
    pub fn denoise_steps(&self) -> Option<usize> {
        self.denoise_steps
    }

    /// Whether `/clock` is the clock.
    pub fn use_sim_time(&self) -> bool {
        self.use_sim_time
    }

    /// The flight recorder; `None` where it is off.
    pub fn flight_recorder(&self) -> Option<&FlightRules> {
        self.flight_recorder.as_ref()
    }

    /// Whether the node configures and activates itself.
    pub fn autostart(&self) -> bool {
        self.autostart
    }
}

/// Takes parameters out of a map and remembers what is wrong with them.
pub(super) struct Reader {
    values: BTreeMap<String, ParamValue>,
    problems: Vec<String>,
}

impl Reader {
    fn wrong(&mut self, name: &str, got: &ParamValue, wanted: &str) {
        self.problems.push(format!("`{name}` is {}, wanted {wanted}", got.type_word()));
    }

    pub(super) fn problem(&mut self, problem: &str) {
        self.problems.push(problem.to_owned());
    }

    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        match self.values.remove(name)? {
            ParamValue::Bool(value) => Some(value),
            other => {
                self.wrong(name, &other, "a bool");
                None
            }
        }
    }

    pub(super) fn string(&mut self, name: &str) -> Option<String> {
        match self.values.remove(name)? {
            ParamValue::String(value) => Some(value),
            other => {
                self.wrong(name, &other, "a string");
                None
            }
        }
    }

    /// A whole number of things, at least one.
    pub(super) fn count(&mut self, name: &str) -> Option<usize> {
        match self.values.remove(name)? {
            ParamValue::Int(value) => match usize::try_from(value) {
                Ok(count) if count >= 1 => return Some(count),
                _ => self.problems.push(format!("`{name}` is {value}, wanted at least 1")),
            },
            other => self.wrong(name, &other, "an integer"),
        }
        None
    }

    /// A whole number that is not negative.
    fn seed(&mut self, name: &str) -> Option<u64> {
        match self.values.remove(name)? {
            ParamValue::Int(value) => match u64::try_from(value) {
                Ok(seed) => return Some(seed),
                Err(_) => self.problems.push(format!("`{name}` is {value}, wanted at least 0")),
            },
            other => self.wrong(name, &other, "an integer"),
        }
        None
    }

    /// A place in a list, counted from 0.
    pub(super) fn index(&mut self, name: &str) -> Option<usize> {
        self.seed(name).and_then(|index| usize::try_from(index).ok())
    }

    /// A number; whole ones may be written without a point, as people do.
    fn number(&mut self, name: &str) -> Option<f64> {
        match self.values.remove(name)? {
            ParamValue::Double(value) => Some(value),
            ParamValue::Int(value) => Some(value as f64),
            other => {
                self.wrong(name, &other, "a number");
                None
            }
        }
    }

    pub(super) fn millis(&mut self, name: &str) -> Option<Span> {
        let value = self.number(name)?;
        if value.is_finite() && value >= 0.0 {
            return Some(Span::from_millis(value));
        }
        self.problems.push(format!("`{name}` is {value}, wanted at least 0"));
        None
    }

    /// A length of time above 0, in ms.
    fn span(&mut self, name: &str) -> Option<Span> {
        self.above_zero(name).map(Span::from_millis)
    }

    pub(super) fn above_zero(&mut self, name: &str) -> Option<f64> {
        let value = self.number(name)?;
        if value.is_finite() && value > 0.0 {
            return Some(value);
        }
        self.problems.push(format!("`{name}` is {value}, wanted a number above 0"));
        None
    }

    /// A number from `min` to `max`.
    fn between(&mut self, name: &str, [min, max]: [f64; 2]) -> Option<f64> {
        let value = self.number(name)?;
        if (min..=max).contains(&value) {
            return Some(value);
        }
        let wanted = if max.is_finite() { format!("{min} to {max}") } else { format!("at least {min}") };
        self.problems.push(format!("`{name}` is {value}, wanted {wanted}"));
        None
    }

    /// How chunks follow each other, with the numbers that belong to it; those of another way are unknown.
    fn execution(&mut self) -> Execution {
        let word = self.string("execution").unwrap_or_else(|| Execution::RecedingHorizon.word().to_owned());
        match word.as_str() {
            "synchronous" => Execution::Synchronous,
            "receding_horizon" => Execution::RecedingHorizon,
            "temporal_ensemble" => {
                let at_least_0 = |reader: &mut Self, name: &str| reader.between(name, [0.0, f64::INFINITY]);
                Execution::TemporalEnsemble(TemporalEnsemble {
                    decay: self.required("ensemble_decay", at_least_0, 0.0),
                })
            }
            "asynchronous" => {
                let share = |reader: &mut Self, name: &str| reader.between(name, [0.0, 1.0]);
                let threshold = self.required("queue_threshold", share, 0.0);
                let aggregate = self.required("aggregate", Self::aggregate, Aggregate::LatestOnly);
                Execution::Asynchronous(Asynchronous { threshold, aggregate })
            }
            _ => {
                self.problems.push(format!(
                    "`execution` is `{word}`, wanted synchronous, receding_horizon, temporal_ensemble or asynchronous"
                ));
                Execution::RecedingHorizon
            }
        }
    }

    fn aggregate(&mut self, name: &str) -> Option<Aggregate> {
        let word = self.string(name)?;
        let known = Aggregate::WORDS.into_iter().find(|(known, _)| *known == word);
        if known.is_none() {
            let words = Aggregate::WORDS.map(|(known, _)| known).join(", ");
            self.problems.push(format!("`{name}` is `{word}`, wanted one of {words}"));
        }
        known.map(|(_, aggregate)| aggregate)
    }

    fn inference_rate(&mut self) -> f64 {
        let name = "inference_rate_hz";
        let value = self.required(name, Self::number, 1.0);
        if !(value.is_finite() && value > 0.0) {
            self.problems.push(format!("`{name}` is {value}, wanted a number above 0"));
        }
        value
    }

    /// Reads with `read`; `stand_in` only fills the place of a value whose absence or fault is already a problem.
    fn required<T>(&mut self, name: &str, read: impl Fn(&mut Self, &str) -> Option<T>, stand_in: T) -> T {
        if !self.values.contains_key(name) {
            self.problems.push(format!("`{name}` is missing"));
        }
        read(self, name).unwrap_or(stand_in)
    }

    /// All parameters below `prefix`, as text.
    fn family(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let members = self.values.extract_if(.., |name, _| name.starts_with(prefix)).collect::<Vec<_>>();
        let mut family = BTreeMap::new();
        for (name, value) in members {
            let text = match value {
                ParamValue::String(value) => value,
                ParamValue::Bool(value) if prefix == PROVIDER_OPTIONS => value.to_string(),
                ParamValue::Int(value) if prefix == PROVIDER_OPTIONS => value.to_string(),
                ParamValue::Double(value) if prefix == PROVIDER_OPTIONS => value.to_string(),
                other => {
                    self.wrong(&name, &other, "a string");
                    continue;
                }
            };
            family.extend(name.strip_prefix(prefix).map(|key| (key.to_owned(), text)));
        }
        family
    }

    fn finish(mut self) -> Result<(), ParameterError> {
        self.values.retain(|name, _| !name.starts_with("qos_overrides."));
        self.problems.extend(self.values.keys().map(|name| format!("`{name}` is not a parameter of this node")));
        if self.problems.is_empty() { Ok(()) } else { Err(ParameterError(self.problems)) }
    }
}

/// Long enough for a tick that comes late, short enough for an arm that nobody controls any more.
const HORIZON: Span = Span::from_nanos(300_000_000);

const PROVIDER_OPTIONS: &str = "provider_options.";

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, ParamValue)]) -> BTreeMap<String, ParamValue> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    const REQUIRED: [(&str, ParamValue); 3] = [
        ("inference_rate_hz", ParamValue::Int(4)),
        ("n_action_steps", ParamValue::Int(8)),
        ("max_skew_ms", ParamValue::Double(12.5)),
    ];

    #[test]
    fn nothing_moves_unless_it_is_asked_for() {
        let parameters = RunParameters::parse(&values(&REQUIRED)).unwrap();
        assert_eq!(parameters.motion, Motion::DryRun);
        assert_eq!((parameters.inference_rate_hz, parameters.n_action_steps), (4.0, 8));
        assert_eq!(parameters.max_skew, Span::from_nanos(12_500_000));
        assert_eq!((parameters.assumed_latency, parameters.provider()), (Span::ZERO, "cpu"));
    }

    #[test]
    fn options_topics_and_the_names_of_ros_itself_are_taken() {
        let mut all = values(&REQUIRED);
        all.extend(values(&[
            ("dry_run", ParamValue::Bool(false)),
            ("provider", ParamValue::String("cuda".to_owned())),
            ("provider_options.device_id", ParamValue::Int(1)),
            ("images.front", ParamValue::String("/cam".to_owned())),
            ("use_sim_time", ParamValue::Bool(true)),
            ("qos_overrides./cam.subscription.depth", ParamValue::Int(5)),
        ]));
        let parameters = RunParameters::parse(&all).unwrap();
        assert_eq!(parameters.motion, Motion::Live);
        assert_eq!(parameters.provider_options(), [("device_id".to_owned(), "1".to_owned())]);
        assert_eq!(parameters.images, BTreeMap::from([("front".to_owned(), "/cam".to_owned())]));
        assert!(parameters.use_sim_time());
    }

    #[test]
    fn everything_wrong_is_listed_at_once() {
        let wrong = values(&[
            ("dry_run", ParamValue::String("false".to_owned())),
            ("n_action_steps", ParamValue::Int(0)),
            ("max_skew_ms", ParamValue::Double(f64::NAN)),
            ("images.front", ParamValue::Int(3)),
            ("intra_op_threads", ParamValue::Double(2.0)),
            ("denoise_steps", ParamValue::Int(0)),
            ("noise_seed", ParamValue::Int(-4)),
            ("n_actions_steps", ParamValue::Int(8)),
        ]);
        assert_eq!(
            RunParameters::parse(&wrong).unwrap_err().to_string(),
            "parameters: `dry_run` is a string, wanted a bool; `intra_op_threads` is a number, wanted an integer; \
             `denoise_steps` is 0, wanted at least 1; `noise_seed` is -4, wanted at least 0; `inference_rate_hz` is missing; `n_action_steps` is 0, wanted at least 1; `max_skew_ms` is NaN, wanted at \
             least 0; `images.front` is an integer, wanted a string; `n_actions_steps` is not a parameter of this node"
        );
    }

    #[test]
    fn a_flight_recorder_needs_a_folder_and_nothing_else() {
        let recorder = |more: &[(&str, ParamValue)]| {
            RunParameters::parse(&values(&[&REQUIRED, more].concat())).unwrap().flight_recorder().cloned()
        };
        let folder = |path: &str| ("flight_recorder", ParamValue::String(path.to_owned()));
        assert_eq!(recorder(&[("flight_recorder_s", ParamValue::Int(5))]), None);
        assert_eq!(recorder(&[folder("")]), None);
        let wanted =
            |secs, bytes| Some(FlightRules { folder: "/flights".into(), length: Span::from_secs(secs), bytes });
        assert_eq!(recorder(&[folder("/flights")]), wanted(20.0, 256 << 20));
        let more = [("flight_recorder_s", ParamValue::Double(7.5)), ("flight_recorder_mib", ParamValue::Int(3))];
        assert_eq!(recorder(&[&[folder("/flights")][..], &more].concat()), wanted(7.5, 3 << 20));
        let wrong = [("flight_recorder_s", ParamValue::Int(0)), ("flight_recorder_mib", ParamValue::Int(0))];
        assert_eq!(
            RunParameters::parse(&values(&[&REQUIRED, &wrong[..]].concat())).unwrap_err().to_string(),
            "parameters: `flight_recorder_s` is 0, wanted a number above 0; `flight_recorder_mib` is 0, wanted at least 1"
        );
    }

    #[test]
    fn a_rate_that_is_not_above_zero_is_refused() {
        for rate in [0.0, -3.0, f64::INFINITY] {
            let mut all = values(&REQUIRED);
            all.insert("inference_rate_hz".to_owned(), ParamValue::Double(rate));
            let want = format!("parameters: `inference_rate_hz` is {rate}, wanted a number above 0");
            assert_eq!(RunParameters::parse(&all).unwrap_err().to_string(), want);
        }
    }
}
