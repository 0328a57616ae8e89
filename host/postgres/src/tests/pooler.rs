//! Poolers between a host and its server.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The code of the first message of a client that prefers encryption.
const ENCRYPTION: i32 = 80_877_103;

/// The response of a pooler to the settings that a session asks for at its start.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// The pooler refuses the settings with this message.
    Refused(&'static str),
    Ignored,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_refused_with_what_to_do() {
    on_new_database(async |database: PostgresDatabase| {
        for (asked, setting) in [
            (Asked::Refused("unsupported startup parameter: options"), "options"),
            (
                Asked::Refused("unsupported startup parameter in options: lock_timeout"),
                "lock_timeout",
            ),
            (Asked::Ignored, "statement_timeout"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut options = database.options();
            let mut url = database.server.to_url_lossy();
            url.set_path(&database.name);
            url.set_ip_host([127, 0, 0, 1].into()).unwrap();
            let port = listener.local_addr().unwrap().port();
            url.set_port(Some(port)).unwrap();
            options.url = url.into();
            let server = (database.server.get_host().to_owned(), database.server.get_port());
            let pooler = tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(pool(client, server.clone(), asked));
                }
            });
            let error = PostgresStore::open(options).await.unwrap_err();
            pooler.abort();
            assert!(
                matches!(&error, OpenError::SettingIgnored { setting: ignored } if ignored == setting),
                "{error:?}"
            );
        }
    })
    .await;
}

/// Passes on what a client says, but for what it asks for at its start, until it prepares a
/// statement: no pooler that gives a session of the server to many clients in turn can keep these
/// apart.
async fn pool(mut client: TcpStream, server: (String, u16), asked: Asked) -> io::Result<()> {
    let mut startup = message(&mut client).await?;
    if startup == ENCRYPTION.to_be_bytes() {
        client.write_all(b"N").await?;
        startup = message(&mut client).await?;
    }
    if let Asked::Refused(message) = asked {
        let fields = format!("SFATAL\0VFATAL\0C08P01\0M{message}\0\0");
        client.write_all(b"E").await?;
        return send(&mut client, fields.as_bytes()).await;
    }
    let (version, given) = startup.split_at(4);
    let given: Vec<_> = given.split(|byte| *byte == 0).collect();
    let named = given.chunks_exact(2).take_while(|pair| !pair[0].is_empty());
    let mut passed = version.to_vec();
    for pair in named.filter(|pair| pair[0] != b"options") {
        for text in pair {
            passed.extend_from_slice(text);
            passed.push(0);
        }
    }
    passed.push(0);
    let mut server = TcpStream::connect(server).await?;
    send(&mut server, &passed).await?;

    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    loop {
        let kind = from_client.read_u8().await?;
        if kind == b'P' {
            return Ok(());
        }
        let body = message(&mut from_client).await?;
        to_server.write_u8(kind).await?;
        send(&mut to_server, &body).await?;
    }
}

/// Reads a message without its length.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_i32().await?;
    let mut body = vec![0; usize::try_from(length - 4).unwrap()];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    to.write_i32(i32::try_from(body.len() + 4).unwrap()).await?;
    to.write_all(body).await
}
