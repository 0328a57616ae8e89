//! The little network we need: a free port, and whether a URL answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A free port of 127.0.0.1. Another program may take the port before it is used, which then is an
/// error of the user of the port.
///
/// # Errors
///
/// When there is none.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Tells whether `GET path` is answered with status 200 within a second.
pub(crate) fn answers_ok(address: SocketAddr, path: &str) -> bool {
    status_line(address, path).is_ok_and(|line| line.starts_with(b"HTTP/1.1 200"))
}

fn status_line(address: SocketAddr, path: &str) -> Result<[u8; 12]> {
    let patience = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    Ok(line)
}
