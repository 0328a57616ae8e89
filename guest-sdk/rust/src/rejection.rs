//! The refusal of a command, in a form for people and one for programs.

/// The reason for which a decider refuses a command. Derive it with
/// [`Rejection`](macro@crate::Rejection).
pub trait Rejection {
    /// Every code that [`code`](Self::code) can return.
    const CODES: &'static [&'static str];

    /// The stable code, for programs.
    fn code(&self) -> &'static str;

    /// One sentence for people.
    fn message(&self) -> String;

    /// Facts for programs: one JSON document.
    fn data(&self) -> Option<String>;
}

/// The rejection of deciders that never reject.
impl Rejection for std::convert::Infallible {
    const CODES: &'static [&'static str] = &[];

    fn code(&self) -> &'static str {
        match *self {}
    }

    fn message(&self) -> String {
        match *self {}
    }

    fn data(&self) -> Option<String> {
        match *self {}
    }
}
