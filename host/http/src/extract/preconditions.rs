//! The preconditions of a request on its stream: `If-Match` and `If-None-Match` (RFC 9110, section
//! 13.1).

use axum::extract::FromRequestParts;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use gavel_model::{ExpectedVersion, StreamId, Version};

use crate::error::{Code, Location, Problem, malformed};
use crate::state::AppState;

/// The contents of `If-Match` and `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preconditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// A list of entity tags.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    These(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// The text between the quotes.
    opaque: String,
}

/// The requirement of a command on its stream.
#[derive(Debug, PartialEq, Eq)]
enum Demand {
    Nothing,
    Exists,
    At(Version),
}

impl Preconditions {
    /// The expected version of the stream that a request is to change. A weak tag never matches:
    /// the stream may have changed since.
    ///
    /// # Errors
    ///
    /// A problem if no present state of the stream could meet the preconditions, or if they
    /// contradict `expected_version` of the body.
    pub(crate) async fn expected(
        self,
        state: &AppState,
        stream: &StreamId,
        in_body: Option<Version>,
    ) -> Result<ExpectedVersion, Problem> {
        let demand = self.demand()?;
        // What is there stays there.
        if demand == Demand::Exists
            && state.services.store.head(stream).await?.version == Version::EMPTY
        {
            return Err(not_met("the stream has no event").with("current_version", 0));
        }
        demand.with(in_body)
    }

    /// Refuses preconditions where they would not be honoured.
    ///
    /// # Errors
    ///
    /// When there is one.
    pub(crate) fn refuse(self, reason: &str) -> Result<(), Problem> {
        if self.if_match.is_none() && self.if_none_match.is_none() {
            return Ok(());
        }
        Err(malformed(Location::Header("If-Match"), reason))
    }

    /// Tells whether the client has the representation with the tag `opaque` already.
    ///
    /// # Errors
    ///
    /// A problem if the client asked for another representation only.
    pub(crate) fn is_known(&self, opaque: &str) -> Result<bool, Problem> {
        let is_same = |tag: &Tag| tag.opaque == opaque;
        if let Some(Tags::These(tags)) = &self.if_match
            && !tags.iter().any(|tag| !tag.is_weak && is_same(tag))
        {
            return Err(not_met("the resource has another ETag now"));
        }
        Ok(match &self.if_none_match {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(tags)) => tags.iter().any(is_same),
        })
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH, "If-Match")?,
            if_none_match: tags(headers, &IF_NONE_MATCH, "If-None-Match")?,
        })
    }

    fn demand(self) -> Result<Demand, Problem> {
        match (self.if_match, self.if_none_match) {
            (None, None) => Ok(Demand::Nothing),
            (Some(Tags::Any), None) => Ok(Demand::Exists),
            (Some(Tags::These(tags)), None) => {
                let mut versions = tags.iter().filter_map(Tag::version);
                match (versions.next(), versions.next()) {
                    (Some(version), None) => Ok(Demand::At(version)),
                    (None, _) => Err(not_met("no strong ETag that is a version was given")),
                    (Some(_), Some(_)) => Err(malformed(
                        Location::Header("If-Match"),
                        "give one version, as in `\"17\"`",
                    )),
                }
            }
            (None, Some(Tags::Any)) => Ok(Demand::At(Version::EMPTY)),
            (None, Some(Tags::These(_))) => Err(malformed(
                Location::Header("If-None-Match"),
                "only `*` is known: the stream must be new",
            )),
            (Some(_), Some(_)) => Err(malformed(
                Location::Header("If-Match"),
                "give it or `If-None-Match`, not both",
            )),
        }
    }
}

impl Demand {
    fn with(self, in_body: Option<Version>) -> Result<ExpectedVersion, Problem> {
        match (self, in_body) {
            (Self::At(header), Some(body)) if header != body => Err(malformed(
                Location::pointer("/expected_version"),
                "it contradicts the header of the request",
            )),
            (Self::At(version), _) => Ok(expected(Some(version))),
            (Self::Nothing | Self::Exists, in_body) => Ok(expected(in_body)),
        }
    }
}

impl Tag {
    /// The version that a strong tag stands for.
    fn version(&self) -> Option<Version> {
        let digits = &self.opaque;
        let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        (is_canonical && !self.is_weak)
            .then(|| digits.parse().ok().and_then(Version::new))
            .flatten()
    }
}

/// Translates an optional version into an expectation; none expects nothing.
pub(crate) fn expected(version: Option<Version>) -> ExpectedVersion {
    match version {
        None => ExpectedVersion::Any,
        Some(Version::EMPTY) => ExpectedVersion::NoStream,
        Some(version) => ExpectedVersion::Exact(version),
    }
}

fn not_met(reason: &str) -> Problem {
    let detail = format!("The precondition of the request does not hold: {reason}.");
    Problem::new(Code::PreconditionFailed, detail)
}

impl FromRequestParts<AppState> for Preconditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

