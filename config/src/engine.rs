//! The engine's configuration as JSON, key for key that of the seed's oci engine, so that what
//! one writes the other reads.
//!
//! As with Go's encoding/json, an absent key and `null` mean the zero value, and unknown keys are
//! ignored. Unlike there, a key must be spelled exactly.

use crate::LogFormat;
use crate::null;
use crate::state::State;
use alloc::string::String;
use alloc::vec::Vec;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Name of the engine.
pub const NAME: &str = "oci";

/// What every engine of the seed is configured with, around the engine's own part.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Common {
    /// Which engine is meant; others than [`NAME`] are not ours.
    #[serde(deserialize_with = "null::as_zero")]
    pub engine_name: String,
    /// The container's name.
    #[serde(rename = "containerID", deserialize_with = "null::as_zero")]
    pub container_id: String,
    /// The engine's own part.
    #[serde(deserialize_with = "null::as_zero")]
    pub engine_config: EngineConfig,
    /// Configuration of plugins by their name; the engine passes it on unread.
    pub plugin: Option<Map<String, Value>>,
}

impl Common {
    /// The configuration of one container of this engine.
    pub fn new(container_id: impl Into<String>, engine_config: EngineConfig) -> Self {
        let (engine_name, container_id) = (NAME.into(), container_id.into());
        Self { engine_name, container_id, engine_config, plugin: None }
    }
}

/// The engine's configuration of one container. The default is Go's zero value, as of a JSON
/// object without keys: stage1 replaces its descriptors.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EngineConfig {
    #[serde(deserialize_with = "null::as_zero")]
    bundle_path: PathBuf,
    #[serde(deserialize_with = "null::as_zero")]
    log_path: PathBuf,
    #[serde(serialize_with = "write_log_format", deserialize_with = "read_log_format")]
    log_format: Option<LogFormat>,
    #[serde(deserialize_with = "null::as_zero")]
    pid_file: PathBuf,
    /// config.json of the bundle.
    pub oci_config: Option<Spec>,
    /// Our end of the container's terminal; [`NO_FD`] without one.
    #[serde(deserialize_with = "null::as_zero")]
    pub master_pts: i32,
    /// The container's end of its terminal.
    #[serde(deserialize_with = "null::as_zero")]
    pub slave_pts: i32,
    /// Its stdout, when that is a pipe.
    #[serde(deserialize_with = "null::as_zero")]
    pub output_streams: Stream,
    /// Its stderr, when that is a pipe.
    #[serde(deserialize_with = "null::as_zero")]
    pub error_streams: Stream,
    /// Its stdin, when that is a pipe.
    #[serde(deserialize_with = "null::as_zero")]
    pub input_streams: Stream,
    /// Absolute path of a socket that gets every change of the state; empty without one.
    #[serde(deserialize_with = "null::as_zero")]
    pub sync_socket: PathBuf,
    /// Whether the container has no program: its first process only waits (a pod's pause).
    #[serde(deserialize_with = "null::as_zero")]
    pub empty_process: bool,
    /// Whether the process joins a container that exists.
    #[serde(deserialize_with = "null::as_zero")]
    pub exec: bool,
    #[serde(deserialize_with = "null::as_zero")]
    systemd_cgroups: bool,
    #[serde(serialize_with = "write_state", deserialize_with = "read_state")]
    state: Option<State>,
}

impl EngineConfig {
    /// The bundle's directory; empty when none has been set.
    pub fn bundle_path(&self) -> &Path {
        &self.bundle_path
    }

    /// Sets the bundle's directory.
    pub fn set_bundle_path(&mut self, path: impl Into<PathBuf>) {
        self.bundle_path = path.into();
    }

    /// Form of the log; [`LogFormat::default`] when none has been set.
    pub fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or_default()
    }

    /// Sets the form of the log.
    pub fn set_log_format(&mut self, format: LogFormat) {
        self.log_format = Some(format);
    }

    /// The log file, or `None` for the default, beside the state.
    pub fn log_path(&self) -> Option<&Path> {
        given(&self.log_path)
    }

    /// Sets the log file.
    pub fn set_log_path(&mut self, path: impl Into<PathBuf>) {
        self.log_path = path.into();
    }

    /// The file to write the container's pid into, if one is wanted.
    pub fn pid_file(&self) -> Option<&Path> {
        given(&self.pid_file)
    }

    /// Sets the file to write the container's pid into.
    pub fn set_pid_file(&mut self, path: impl Into<PathBuf>) {
        self.pid_file = path.into();
    }

    /// The container's state, once it has one.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Sets the container's state.
    pub fn set_state(&mut self, state: State) {
        self.state = Some(state);
    }

    /// Forgets the container's state.
    pub fn clear_state(&mut self) {
        self.state = None;
    }

    /// Whether systemd manages the container's cgroup.
    pub fn systemd_cgroups(&self) -> bool {
        self.systemd_cgroups
    }

    /// Sets whether systemd manages the container's cgroup.
    pub fn set_systemd_cgroups(&mut self, systemd: bool) {
        self.systemd_cgroups = systemd;
    }
}

