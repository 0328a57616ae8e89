//! Twin: UmaDB, a store with a server of its own, which this program starts as a child. The
//! database URL is not used.
//!
//! Each command reads the events of its account, decides, and appends on the condition that there
//! is no newer event of the account.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use twin::{Account, Accounts, Arguments, Command, Error, Event, Refusal, Stored};
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{
    DcbAppendCondition, DcbError, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem,
};
use umadb_server::{ServerOptions, start_server_with_options};

/// The first argument of the child, which is this program again.
const SERVER: &str = "server";

struct Umadb {
    client: AsyncUmaDbClient,
    _server: Server,
}

impl Accounts for Umadb {
    async fn attempt(&self, id: &str, command: &Command) -> Result<Stored, Refusal> {
        let tag = format!("account:{id}");
        let boundary = DcbQuery::new().item(DcbQueryItem::new().tags([tag.as_str()]));
        let mut found = self
            .client
            .read(Some(boundary.clone()), None, false, None)
            .await?;
        let (mut account, mut version) = (Account::default(), 0);
        while let Some(event) = found.next().await {
            account.evolve(&serde_json::from_slice::<Event>(&event?.event.data)?);
            version += 1;
        }
        let newest = found.head().await?;
        let event = account
            .decide(command)
            .map_err(|code| Refusal::Rejected(code.to_owned()))?;
        let record = DcbEvent::default()
            .event_type(event.name())
            .tags([tag.as_str()])
            .data(serde_json::to_vec(&event)?)
            .uuid(uuid::Uuid::new_v4());
        let condition = DcbAppendCondition::new(boundary).after(newest);
        match self
            .client
            .append(vec![record], Some(condition), None)
            .await
        {
            Ok(_) => Ok(Stored {
                version: Some(version + 1),
                event: Some(event),
            }),
            Err(DcbError::IntegrityError(_)) => Err(Refusal::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}

/// The server of UmaDB. It ends when its standard input is closed, so it cannot outlive this
/// program.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Error> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match words.as_slice() {
        [role, address, cache_mb] if role == SERVER => {
            runtime.block_on(run_server(address, cache_mb.parse()?))
        }
        _ => runtime.block_on(run_twin()),
    }
}

async fn run_server(address: &str, cache_mb: usize) -> Result<(), Error> {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = stop.send(());
    });
    let mut options = ServerOptions {
        listen_addr: address.to_owned(),
        tls: None,
        api_key: None,
        storage: Default::default(),
    };
    options.storage = options
        .storage
        .db_path("umadb.db")
        .page_cache_max_mb(cache_mb);
    start_server_with_options(options, stopped)
        .await
        .map_err(|error| error.to_string().into())
}

async fn run_twin() -> Result<(), Error> {
    let arguments = Arguments::parse()?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let server = Process::new(std::env::current_exe()?)
        .args([
            SERVER,
            &address.to_string(),
            &arguments.pick(0, 256).to_string(),
        ])
        .stdin(Stdio::piped())
        .spawn()?;
    let server = Server(server);
    let client = UmaDbClient::new(format!("http://{address}"));
    let mut attempts = 0;
    let client = loop {
        match client.connect_async().await {
            Ok(client) => break client,
            Err(error) if attempts == 200 => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        attempts += 1;
    };
    let umadb = Umadb {
        client,
        _server: server,
    };
    twin::serve(arguments.address, umadb).await
}
