//! The handoff: how one role passes its result to the next across an exec.
//!
//! A memory file, sealed so that nobody can change it between check and use, whose number is
//! told on the command line. It begins with a header; what follows is the compact form
//! (between our images) or JSON (for people, who can also pass a plain file).

use crate::{
    Error, Report, Result, Role, plan::Plan, process::ProcessSpec, starter::StarterConfig,
};
use alloc::string::ToString;
use alloc::vec::Vec;
use kickstage_sys::{Fd, file, image};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What stage1 gives to everyone after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assembly {
    /// For the starter: namespaces, id maps, propagation.
    pub starter: StarterConfig,
    /// For the master and rpc: what to do, in order.
    pub plan: Plan,
    /// For stage2: what to become.
    pub process: ProcessSpec,
    /// For all: where messages go.
    pub report: Report,
    /// For all: what is open besides.
    pub descriptors: Descriptors,
}

/// Descriptors that the command has opened for the roles after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Descriptors {
    /// A connected socket that takes the container's terminal.
    pub console_socket: Option<i32>,
    /// A connected socket that takes a pidfd of the process.
    pub pidfd_socket: Option<i32>,
    /// The shared phase timeline.
    pub timeline: Option<i32>,
    /// The program that becomes the monitor.
    pub monitor: Option<i32>,
    /// A sealed copy of the handler that the process asks for.
    #[serde(default)]
    pub handler: Option<i32>,
}

/// Larger input is refused: config.json itself may not be larger either.
pub const LIMIT: usize = 16 << 20;

const MAGIC: [u8; 4] = *b"KSTG";
/// Rises with every change of the types that travel.
const VERSION: u8 = 6;
const HEADER: usize = 8;

/// The form of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// postcard: small and quick, for two images of the same build.
    Compact = 1,
    /// JSON.
    Json = 2,
}

/// Header and body as bytes.
pub fn encode<T: Serialize>(value: &T, form: Form) -> Result<Vec<u8>> {
    let failed = |cause: alloc::string::String| {
        Error::new(Role::Starter, "encode the handoff").because(cause)
    };
    let mut bytes = Vec::with_capacity(4096);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, form as u8, 0, 0]);
    match form {
        Form::Compact => {
            postcard::to_extend(value, bytes).map_err(|error| failed(error.to_string()))
        }
        Form::Json => {
            let body = serde_json::to_vec(value).map_err(|error| failed(error.to_string()))?;
            bytes.extend_from_slice(&body);
            Ok(bytes)
        }
    }
}

/// Checks the header and decodes the body. Text that begins with `{` is taken as JSON without a
/// header, so that a person can edit it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let failed = |cause: &str| {
        Error::new(Role::Starter, "read the handoff")
            .because(cause)
            .remedy("pass what stage1 of the same version wrote")
    };
    if bytes.len() > LIMIT {
        return Err(failed("larger than 16 MiB"));
    }
    if bytes.first() == Some(&b'{') {
        return from_json(bytes);
    }
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(failed("shorter than its header"));
    };
    if header[..4] != MAGIC || header[6..] != [0, 0] {
        return Err(failed("not a handoff"));
    }
    if header[4] != VERSION {
        return Err(failed("written by another version"));
    }
    match header[5] {
        form if form == Form::Compact as u8 => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(failed("bytes after its end")),
            Err(error) => Err(failed(&error.to_string())),
        },
        form if form == Form::Json as u8 => from_json(body),
        _ => Err(failed("in an unknown form")),
    }
}

#[cfg(feature = "json")]
fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::new(Role::Starter, "read the handoff").because(error.to_string()))
}

/// The stage image reads the compact form only: a JSON parser would be a fifth of it.
#[cfg(not(feature = "json"))]
fn from_json<T>(_body: &[u8]) -> Result<T> {
    Err(Error::new(Role::Starter, "read the handoff")
        .because("JSON")
        .remedy("use the standalone binary of this role"))
}

/// Puts a value into a sealed memory file.
pub fn seal<T: Serialize>(value: &T, form: Form) -> Result<Fd> {
    let bytes = encode(value, form)?;
    image::seal(c"kickstage handoff", &bytes, image::Content::Data)
        .map_err(|errno| Error::new(Role::Starter, "seal the handoff").errno(errno))
}

/// The same for who stays: nothing of the file does.
pub fn take<T: DeserializeOwned>(raw: i32) -> Result<T> {
    let failed = |errno| Error::new(Role::Starter, "read the handoff").on(raw).errno(errno);
    let fd = Fd::inherit(raw).map_err(failed)?;
    file::rewind(fd.borrow()).map_err(failed)?;
    decode(&file::read_all(fd.borrow(), LIMIT).map_err(failed)?)
}

/// Takes a value out of the file that was inherited as number `raw`. A memory file must be
/// sealed; a plain file is read once, into private memory.
pub fn open<T: DeserializeOwned>(raw: i32) -> Result<T> {
    let failed = |errno| Error::new(Role::Starter, "read the handoff").on(raw).errno(errno);
    let fd = Fd::inherit(raw).map_err(failed)?;
    if image::is_sealed(fd.borrow()) {
        return decode(image::map(fd.borrow(), LIMIT).map_err(failed)?);
    }
    decode(&file::read_all(fd.borrow(), LIMIT).map_err(failed)?)
}
