//! The parameter services over real DDS, in both ways that ROS 2 middlewares speak services.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "ros2/peer.rs"]
mod peer;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use peer::{PATIENCE, Robot, domain};
use ros2_client::dds::rustdds::{DomainParticipantBuilder, Topic, TopicKind};
use ros2_client::dds::{Client, Context, Node, ServiceMapping};
use ros2_client::parameters::raw::{self, ParameterType};
use ros2_client::rcl_interfaces as srv;
use ros2_client::{Message, Name, NodeName, NodeOptions, Parameter, ParameterValue, QosProfile, ServiceTypeName};
use serde_json::json;
use vla_runtime::deploy::{ParamValue, declare};
use vla_runtime::drive::clock::Clock;
use vla_runtime::drive::parameters::{Change, Parameters};
use vla_runtime::drive::ros::{Dds, DdsSession, DdsSettings, Network, Services, Transport as _};

/// A node of this name that runs live with a rate of 2.5.
fn node(name: &str, services: Services) -> (DdsSession, Receiver<Change>) {
    let settings = DdsSettings { domain: domain(), network: Network::Localhost, services };
    let mut node = Dds::join(settings, "/arm", name).unwrap();
    let given = [
        ("dry_run", ParamValue::Bool(false)),
        ("inference_rate_hz", ParamValue::Double(2.5)),
        ("provider_options.device_id", ParamValue::Int(3)),
    ];
    let given: BTreeMap<String, ParamValue> = given.map(|(name, value)| (name.to_owned(), value)).into();
    let (sender, changes) = channel();
    let apply = Box::new(move |change| drop(sender.send(change)));
    node.serve_parameters(Parameters::new(declare(&given, ["front"]), Clock::system(), apply)).unwrap();
    (node.start().unwrap(), changes)
}

#[test]
fn a_cyclone_program_reads_and_sets_parameters_and_hears_of_changes() {
    let (_session, changes) = node("cyclone", Services::Cyclone);
    let value = |kind, key: &str, value: serde_json::Value| json!({"type": kind, key: value});
    let wanted = [
        json!({"name": "task", "value": value(4, "string_value", "wipe".into())}),
        json!({"name": "dry_run", "value": value(1, "bool_value", true.into())}),
        json!({"name": "n_action_steps", "value": value(2, "integer_value", 3.into())}),
    ];
    let robot = Robot::start(&json!({
        "hear": [
            {"topic": "rr/arm/cyclone/get_parametersReply", "type": "GetParametersResponse"},
            {"topic": "rr/arm/cyclone/set_parametersReply", "type": "SetParametersResponse"},
            {"topic": "/parameter_events", "type": "ParameterEvent"},
        ],
        "send": [
            {"topic": "rq/arm/cyclone/get_parametersRequest", "type": "GetParametersRequest", "rate_hz": 5,
                "message": {"guid": 1_u64 << 40, "seq": 7, "names": ["inference_rate_hz", "nobody", "provider"]}},
            {"topic": "rq/arm/cyclone/set_parametersRequest", "type": "SetParametersRequest", "rate_hz": 5,
                "message": {"guid": 3_u64 << 41, "seq": 9, "parameters": {"sequence": "Parameter", "values": wanted}}},
        ],
    }));
    let got = robot.hear("rr/arm/cyclone/get_parametersReply", |_| true);
    assert_eq!((&got["guid"], &got["seq"]), (&json!(1_u64 << 40), &json!(7)));
    assert_eq!((&got["values"][0]["type"], &got["values"][0]["double_value"]), (&json!(3), &json!(2.5)));
    assert_eq!((&got["values"][1]["type"], &got["values"][2]["string_value"]), (&json!(0), &json!("cpu")));
    let set = robot.hear("rr/arm/cyclone/set_parametersReply", |_| true);
    assert_eq!((&set["guid"], &set["seq"]), (&json!(3_u64 << 41), &json!(9)));
    let read_once = "`n_action_steps` is read when the node starts; start it again with the new value";
    let results = [(true, ""), (true, ""), (false, read_once)];
    assert_eq!(
        set["results"],
        json!(results.map(|(successful, reason)| json!({"successful": successful, "reason": reason})))
    );
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Change::Task("wipe".to_owned()));
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Change::DryRun);
    let event = robot.hear("/parameter_events", |event| event["node"] == "/arm/cyclone");
    let changed = &event["changed_parameters"][0];
    assert!(["task", "dry_run"].contains(&changed["name"].as_str().unwrap()), "{event}");
    assert_ne!(event["stamp"]["sec"], 0);
}

/// A client that waits in vain for this long asks again: what the network or a busy machine lost does not come back.
const ATTEMPT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 10;

/// Another program on ros2-client, which speaks to Fast DDS.
struct Caller {
    context: Context,
    node: Node,
}

impl Caller {
    fn join() -> Self {
        let participant = DomainParticipantBuilder::new(domain()).with_only_networks([Ipv4Addr::LOCALHOST]);
        let context = Context::from_domain_participant(participant.build().unwrap()).unwrap();
        let options = NodeOptions::new().start_parameter_services(false);
        let mut node = context.new_node(NodeName::new("/", "caller").unwrap(), options).unwrap();
        let spinner = node.spinner().unwrap();
        std::thread::spawn(move || smol::block_on(spinner.spin()));
        Self { context, node }
    }

    /// Asks until there is an answer, each time as a new client.
    fn call<Q: Message + Clone + 'static, A: Message + 'static>(&mut self, name: &str, kind: &str, request: &Q) -> A {
        (0..ATTEMPTS).find_map(|_| self.call_once(name, kind, request.clone())).expect("an answer in time")
    }

