//! The store of events, commands and modules.

use std::fmt;
use std::path::{Path, PathBuf};

use super::area::area;
use super::setting::Setting;

area! {
    /// The store of events, commands and modules.
    pub struct Store in "store" {
        /// The store: `sqlite://PATH`, `postgres://…` or `memory:`; by default SQLite in the data
        /// directory.
        url: StoreUrl = StoreUrl::Sqlite(PathBuf::from(".gavel/gavel.db"));
        /// Migrates an older schema at start; otherwise an older schema is refused.
        migrate: bool = true;
        /// Accepts a PostgreSQL server that can lose acknowledged data because `fsync`,
        /// `full_page_writes` or `synchronous_commit` is off.
        allow_unsafe_durability: bool = false;
        /// The most connections to the database; the rows of views have half as many besides.
        pool_size: u32 = 8, within 1..=1_000;
    }
}

impl Store {
    /// The defaults of a host whose data directory is `dir`.
    pub(super) fn in_directory(dir: &Path) -> Self {
        Self {
            url: StoreUrl::Sqlite(dir.join("gavel.db")),
            ..Self::default()
        }
    }
}

/// The location of a store. Neither `Display` nor `Debug` shows a password.
#[derive(Clone, PartialEq, PartialOrd)]
pub enum StoreUrl {
    /// A store in memory, lost when the host stops.
    Memory,
    /// A SQLite database in the file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, as the complete URL with its credentials.
    Postgres(String),
}

impl Setting for StoreUrl {
    const SECRET: bool = true;

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        match text.split_once("://") {
            // SQLite would take it for a URI, with parameters by which nothing is kept, or for no
            // file at all.
            Some(("sqlite", path)) if path.starts_with(':') || path.starts_with("file:") => {
                Err("the path of a file, and not a URI; `memory:` is what keeps nothing".to_owned())
            }
            Some(("sqlite", path)) if path.contains('?') => {
                Err("the path of a file: parameters have no meaning here".to_owned())
            }
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                Ok(Self::Postgres(text.to_owned()))
            }
            _ => Err("`sqlite://PATH`, `postgres://…` or `memory:`".to_owned()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        self.to_string().into()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Removes the password and the parameters, which may hold one too, from a URL. Unclear parts are
/// left out.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let place = place.split(['?', '#']).next().unwrap_or_default();
    match credentials.map(|credentials| credentials.split_once(':')) {
        Some(Some((user, _))) => format!("{scheme}://{user}:***@{place}"),
        Some(None) => format!("{scheme}://{}@{place}", credentials.unwrap_or_default()),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, String> {
        StoreUrl::from_toml(&toml::Value::from(text))
    }

    #[test]
    fn sqlite_paths_are_relative_with_two_slashes_and_absolute_with_three() {
        assert_eq!(
            parse("sqlite://.gavel/gavel.db"),
            Ok(StoreUrl::Sqlite(".gavel/gavel.db".into()))
        );
        assert_eq!(
            parse("sqlite:///var/lib/gavel.db"),
            Ok(StoreUrl::Sqlite("/var/lib/gavel.db".into()))
        );
    }

    #[test]
    fn a_url_of_no_known_store_is_refused() {
        for refused in [
            "",
            "sqlite",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://file:x?mode=memory&cache=shared",
            "sqlite://x.db?mode=memory",
            "mysql://h/d",
            "memory",
            "/a/b",
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://ann:s3cret@db/gavel",
                "postgres://ann:***@db/gavel",
            ),
            (
                "postgres://ann:s3/c@ret@db/gavel",
                "postgres://ann:***@db/gavel",
            ),
            ("postgres://db/gavel?password=s3cret", "postgres://db/gavel"),
            ("postgres://ann@db/gavel", "postgres://ann@db/gavel"),
        ] {
            let url = parse(url).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }
}