fn given(path: &Path) -> Option<&Path> {
    if path.as_os_str().is_empty() { None } else { Some(path) }
}

/// In place of a descriptor: there is none.
pub const NO_FD: i32 = -1;

/// Both ends of a pipe to the container, `[ours, the container's]` in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<i32>", into = "[i32; 2]")]
pub struct Stream {
    /// The master's end: reads stdout and stderr, writes stdin.
    pub ours: i32,
    /// The container's end.
    pub container: i32,
}

impl Stream {
    /// No pipe.
    pub const NONE: Self = Self { ours: NO_FD, container: NO_FD };
}

impl From<Stream> for [i32; 2] {
    fn from(stream: Stream) -> Self {
        [stream.ours, stream.container]
    }
}

/// Go's arrays: what is missing is zero, what is too much is dropped.
impl From<Vec<i32>> for Stream {
    fn from(ends: Vec<i32>) -> Self {
        let end = |index| ends.get(index).copied().unwrap_or_default();
        Self { ours: end(0), container: end(1) }
    }
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes the field by reference"
)]
fn write_log_format<S: Serializer>(format: &Option<LogFormat>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(format.map_or("", LogFormat::as_str))
}

fn read_log_format<'de, D: Deserializer<'de>>(input: D) -> Result<Option<LogFormat>, D::Error> {
    let name: String = null::as_zero(input)?;
    if name.is_empty() {
        return Ok(None);
    }
    name.parse().map(Some).map_err(D::Error::custom)
}

/// The zero value of the seed's state: the keys that its JSON never omits.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct ZeroState {
    oci_version: &'static str,
    id: &'static str,
    status: &'static str,
    bundle: &'static str,
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn write_state<S: Serializer>(state: &Option<State>, out: S) -> Result<S::Ok, S::Error> {
    match state {
        Some(state) => state.serialize(out),
        None => ZeroState::default().serialize(out),
    }
}

