//! The form of the lines in a container's log.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// How the master writes a line of the container's output.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `<time> <stream> <text>`
    Basic,
    /// `<time> <stream> <F or P> <text>`, which kubelet reads.
    #[default]
    Kubernetes,
    /// `{"time":…,"stream":…,"log":…}`
    Json,
}

impl LogFormat {
    /// Every format; parser and help text take them from here.
    pub const ALL: [Self; 3] = [Self::Basic, Self::Kubernetes, Self::Json];

    /// Its name on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Kubernetes => "kubernetes",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == name);
        known.ok_or_else(|| UnknownLogFormat(name.to_owned()))
    }
}

/// A name that is no log format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownLogFormat(pub String);

impl fmt::Display for UnknownLogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown log format {:?}: use one of", self.0)?;
        LogFormat::ALL.iter().try_for_each(|format| write!(f, " {format}"))
    }
}

impl core::error::Error for UnknownLogFormat {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn every_format_is_its_name_on_the_command_line_and_in_json() {
        for format in LogFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        assert_eq!(LogFormat::default(), LogFormat::Kubernetes);
    }

    #[test]
    fn the_error_names_what_was_given_and_what_would_do() {
        let error = "Json".parse::<LogFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"unknown log format "Json": use one of basic kubernetes json"#
        );
    }

    proptest! {
        #[test]
        fn no_other_name_is_a_format(name in any::<String>()) {
            let named = LogFormat::ALL.iter().any(|format| format.as_str() == name);
            prop_assert_eq!(name.parse::<LogFormat>().is_ok(), named);
        }
    }
}
