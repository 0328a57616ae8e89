//! The message of a host that is ready.

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gavel_config::{Config, StoreUrl};

/// The message of a host that is ready: a few lines for people on a terminal, else one line of log.
#[derive(Debug)]
pub(super) struct Banner {
    listen: SocketAddr,
    storage: String,
    data_dir: String,
    auth: String,
    needs_token: bool,
}

impl Banner {
    /// The message of a host that listens on `listen`, which may be another port than the
    /// configured one.
    pub(super) fn new(config: &Config, listen: SocketAddr) -> Self {
        let tokens = config.auth.tokens.len();
        Self {
            listen,
            storage: match &config.store.url {
                StoreUrl::Memory => "memory (not kept: lost when the host stops)".to_owned(),
                kept @ (StoreUrl::Sqlite(_) | StoreUrl::Postgres(_)) => format!("{kept} (kept)"),
            },
            data_dir: config.data.dir.display().to_string(),
            auth: match tokens {
                0 if listen.ip().to_canonical().is_loopback() => "off, loopback only".to_owned(),
                0 => "OFF: everyone who reaches this address may do everything".to_owned(),
                1 => "on, 1 token".to_owned(),
                tokens => format!("on, {tokens} tokens"),
            },
            needs_token: tokens > 0,
        }
    }

    /// Shows it on standard error.
    pub(super) fn show(&self) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            // That nobody sees the banner is no reason not to serve.
            let _ = writeln!(stderr, "{}", self.in_words());
        } else {
            tracing::info!(
                http.address = %self.address(),
                store.url = %self.storage,
                data.dir = %self.data_dir,
                auth = %self.auth,
                "the host is ready"
            );
        }
    }

    fn in_words(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let address = self.address();
        let Self {
            storage,
            data_dir,
            auth,
            ..
        } = self;
        let token = if self.needs_token {
            " -H \"Authorization: Bearer $GAVEL_TOKEN\""
        } else {
            ""
        };
        format!(
            "\n  Gavel {version}\n\n  \
             API      {address}\n  \
             Storage  {storage}\n  \
             Data     {data_dir}\n  \
             Auth     {auth}\n\n  \
             curl{token} {address}/v1/info\n"
        )
    }

    /// An address that can be opened on this machine: the unspecified one cannot.
    fn address(&self) -> String {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.listen.port()))
    }
}

#[cfg(test)]
mod tests {
    use gavel_config::Token;

    use super::*;

    #[test]
    fn a_host_on_loopback_says_where_it_is_and_what_it_keeps() {
        let banner = Banner::new(&Config::default(), "127.0.0.1:4321".parse().unwrap());
        let words = banner.in_words();
        for line in [
            "  API      http://127.0.0.1:4321\n",
            "  Storage  sqlite://.gavel/gavel.db (kept)\n",
            "  Data     .gavel\n",
            "  Auth     off, loopback only\n",
            "  curl http://127.0.0.1:4321/v1/info\n",
        ] {
            assert!(words.contains(line), "{line:?} is not in {words}");
        }
    }

    #[test]
    fn what_is_not_kept_and_what_is_open_to_all_is_said_plainly() {
        let mut config = Config::default();
        config.store.url = StoreUrl::Memory;
        let words = Banner::new(&config, "[::]:4000".parse().unwrap()).in_words();
        assert!(words.contains("not kept"), "{words}");
        assert!(words.contains("OFF"), "{words}");
        assert!(words.contains("curl http://[::1]:4000/v1/info"), "{words}");
    }

    #[test]
    fn with_tokens_the_line_to_paste_carries_one() {
        let mut config = Config::default();
        config.auth.tokens.push(Token::new("ci", [0; 32], []));
        let words = Banner::new(&config, "127.0.0.1:4000".parse().unwrap()).in_words();
        assert!(words.contains("on, 1 token"), "{words}");
        assert!(
            words.contains("curl -H \"Authorization: Bearer $GAVEL_TOKEN\" http"),
            "{words}"
        );
    }
}