/// A state without a status is none: stage1 of the seed resets it before anybody looks.
fn read_state<'de, D: Deserializer<'de>>(input: D) -> Result<Option<State>, D::Error> {
    let state: Map<String, Value> = null::as_zero(input)?;
    match state.get("status") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(status)) if status.is_empty() => Ok(None),
        Some(_) => State::deserialize(Value::Object(state)).map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Status;
    use proptest::prelude::*;
    use serde_json::json;

    /// As the seed writes it for a container with a terminal that runs.
    const RUNNING: &str = concat!(
        r#"{"engineName":"oci","containerID":"web","engineConfig":{"bundlePath":"/b/web","#,
        r#""logPath":"/var/log/web","logFormat":"json","pidFile":"/run/web.pid","#,
        r#""ociConfig":{"ociVersion":"1.0.2","root":{"path":"rootfs","readonly":true},"#,
        r#""hostname":"web"},"masterPts":7,"slavePts":8,"outputStreams":[-1,-1],"#,
        r#""errorStreams":[-1,-1],"inputStreams":[-1,-1],"syncSocket":"/run/sync","#,
        r#""emptyProcess":true,"exec":true,"systemdCgroups":true,"state":{"ociVersion":"1.0.2","#,
        r#""id":"web","status":"running","pid":4711,"bundle":"/b/web","createdAt":1,"#,
        r#""attachSocket":"/a","controlSocket":"/c"}},"plugin":{"x":{"y":[1]}}}"#
    );

    /// As the seed writes it before stage1: every value is Go's zero.
    const ZERO: &str = concat!(
        r#"{"engineName":"oci","containerID":"web","engineConfig":{"bundlePath":"","logPath":"","#,
        r#""logFormat":"","pidFile":"","ociConfig":null,"masterPts":0,"slavePts":0,"#,
        r#""outputStreams":[0,0],"errorStreams":[0,0],"inputStreams":[0,0],"syncSocket":"","#,
        r#""emptyProcess":false,"exec":false,"systemdCgroups":false,"state":{"ociVersion":"","#,
        r#""id":"","status":"","bundle":""}},"plugin":null}"#
    );

    fn parse(text: &str) -> serde_json::Result<Common> {
        serde_json::from_str(text)
    }

    fn parse_engine(config: &Value) -> serde_json::Result<EngineConfig> {
        serde_json::from_value(config.clone())
    }

    #[test]
    fn what_the_seed_writes_round_trips_byte_for_byte() {
        for sample in [RUNNING, ZERO] {
            assert_eq!(serde_json::to_string(&parse(sample).unwrap()).unwrap(), sample);
        }
        assert_eq!(parse(ZERO).unwrap(), Common::new("web", EngineConfig::default()));
    }

    #[test]
    fn every_accessor_gives_the_key_of_its_name() {
        let config = parse(RUNNING).unwrap().engine_config;
        assert_eq!(config.bundle_path(), "/b/web");
        assert_eq!(config.log_path(), Some(Path::new("/var/log/web")));
        assert_eq!(config.log_format(), LogFormat::Json);
        assert_eq!(config.pid_file(), Some(Path::new("/run/web.pid")));
        assert_eq!(config.state().unwrap().status, Status::Running);
        assert!(config.systemd_cgroups());
        assert_eq!(config.output_streams, Stream::NONE);
    }

    #[test]
    fn every_setter_writes_the_key_of_its_name() {
        let mut config = EngineConfig::default();
        config.set_bundle_path("/b");
        config.set_log_path("/l");
        config.set_log_format(LogFormat::Basic);
        config.set_pid_file("/p");
        config.set_state(State::new("1.0.2", "web", Status::Creating));
        config.set_systemd_cgroups(true);
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(written["bundlePath"], "/b");
        assert_eq!(written["logPath"], "/l");
        assert_eq!(written["logFormat"], "basic");
        assert_eq!(written["pidFile"], "/p");
        assert_eq!(written["state"]["status"], "creating");
        assert_eq!(written["systemdCgroups"], true);
    }

    #[test]
    fn nothing_set_means_defaults() {
        let config = EngineConfig::default();
        assert_eq!((config.log_path(), config.pid_file(), config.state()), (None, None, None));
        assert_eq!(config.log_format(), LogFormat::Kubernetes);
    }

    #[test]
    fn null_means_zero_for_every_key() {
        let mut all_null: Value = serde_json::from_str(ZERO).unwrap();
        let keys = all_null["engineConfig"].as_object_mut().unwrap();
        assert_eq!(keys.len(), 15);
        keys.values_mut().for_each(|value| *value = Value::Null);
        let common: Common = serde_json::from_value(all_null).unwrap();
        assert_eq!(common.engine_config, EngineConfig::default());
        let null = json!({"engineName": null, "containerID": null, "engineConfig": null});
        assert_eq!(serde_json::from_value::<Common>(null).unwrap(), Common::default());
    }

    #[test]
    fn streams_of_another_length_are_read_as_go_reads_arrays() {
        let config = json!({"inputStreams": [5], "outputStreams": [6, 7, 8], "errorStreams": []});
        let config = parse_engine(&config).unwrap();
        assert_eq!(config.input_streams, Stream { ours: 5, container: 0 });
        assert_eq!(config.output_streams, Stream { ours: 6, container: 7 });
        assert_eq!(config.error_streams, Stream::default());
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (config, complaint) in [
            (json!({"logFormat": "xml"}), "unknown log format \"xml\""),
            (json!({"state": {"status": "dead"}}), "unknown variant `dead`"),
            (json!({"state": 5}), "invalid type"),
            (json!({"masterPts": 2_147_483_648_u32}), "2147483648"),
            (json!({"exec": "yes"}), "expected a boolean"),
        ] {
            let error = parse_engine(&config).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    fn text() -> impl Strategy<Value = String> {
        "\\PC{0,20}"
    }

    prop_compose! {
        fn any_config()(
            paths in [text(), text(), text(), text()],
            format in proptest::option::of(proptest::sample::select(&LogFormat::ALL[..])),
            fds in any::<[i32; 8]>(),
            flags in any::<[bool; 3]>(),
            state in proptest::option::of(text()),
        ) -> EngineConfig {
            let [bundle_path, log_path, pid_file, sync_socket] = paths.map(PathBuf::from);
            let [master_pts, slave_pts, out, out_container, err, err_container, r#in, in_container] = fds;
            let [empty_process, exec, systemd_cgroups] = flags;
            EngineConfig {
                bundle_path, log_path, log_format: format, pid_file, oci_config: None,
                master_pts, slave_pts,
                output_streams: Stream { ours: out, container: out_container },
                error_streams: Stream { ours: err, container: err_container },
                input_streams: Stream { ours: r#in, container: in_container },
                sync_socket, empty_process, exec, systemd_cgroups,
                state: state.map(|id| State::new("1.2.0", id, Status::Paused)),
            }
        }
    }

    proptest! {
        #[test]
        fn any_config_round_trips(config in any_config()) {
            let text = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(serde_json::from_str::<EngineConfig>(&text).unwrap(), config);
        }

        #[test]
        fn unknown_keys_change_nothing(config in any_config(), key in "[A-Z]{1,8}", value in text()) {
            let mut written = serde_json::to_value(&config).unwrap();
            written[&key] = Value::from(value);
            written["state"][&key] = json!([null, {}]);
            prop_assert_eq!(parse_engine(&written).unwrap(), config);
        }
    }
}
