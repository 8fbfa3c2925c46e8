//! The environment variables that every ROS 2 program obeys.

use std::fs;

/// How to reach other ROS 2 programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DdsSettings {
    /// Programs of other domains are invisible.
    pub domain: u16,
    /// How far to look.
    pub network: Network,
    /// How requests and replies are matched.
    pub services: Services,
}

/// Which way of services the other programs speak; topics are the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// The identity of a request stands beside the message: Fast DDS, Connext.
    Enhanced,
    /// It stands in front of the message: CycloneDDS.
    Cyclone,
}

/// How far to look for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// This machine and its subnets.
    Subnet,
    /// This machine only.
    Localhost,
}

/// An environment variable that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a domain.
    #[error("ROS_DOMAIN_ID is `{0}`, it must be a whole number from 0 to 232")]
    Domain(String),
    /// Not a range, or none that we can do.
    #[error("ROS_AUTOMATIC_DISCOVERY_RANGE is `{0}`, supported are SUBNET, LOCALHOST and SYSTEM_DEFAULT")]
    Range(String),
}

/// Ports of higher domains do not exist (DDSI-RTPS 2.5, section 9.6.2.3).
const LAST_DOMAIN: u16 = 232;

impl DdsSettings {
    /// Reads ROS_DOMAIN_ID, ROS_LOCALHOST_ONLY, ROS_AUTOMATIC_DISCOVERY_RANGE and RMW_IMPLEMENTATION through `variable`.
    /// The older ROS_LOCALHOST_ONLY wins where it is set, as in ROS 2.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let domain = match set("ROS_DOMAIN_ID") {
            None => 0,
            Some(text) => match text.parse() {
                Ok(domain) if domain <= LAST_DOMAIN => domain,
                Ok(_) | Err(_) => return Err(SettingsError::Domain(text)),
            },
        };
        let network = match (set("ROS_LOCALHOST_ONLY").as_deref(), set("ROS_AUTOMATIC_DISCOVERY_RANGE").as_deref()) {
            (Some("1"), _) | (None, Some("LOCALHOST")) => Network::Localhost,
            (Some(_), _) | (None, None | Some("SUBNET" | "SYSTEM_DEFAULT")) => Network::Subnet,
            (None, Some(other)) => return Err(SettingsError::Range(other.to_owned())),
        };
        // We are no implementation of rmw: its name only says whom our services shall understand.
        let services = match set("RMW_IMPLEMENTATION").as_deref() {
            Some("rmw_cyclonedds_cpp") => Services::Cyclone,
            Some(_) | None => Services::Enhanced,
        };
        Ok(Self { domain, network, services })
    }
}

/// The most bytes that the kernel queues for a socket; `None` where it does not say (not Linux).
pub fn largest_receive_buffer() -> Option<usize> {
    fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<DdsSettings, SettingsError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        DdsSettings::from_env(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_domain_is_a_number_that_has_ports() {
        assert_eq!(
            settings(&[]),
            Ok(DdsSettings { domain: 0, network: Network::Subnet, services: Services::Enhanced })
        );
        assert_eq!(settings(&[("ROS_DOMAIN_ID", "232")]).unwrap().domain, 232);
        assert_eq!(
            settings(&[("ROS_DOMAIN_ID", "233")]).unwrap_err().to_string(),
            "ROS_DOMAIN_ID is `233`, it must be a whole number from 0 to 232"
        );
        assert!(settings(&[("ROS_DOMAIN_ID", "-1")]).is_err() && settings(&[("ROS_DOMAIN_ID", "two")]).is_err());
    }

    #[test]
    fn services_speak_as_the_configured_middleware_does() {
        let services = |name: &str| settings(&[("RMW_IMPLEMENTATION", name)]).unwrap().services;
        assert_eq!(
            (services("rmw_cyclonedds_cpp"), services("rmw_fastrtps_cpp")),
            (Services::Cyclone, Services::Enhanced)
        );
    }

    #[test]
    fn both_ways_to_stay_on_this_machine_are_obeyed() {
        let network = |variables: &[_]| settings(variables).map(|settings| settings.network);
        assert_eq!(network(&[("ROS_LOCALHOST_ONLY", "1")]), Ok(Network::Localhost));
        assert_eq!(network(&[("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")]), Ok(Network::Localhost));
        let older_wins = [("ROS_LOCALHOST_ONLY", "0"), ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")];
        assert_eq!(network(&older_wins), Ok(Network::Subnet));
        assert_eq!(
            network(&[("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")]).unwrap_err().to_string(),
            "ROS_AUTOMATIC_DISCOVERY_RANGE is `OFF`, supported are SUBNET, LOCALHOST and SYSTEM_DEFAULT"
        );
    }
}
