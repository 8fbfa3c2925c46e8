//! Whether who asks can hear the answer.

use std::time::Duration;

use ros2_client::Gid;
use ros2_client::dds::ServiceMapping;
use ros2_client::dds::rustdds::DomainParticipant;
use smol::Timer;

/// After so many looks for its reader an answer is sent regardless: 0.1 s, as long as `rmw_fastrtps` waits.
const LOOKS: usize = 11;
/// From one look to the next; more than it takes to match a reader that has just become known.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Leading bytes of an endpoint's GUID that name its program.
const PROGRAM_BYTES: usize = 12;
/// Of these, the bytes that a request in Cyclone's mapping leaves as they are.
const CYCLONE_PROGRAM_BYTES: usize = 8;

/// The readers of one service's answers.
pub(super) struct Callers {
    participant: DomainParticipant,
    /// DDS topic of the answers.
    topic: String,
    program_bytes: usize,
}

impl Callers {
    /// Of the service `service`, by its absolute name.
    pub fn of(participant: DomainParticipant, mapping: ServiceMapping, service: &str) -> Self {
        let program_bytes = match mapping {
            ServiceMapping::Cyclone => CYCLONE_PROGRAM_BYTES,
            ServiceMapping::Basic | ServiceMapping::Enhanced => PROGRAM_BYTES,
        };
        Self { participant, topic: format!("rr{service}Reply"), program_bytes }
    }

    /// Waits until the program of `caller` has had a reader for the answer for a moment, but not for ever.
    ///
    /// Its two endpoints become known to us in any order, so a request can come before the reader of its answer, and
    /// an answer without a reader is lost: services keep nothing for who comes late. `rmw_fastrtps` and
    /// `rmw_cyclonedds` wait likewise.
    pub async fn ready(&self, caller: Gid) {
        let mut known = false;
        for _ in 0..LOOKS {
            let before = std::mem::replace(&mut known, self.knows(caller));
            if before && known {
                return;
            }
            Timer::after(LOOK_EVERY).await;
        }
    }

    fn knows(&self, caller: Gid) -> bool {
        let program = |gid: Gid| gid.as_bytes()[..self.program_bytes].to_vec();
        self.participant.discovered_readers().iter().any(|reader| {
            *reader.subscription_topic_data.topic_name() == self.topic
                && program(reader.reader_proxy.remote_reader_guid.into()) == program(caller)
        })
    }
}
