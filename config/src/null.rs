//! `null` as Go's encoding/json reads it: the field keeps its zero value.

use serde::{Deserialize, Deserializer};

/// Reads a value, or its default in place of `null`. For `#[serde(deserialize_with)]`.
pub(crate) fn as_zero<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