/// The tags of a header, on however many lines.
fn tags(
    headers: &HeaderMap,
    header: &HeaderName,
    name: &'static str,
) -> Result<Option<Tags>, Problem> {
    let lines: Result<Vec<_>, _> = headers
        .get_all(header)
        .iter()
        .map(HeaderValue::to_str)
        .collect();
    let parsed = match lines.as_deref() {
        Ok([]) => return Ok(None),
        Ok(lines) => parse(&lines.join(",")),
        Err(_) => None,
    };
    parsed
        .map(Some)
        .ok_or_else(|| malformed(Location::Header(name), "give `*`, or ETags as in `\"17\"`"))
}

fn parse(list: &str) -> Option<Tags> {
    const SPACE: [char; 2] = [' ', '\t'];
    if list.trim_matches(SPACE) == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(Tags::These(tags));
        }
        let strong = rest.strip_prefix("W/");
        let (opaque, after) = strong.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        let after = after.trim_start_matches(SPACE);
        let is_separated = after.is_empty() || after.starts_with(',');
        if !is_separated || !opaque.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        tags.push(Tag {
            is_weak: strong.is_some(),
            opaque: opaque.to_owned(),
        });
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[(&'static str, &str)]) -> Result<Preconditions, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        Preconditions::of(&headers)
    }

    fn demanded(
        given: &[(&'static str, &str)],
        in_body: Option<u64>,
    ) -> Result<ExpectedVersion, Code> {
        of(given)
            .and_then(Preconditions::demand)
            .and_then(|demand| demand.with(in_body.and_then(Version::new)))
            .map_err(|problem| problem.code())
    }

    #[test]
    fn a_strong_etag_is_an_expected_version() {
        let exactly = |number| Ok(ExpectedVersion::Exact(Version::new(number).unwrap()));
        assert_eq!(demanded(&[], None), Ok(ExpectedVersion::Any));
        assert_eq!(demanded(&[], Some(17)), exactly(17));
        assert_eq!(demanded(&[("if-match", "\"17\"")], Some(17)), exactly(17));
        for list in ["\"17\"", " \"17\" ", "W/\"3\", \"a,b\",, \"17\""] {
            assert_eq!(demanded(&[("if-match", list)], None), exactly(17), "{list}");
        }
    }

    #[test]
    fn a_stream_can_be_expected_to_be_new_in_four_ways() {
        for (given, in_body) in [
            (&[("if-none-match", "*")][..], None),
            (&[("if-match", "\"0\"")], None),
            (&[], Some(0)),
            (&[("if-none-match", "*")], Some(0)),
        ] {
            let new = Ok(ExpectedVersion::NoStream);
            assert_eq!(demanded(given, in_body), new, "{given:?} {in_body:?}");
        }
    }

    #[test]
    fn what_is_never_the_tag_of_a_stream_does_not_hold() {
        for tag in [
            "W/\"17\"",
            "\"-1\"",
            "\"+1\"",
            "\"01\"",
            "\"\"",
            "\"x\"",
            "\"17-sha256:00\"",
            "\"9223372036854775808\"",
        ] {
            let refused = Err(Code::PreconditionFailed);
            assert_eq!(demanded(&[("if-match", tag)], None), refused, "{tag}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_or_contradicts_itself_is_refused() {
        for (given, in_body) in [
            (&[("if-match", "17")][..], None),
            (&[("if-match", "\"17")], None),
            (&[("if-match", "w/\"17\"")], None),
            (&[("if-match", "\"1\"\"2\"")], None),
            (&[("if-match", "\"1 7\"")], None),
            (&[("if-match", "*, \"1\"")], None),
            (&[("if-match", "")], None),
            (&[("if-match", "\"17\", \"18\"")], None),
            (&[("if-match", "\"1\""), ("if-match", "\"2\"")], None),
            (&[("if-none-match", "\"17\"")], None),
            (&[("if-none-match", "*"), ("if-match", "\"1\"")], None),
            (&[("if-match", "\"17\"")], Some(18)),
            (&[("if-none-match", "*")], Some(1)),
        ] {
            let refused = Err(Code::MalformedRequest);
            assert_eq!(demanded(given, in_body), refused, "{given:?} {in_body:?}");
        }
    }

    #[test]
    fn whoever_has_what_is_there_is_told_so_and_if_match_compares_strongly() {
        let is_known = |given| {
            let preconditions = of(&[given]).unwrap();
            preconditions
                .is_known("3")
                .map_err(|problem| problem.code())
        };
        for (given, known) in [
            (("if-none-match", "\"3\""), Ok(true)),
            (("if-none-match", "\"2\", W/\"3\""), Ok(true)),
            (("if-none-match", "*"), Ok(true)),
            (("if-none-match", "\"2\""), Ok(false)),
            (("if-match", "*"), Ok(false)),
            (("if-match", "\"2\", \"3\""), Ok(false)),
            (("if-match", "\"2\""), Err(Code::PreconditionFailed)),
            (("if-match", "W/\"3\""), Err(Code::PreconditionFailed)),
        ] {
            assert_eq!(is_known(given), known, "{given:?}");
        }
    }
}
