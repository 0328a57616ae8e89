//! Connections that follow the log.

use anyhow::{Error, Result};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HeaderValue};

use crate::lab::Installation;
use crate::load::{Feed, Requests, stuck_reader};
use crate::paired::Company;

/// The part of the log that an idle subscriber follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// A namespace in which nothing happens.
    QuietNamespace,
    /// The log that grows, with a filter that nothing passes.
    Filter,
}

/// Asks for the log in a format that is followed.
pub(super) fn follow(
    requests: &Requests,
    format: &'static str,
    query: &str,
) -> Request<Full<Bytes>> {
    let mut request = requests.get(&format!("/v1/events?follow=true{query}"));
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static(format));
    request
}

/// Opens subscriptions that get nothing but signs of life, and reads these.
///
/// # Errors
///
/// When one is refused, or does not reach the end of the log.
pub(super) async fn idle(host: &Installation, count: usize, idle: Idle) -> Result<Company> {
    let requests = host.requests();
    let open = async |query: &str| {
        let mut request = follow(&requests, "text/event-stream", query);
        if idle == Idle::QuietNamespace {
            let namespace = HeaderValue::from_static("quiet");
            request.headers_mut().insert("gavel-namespace", namespace);
        }
        let mut feed = Feed::open(requests.address(), request).await?;
        let end = feed.catch_up().await?;
        anyhow::Ok((feed, end))
    };
    // All but the first begin at the end: finding that nothing is there is not what is measured.
    let filter = "&event=Nothing";
    let (first, end) = open(filter).await?;
    let mut feeds = vec![first];
    while feeds.len() < count {
        feeds.push(open(&format!("{filter}&after={end}")).await?.0);
    }
    let mut company = Company::new();
    for feed in feeds {
        company.spawn_local(read_on(feed));
    }
    Ok(company)
}

/// Adds subscriptions that begin with the first event, and take nothing.
///
/// # Errors
///
/// When one is refused.
pub(super) async fn add_stuck(
    company: &mut Company,
    host: &Installation,
    count: usize,
) -> Result<()> {
    for _ in 0..count {
        let stuck = stuck_reader(host.server().address(), "/v1/events").await?;
        company.spawn_local(async move {
            // Whether the host has given it up cannot be told without reading.
            let _stuck = stuck;
            std::future::pending().await
        });
    }
    Ok(())
}

/// Returns only a failure.
async fn read_on(mut feed: Feed) -> Error {
    loop {
        if let Err(error) = feed.chunk().await {
            return error;
        }
    }
}
