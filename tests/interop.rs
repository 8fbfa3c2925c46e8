//! A network on which programs come and go.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "ros2/peer.rs"]
mod peer;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use peer::{PATIENCE, Robot, domain};
use serde_json::json;
use vla_runtime::drive::ros::{Dds, DdsSession, DdsSettings, Network, Services, Transport as _};
use vla_runtime::msg::StringMessage;
use vla_runtime::types::JointSample;

/// So often the publisher is killed.
const RESTARTS: u8 = 12;

fn join(name: &str) -> Dds {
    let settings = DdsSettings { domain: domain(), network: Network::Localhost, services: Services::Enhanced };
    Dds::join(settings, "/", name).unwrap()
}

/// A node that hears joint states on `topic`.
fn listener(name: &str, topic: &str) -> (DdsSession, Receiver<JointSample>) {
    let (sender, heard) = channel();
    let mut node = join(name);
    node.subscribe_joints(topic, Box::new(move |state| drop(sender.send(state.unwrap().value)))).unwrap();
    (node.start().unwrap(), heard)
}

/// A robot whose joint says `position`.
fn robot(topic: &str, position: f64) -> Robot {
    let joints = json!({"header": {}, "name": ["j"], "position": [position]});
    Robot::start(&json!({"hear": [], "send": [
        {"topic": topic, "type": "JointState", "rate_hz": 50, "message": joints},
    ]}))
}

fn hear(heard: &Receiver<JointSample>, position: f64) {
    while heard.recv_timeout(PATIENCE).unwrap().positions != [position] {}
}

#[test]
fn a_publisher_that_is_killed_and_comes_back_is_heard_every_time() {
    let (_session, heard) = listener("survivor", "/restarted");
    for round in 0..=RESTARTS {
        let position = f64::from(round);
        let robot = robot("/restarted", position);
        hear(&heard, position);
        robot.kill();
    }
}

#[test]
fn who_comes_late_is_heard_and_hears() {
    let early = robot("/late", 1.5);
    let (_session, heard) = listener("latecomer", "/late");
    hear(&heard, 1.5);
    let later = robot("/late", 2.5);
    hear(&heard, 2.5);
    drop((early, later));

    let mut node = join("speaker");
    let publisher = node.publisher::<StringMessage>("/said").unwrap();
    let _speaker = node.start().unwrap();
    let late = Robot::start(&json!({"send": [], "hear": [{"topic": "/said", "type": "String"}]}));
    let (stop, stopped) = channel::<()>();
    let sender = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
            publisher.publish(StringMessage { data: "here".to_owned() }).unwrap();
        }
    });
    assert_eq!(late.hear("/said", |_| true)["data"], "here");
    drop(stop);
    sender.join().unwrap();
}

#[test]
fn two_nodes_in_one_domain_hear_their_own_topics_and_stand_in_the_graph_side_by_side() {
    let graph = Robot::start(
        &json!({"send": [], "hear": [{"topic": "ros_discovery_info", "type": "ParticipantEntitiesInfo"}]}),
    );
    let (_left, left) = listener("left", "/left/joint_states");
    let (_right, right) = listener("right", "/right/joint_states");
    let (_one, _other) = (robot("/left/joint_states", 3.5), robot("/right/joint_states", 4.5));
    for (heard, position) in [(&left, 3.5), (&right, 4.5)] {
        for _ in 0..20 {
            assert_eq!(heard.recv_timeout(PATIENCE).unwrap().positions, [position]);
        }
    }
    let seen = RefCell::new(BTreeSet::new());
    graph.hear("ros_discovery_info", |info| {
        let nodes = info["node_entities_info_seq"].as_array().unwrap().iter();
        seen.borrow_mut().extend(nodes.map(|node| node["node_name"].as_str().unwrap().to_owned()));
        ["left", "right"].iter().all(|name| seen.borrow().contains(*name))
    });
}
