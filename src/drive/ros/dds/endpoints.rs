//! Who else speaks on our topics and cannot be understood: DDS keeps quiet about it, and nothing arrives.

use std::collections::BTreeMap;

use ros2_client::dds::rustdds::{DomainParticipant, Topic, TopicDescription as _};
use ros2_client::ros2::QosPolicies;

use crate::drive::ros::Mismatch;

/// Our endpoints by their DDS topic, as they were made.
#[derive(Default)]
pub(super) struct Endpoints {
    readers: BTreeMap<String, Vec<Endpoint>>,
    writers: BTreeMap<String, Vec<Endpoint>>,
}

/// What an endpoint promises or wants.
struct Endpoint {
    dds_type: String,
    qos: QosPolicies,
}

impl Endpoint {
    fn on(topic: &Topic, qos: &QosPolicies) -> Self {
        Self { dds_type: topic.get_type().name().to_owned(), qos: qos.clone() }
    }
}

impl Endpoints {
    pub fn add_reader(&mut self, topic: &Topic, qos: &QosPolicies) {
        self.readers.entry(topic.name()).or_default().push(Endpoint::on(topic, qos));
    }

    pub fn add_writer(&mut self, topic: &Topic, qos: &QosPolicies) {
        self.writers.entry(topic.name()).or_default().push(Endpoint::on(topic, qos));
    }

    /// The others that are known now and fit none of our endpoints on their topic, sorted, each said once.
    pub fn mismatches(&self, participant: &DomainParticipant) -> Vec<Mismatch> {
        let mut found = Vec::new();
        for writer in participant.discovered_writers() {
            let theirs = &writer.publication_topic_data;
            let (theirs, topic) =
                (Endpoint { dds_type: theirs.type_name.clone(), qos: theirs.qos() }, &theirs.topic_name);
            let fits = |ours: &Endpoint| fit(ours, &theirs, (&theirs, ours));
            found.extend(unfit(&self.readers, topic, "a publisher", fits));
        }
        for reader in participant.discovered_readers() {
            let theirs = &reader.subscription_topic_data;
            let (theirs, topic) =
                (Endpoint { dds_type: theirs.type_name().clone(), qos: theirs.qos() }, theirs.topic_name());
            let fits = |ours: &Endpoint| fit(ours, &theirs, (ours, &theirs));
            found.extend(unfit(&self.writers, topic, "a subscriber", fits));
        }
        found.sort();
        found.dedup();
        found
    }
}

/// What keeps `who` on `dds_topic` from all of ours, in the words for the first of ours; `None` where it fits one.
fn unfit(
    ours: &BTreeMap<String, Vec<Endpoint>>,
    dds_topic: &str,
    who: &str,
    fits: impl Fn(&Endpoint) -> Result<(), String>,
) -> Option<Mismatch> {
    let faults: Result<Vec<String>, ()> = ours.get(dds_topic)?.iter().map(|ours| fits(ours).err().ok_or(())).collect();
    let fault = faults.ok()?.into_iter().next()?;
    let topic = dds_topic.strip_prefix("rt").unwrap_or(dds_topic).to_owned();
    Some(Mismatch { topic, reason: format!("{who} {fault}") })
}

/// Whether both are of one type and the writer offers what the reader requests.
fn fit(ours: &Endpoint, theirs: &Endpoint, (writer, reader): (&Endpoint, &Endpoint)) -> Result<(), String> {
    if ours.dds_type != theirs.dds_type {
        return Err(format!("of type {}, wanted {}", ros_type(&theirs.dds_type), ros_type(&ours.dds_type)));
    }
    match writer.qos.compliance_failure_wrt(&reader.qos) {
        None => Ok(()),
        Some(policy) => Err(format!("whose {} does not fit ours", format!("{policy:?}").to_lowercase())),
    }
}

/// `sensor_msgs::msg::dds_::Image_` is `sensor_msgs/msg/Image`; other names stay as they are.
fn ros_type(dds_type: &str) -> String {
    let plain = dds_type.replace("dds_::", "").replace("::", "/");
    plain.strip_suffix('_').map_or(plain.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use ros2_client::ros2::{QosPolicyBuilder, policy};

    use super::*;

    const IMAGE: &str = "sensor_msgs::msg::dds_::Image_";

    fn endpoint(dds_type: &str, durability: policy::Durability) -> Endpoint {
        let qos = QosPolicyBuilder::new().best_effort().durability(durability).build();
        Endpoint { dds_type: dds_type.to_owned(), qos }
    }

    fn publisher(ours: Vec<Endpoint>, theirs: &Endpoint) -> Option<String> {
        let ours = BTreeMap::from([("rt/eye".to_owned(), ours)]);
        let found = unfit(&ours, "rt/eye", "a publisher", |ours| fit(ours, theirs, (theirs, ours)));
        found.map(|mismatch| mismatch.to_string())
    }

    #[test]
    fn another_type_and_a_weaker_promise_are_mismatches() {
        let ours = || vec![endpoint(IMAGE, policy::Durability::TransientLocal)];
        let other_type = endpoint("std_msgs::msg::dds_::String_", policy::Durability::TransientLocal);
        let want = "`/eye`: a publisher of type std_msgs/msg/String, wanted sensor_msgs/msg/Image";
        assert_eq!(publisher(ours(), &other_type).as_deref(), Some(want));
        let forgets = endpoint(IMAGE, policy::Durability::Volatile);
        let want = "`/eye`: a publisher whose durability does not fit ours";
        assert_eq!(publisher(ours(), &forgets).as_deref(), Some(want));
        assert_eq!(publisher(ours(), &ours()[0]), None);
    }

    #[test]
    fn who_fits_one_of_our_endpoints_fits() {
        let ours =
            vec![endpoint(IMAGE, policy::Durability::TransientLocal), endpoint(IMAGE, policy::Durability::Volatile)];
        assert_eq!(publisher(ours, &endpoint(IMAGE, policy::Durability::Volatile)), None);
    }
}