    fn call_once<Q, A>(&mut self, name: &str, kind: &str, request: Q) -> Option<A>
    where
        Q: Message + Clone + 'static,
        A: Message + 'static,
    {
        let qos = QosProfile::publisher_default;
        let name = Name::new("/arm/enhanced", name).unwrap();
        let kind = ServiceTypeName::new("rcl_interfaces", kind);
        let client: Client<Q, A> =
            self.node.create_client(ServiceMapping::Enhanced, &name, &kind, qos(), qos()).unwrap();
        let answer = async {
            client.wait_for_service(&self.node).await;
            Some(client.async_call_service(request).await.unwrap())
        };
        smol::block_on(smol::future::or(answer, nothing_after(ATTEMPT)))
    }

    fn topic(&self, name: &str, kind: &str) -> Topic {
        let (participant, qos) = (self.context.domain_participant(), QosProfile::publisher_default());
        let kind = format!("rcl_interfaces::srv::dds_::{kind}_");
        participant.create_topic(name.to_owned(), kind, &(&qos).into(), TopicKind::NoKey).unwrap()
    }

    /// Asks the node `patient` for a parameter, and only then begins to listen for the answer.
    fn ask_then_listen(&mut self) -> Option<srv::GetParametersResponse> {
        let questions = self.topic("rq/arm/patient/get_parametersRequest", "GetParameters_Request");
        let answers = self.topic("rr/arm/patient/get_parametersReply", "GetParameters_Response");
        let asker = self.node.create_publisher(&questions, None).unwrap();
        let node = &self.node;
        smol::block_on(async {
            smol::future::or(asker.wait_for_subscription(node), async {
                smol::Timer::after(ATTEMPT).await;
            })
            .await;
            // Until the node knows us too.
            smol::Timer::after(Duration::from_millis(500)).await;
            asker.publish(srv::GetParametersRequest { names: vec!["inference_rate_hz".to_owned()] }).unwrap();
            smol::Timer::after(Duration::from_millis(20)).await;
        });
        let listener = self.node.create_subscription::<srv::GetParametersResponse>(&answers, None).unwrap();
        let answer = async { Some(listener.async_take().await.unwrap().0) };
        smol::block_on(smol::future::or(answer, nothing_after(ATTEMPT)))
    }
}

async fn nothing_after<T>(time: Duration) -> Option<T> {
    smol::Timer::after(time).await;
    None
}

#[test]
fn an_answer_waits_until_who_asked_can_hear_it() {
    let (_session, _changes) = node("patient", Services::Enhanced);
    // Under load, listening may take longer to begin than an answer waits.
    let answer = (0..ATTEMPTS).find_map(|_| Caller::join().ask_then_listen()).expect("an answer");
    assert!(matches!(ParameterValue::from(answer.values[0].clone()), ParameterValue::Double(rate) if rate == 2.5));
}

#[test]
fn a_fast_dds_program_lists_describes_and_sets_parameters() {
    let (_session, changes) = node("enhanced", Services::Enhanced);
    let mut caller = Caller::join();
    let list: srv::ListParametersResponse = caller.call(
        "list_parameters",
        "ListParameters",
        &srv::ListParametersRequest { prefixes: vec!["images".to_owned(), "task".to_owned()], depth: 0 },
    );
    assert_eq!(list.result.names, ["images.front", "task"]);
    let names = ["inference_rate_hz", "n_action_steps", "task", "provider_options.device_id"];
    let names = names.map(str::to_owned).to_vec();
    let types: srv::GetParameterTypesResponse = caller.call(
        "get_parameter_types",
        "GetParameterTypes",
        &srv::GetParameterTypesRequest { names: names.clone() },
    );
    assert_eq!(
        types.values,
        [ParameterType::DOUBLE, ParameterType::NOT_SET, ParameterType::NOT_SET, ParameterType::INTEGER]
    );
    let described: srv::DescribeParametersResponse =
        caller.call("describe_parameters", "DescribeParameters", &srv::DescribeParametersRequest { names });
    let [rate, steps, task, foreign] = &described.values[..] else { panic!("{described:?}") };
    assert_eq!(
        (rate.r#type, rate.read_only, rate.floating_point_range[0].from_value),
        (ParameterType::DOUBLE, true, 0.0)
    );
    assert_eq!((steps.r#type, steps.read_only, steps.integer_range[0].from_value), (ParameterType::INTEGER, true, 1));
    assert_eq!((task.r#type, task.read_only), (ParameterType::STRING, false));
    assert_eq!((foreign.r#type, foreign.read_only), (ParameterType::INTEGER, true));
    assert_eq!(rate.description, "most inferences per second, above 0");
    let parameter = |name: &str, value| raw::Parameter::from(Parameter { name: name.to_owned(), value });
    let both = vec![
        parameter("task", ParameterValue::String("wipe".to_owned())),
        parameter("provider", ParameterValue::String("cuda".to_owned())),
    ];
    let refused: srv::SetParametersAtomicallyResponse = caller.call(
        "set_parameters_atomically",
        "SetParametersAtomically",
        &srv::SetParametersRequest { parameter: both },
    );
    assert_eq!(refused.result.reason, "`provider` is read when the node starts; start it again with the new value");
    assert!(!refused.result.successful && changes.try_recv().is_err(), "all or nothing");
    let off = vec![parameter("task", ParameterValue::NotSet), parameter("dry_run", ParameterValue::Boolean(true))];
    let done: srv::SetParametersResponse =
        caller.call("set_parameters", "SetParameters", &srv::SetParametersRequest { parameter: off });
    assert_eq!(done.results[0].reason, "`task` cannot be removed");
    assert!(!done.results[0].successful && done.results[1].successful);
    assert_eq!(changes.recv_timeout(PATIENCE).unwrap(), Change::DryRun);
}
