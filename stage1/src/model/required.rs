//! What the specification requires and the model makes up where it is missing: a second reading,
//! which looks for that alone. What the model itself requires is not repeated here.
#![expect(dead_code, reason = "only read")]

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A value that is there; which one is the model's business.
type Given = IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Engine {
    engine_config: Option<EngineConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EngineConfig {
    oci_config: Option<Config>,
}

#[derive(Deserialize)]
pub(super) struct Config {
    root: Option<Root>,
    mounts: Option<Vec<Mapped>>,
    process: Option<Process>,
    linux: Option<Linux>,
}

#[derive(Deserialize)]
struct Root {
    path: Given,
}

/// A mount.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapped {
    uid_mappings: Option<Vec<Mapping>>,
    gid_mappings: Option<Vec<Mapping>>,
}

#[derive(Deserialize)]
struct Mapping {
    #[serde(rename = "containerID")]
    container_id: Given,
    #[serde(rename = "hostID")]
    host_id: Given,
    size: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    console_size: Option<ConsoleSize>,
    rlimits: Option<Vec<Rlimit>>,
    io_priority: Option<IoPriority>,
}

#[derive(Deserialize)]
struct ConsoleSize {
    height: Given,
    width: Given,
}

#[derive(Deserialize)]
struct Rlimit {
    soft: Given,
    hard: Given,
}

#[derive(Deserialize)]
struct IoPriority {
    class: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    uid_mappings: Option<Vec<Mapping>>,
    gid_mappings: Option<Vec<Mapping>>,
    devices: Option<Vec<Device>>,
    resources: Option<Resources>,
}

/// Whether it needs numbers depends on its type.
#[derive(Deserialize)]
struct Device {
    path: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resources {
    devices: Option<Vec<DeviceRule>>,
    #[serde(rename = "blockIO")]
    block_io: Option<BlockIo>,
    hugepage_limits: Option<Vec<HugePages>>,
    network: Option<Network>,
    pids: Option<Pids>,
}

/// Newer clients leave out the limit that they do not mean.
#[derive(Deserialize)]
struct Pids {
    limit: Option<Given>,
}

#[derive(Deserialize)]
struct DeviceRule {
    allow: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the specification's names")]
struct BlockIo {
    weight_device: Option<Vec<Weight>>,
    throttle_read_bps_device: Option<Vec<Rate>>,
    throttle_write_bps_device: Option<Vec<Rate>>,
    #[serde(rename = "throttleReadIOPSDevice")]
    throttle_read_iops_device: Option<Vec<Rate>>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    throttle_write_iops_device: Option<Vec<Rate>>,
}

#[derive(Deserialize)]
struct Weight {
    major: Given,
    minor: Given,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the specification's names")]
struct Rate {
    major: Given,
    minor: Given,
    rate: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HugePages {
    page_size: Given,
    limit: Given,
}

#[derive(Deserialize)]
struct Network {
    priorities: Option<Vec<Priority>>,
}

#[derive(Deserialize)]
struct Priority {
    name: Given,
    priority: Given,
}

impl Engine {
    pub(super) fn config(&self) -> Option<&Config> {
        self.engine_config.as_ref()?.oci_config.as_ref()
    }
}

impl Config {
    pub(super) fn resources(&self) -> Option<&Resources> {
        self.linux.as_ref()?.resources.as_ref()
    }
}

impl Resources {
    /// Whether pids are there and have no limit, which the model takes for 0.
    pub(super) fn has_pids_without_limit(&self) -> bool {
        self.pids.as_ref().is_some_and(|pids| pids.limit.is_none())
    }
}
