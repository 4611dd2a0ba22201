//! `regex-lite` under the name of `regex`; see Cargo.toml.

pub use regex_lite::*;

/// Several expressions at once, for bindgen, which runs at build time only.
#[derive(Clone, Debug, Default)]
pub struct RegexSet(Vec<Regex>);

impl RegexSet {
    /// Compiles each of them.
    pub fn new<I: IntoIterator<Item = S>, S: AsRef<str>>(list: I) -> Result<Self, Error> {
        list.into_iter().map(|text| Regex::new(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.iter().any(|expression| expression.is_match(text))
    }

    /// Which of them match.
    pub fn matches(&self, text: &str) -> SetMatches {
        SetMatches(self.0.iter().map(|expression| expression.is_match(text)).collect())
    }
}

/// What [`RegexSet::matches`] has found.
#[derive(Clone, Debug)]
pub struct SetMatches(Vec<bool>);

impl SetMatches {
    /// Whether one of them matches.
    pub fn matched_any(&self) -> bool {
        self.0.contains(&true)
    }
}

impl<'a> IntoIterator for &'a SetMatches {
    type Item = usize;
    type IntoIter = Box<dyn Iterator<Item = usize> + 'a>;

    /// The places of those that match.
    fn into_iter(self) -> Self::IntoIter {
        let places = self.0.iter().enumerate().filter(|(_, matches)| **matches);
        Box::new(places.map(|(place, _)| place))
    }
}
