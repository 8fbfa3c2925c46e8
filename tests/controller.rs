//! A running controller is asked what it is, over real DDS.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::Ipv4Addr;

use ros2_client::dds::rustdds::DomainParticipantBuilder;
use ros2_client::dds::{Context, Node, Server, ServiceMapping};
use ros2_client::parameters::raw;
use ros2_client::rcl_interfaces::{GetParametersRequest, GetParametersResponse};
use ros2_client::{Message, Name, NodeName, NodeOptions, ParameterValue, QosProfile, ServiceTypeName};
use serde::{Deserialize, Serialize};
use smol::future::zip;
use smol::stream::StreamExt as _;
use vla_runtime::controller::Reported;
use vla_runtime::drive::ros::{Dds, DdsSettings, Network, Services};
use vla_runtime::time::Span;

fn domain() -> u16 {
    101 + u16::try_from(std::process::id() % 100).unwrap()
}

#[derive(Clone, Serialize, Deserialize)]
struct Empty {
    structure_needs_at_least_one_member: u8,
}
impl Message for Empty {}

/// `lifecycle_msgs/State`.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    id: u8,
    label: String,
}
impl Message for State {}

/// A controller manager and its one controller, as far as somebody asks.
fn robot(mapping: ServiceMapping, state: &'static str) -> (Context, Node) {
    let participant = DomainParticipantBuilder::new(domain()).with_only_networks([Ipv4Addr::LOCALHOST]);
    let context = Context::from_domain_participant(participant.build().unwrap()).unwrap();
    let options = NodeOptions::new().start_parameter_services(false);
    let mut node = context.new_node(NodeName::new("/arm", "controller_manager").unwrap(), options).unwrap();
    let get_parameters = ServiceTypeName::new("rcl_interfaces", "GetParameters");
    let get_state = ServiceTypeName::new("lifecycle_msgs", "GetState");
    let states: Server<Empty, State> = server(&mut node, mapping, ("/arm/trajectory", "get_state"), &get_state);
    let own: Server<GetParametersRequest, GetParametersResponse> =
        server(&mut node, mapping, ("/arm/trajectory", "get_parameters"), &get_parameters);
    let manager: Server<GetParametersRequest, GetParametersResponse> =
        server(&mut node, mapping, ("/arm/controller_manager", "get_parameters"), &get_parameters);
    std::thread::spawn(move || {
        let values = |request: GetParametersRequest, all: &[(&str, ParameterValue)]| GetParametersResponse {
            values: request.names.iter().filter_map(|name| value(all, name)).collect(),
        };
        let list = |words: &[&str]| ParameterValue::StringArray(words.iter().map(|word| (*word).to_owned()).collect());
        let controller = [
            ("joints", list(&["elbow", "shoulder"])),
            ("command_interfaces", list(&["position"])),
            ("interpolation_method", ParameterValue::String("splines".to_owned())),
            ("allow_nonzero_velocity_at_trajectory_end", ParameterValue::Boolean(true)),
            ("open_loop_control", ParameterValue::Boolean(false)),
            ("update_rate", ParameterValue::Integer(0)),
        ];
        let rate = [("update_rate", ParameterValue::Integer(250))];
        smol::block_on(zip(
            answer(&states, |_| State { id: 3, label: state.to_owned() }),
            zip(
                answer(&own, |request| values(request, &controller)),
                answer(&manager, |request| values(request, &rate)),
            ),
        ));
    });
    (context, node)
}

/// Nothing for what is not declared, as a node answers that is strict about it.
fn value(all: &[(&str, ParameterValue)], name: &str) -> Option<raw::ParameterValue> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone().into())
}

fn server<Q: Message + Clone + 'static, A: Message + 'static>(
    node: &mut Node,
    mapping: ServiceMapping,
    (namespace, name): (&str, &str),
    kind: &ServiceTypeName,
) -> Server<Q, A> {
    let qos = QosProfile::publisher_default;
    node.create_server(mapping, &Name::new(namespace, name).unwrap(), kind, qos(), qos()).unwrap()
}

async fn answer<Q: Message + 'static, A: Message + 'static>(server: &Server<Q, A>, reply: impl Fn(Q) -> A) {
    let mut requests = server.receive_request_stream();
    while let Some(request) = requests.next().await {
        let (id, request) = request.unwrap();
        server.async_send_response(id, reply(request)).await.unwrap();
    }
}

fn asker(services: Services, name: &str) -> Dds {
    Dds::join(DdsSettings { domain: domain(), network: Network::Localhost, services }, "/", name).unwrap()
}

const PATIENCE: Span = Span::from_nanos(20_000_000_000);

#[test]
fn a_controller_tells_its_state_its_parameters_and_its_managers_rate() {
    for (services, mapping) in
        [(Services::Enhanced, ServiceMapping::Enhanced), (Services::Cyclone, ServiceMapping::Cyclone)]
    {
        let _robot = robot(mapping, "active");
        let mut asker = asker(services, "asker");
        let reported = asker.ask_controller("/arm/trajectory", Some("/arm/controller_manager"), PATIENCE).unwrap();
        let wanted = Reported {
            state: "active".into(),
            joints: vec!["elbow".into(), "shoulder".into()],
            command_interfaces: vec!["position".into()],
            interpolation_method: Some("splines".into()),
            open_loop_control: Some(false),
            allow_nonzero_velocity_at_trajectory_end: Some(true),
            update_rate: Some(250),
            ..Reported::default()
        };
        assert_eq!(reported, wanted);
    }
}

#[test]
fn a_controller_that_is_not_there_does_not_answer_in_time() {
    let mut asker = asker(Services::Enhanced, "lonely");
    let error = asker.ask_controller("/nobody", None, Span::from_millis(300.0)).unwrap_err();
    assert_eq!(error.to_string(), "service `/nobody/get_state` did not answer within 300.000 ms");
}
