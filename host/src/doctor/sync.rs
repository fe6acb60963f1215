//! Finds how soon servers put on disk what they acknowledge. JetStream's API does not tell; a server's variables do,
//! to the system account and at its monitoring address.

use std::time::Duration;

use async_nats::Client;
use futures::StreamExt as _;
use serde::Deserialize;

use super::{
    found::{ServerSync, Sync},
    monitor,
};

/// Where servers tell their variables to the system account.
const ASK: &str = "$SYS.REQ.SERVER.PING.VARZ";

/// How long to wait for the next server's answer: how many there are is not known.
const SILENCE: Duration = Duration::from_millis(500);

/// Variables of a server, as far as they matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Variables {
    server_id: String,
    #[serde(default)]
    server_name: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Debug, Default, Deserialize)]
struct JetStream {
    #[serde(default)]
    config: Option<JetStreamConfig>,
}

#[derive(Debug, Deserialize)]
struct JetStreamConfig {
    /// Nanoseconds.
    #[serde(default)]
    sync_interval: u64,
    #[serde(default)]
    sync_always: bool,
}

#[derive(Deserialize)]
struct Answer {
    data: Variables,
}

impl Variables {
    fn sync(self) -> Option<ServerSync> {
        let config = self.jetstream.config?;
        let interval = (!config.sync_always).then(|| Duration::from_nanos(config.sync_interval));
        Some(ServerSync { name: self.server_name, interval })
    }
}

/// What the servers answer to this connection, which must be one of the system account.
pub async fn of_system(client: &Client) -> anyhow::Result<Sync> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(ASK, inbox, "".into()).await?;
    let mut seen = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout(SILENCE, answers.next()).await {
        // Where nobody answers, the server says so with a message without data.
        let Ok(answer) = serde_json::from_slice::<Answer>(&answer.payload) else { break };
        seen.extend(answer.data.sync());
    }
    Ok(collected(seen))
}

/// What servers tell at these monitoring addresses.
pub async fn of_monitors(urls: &[String], timeout: Duration) -> anyhow::Result<Sync> {
    let mut seen = Vec::new();
    for url in urls {
        let variables: Variables = monitor::variables(url, timeout).await?;
        seen.extend(variables.sync());
    }
    Ok(collected(seen))
}

/// What the server with this id tells where a server usually does, if it does.
pub async fn of_usual_monitor(server_url: &str, server_id: &str, timeout: Duration) -> Sync {
    let Some(url) = monitor::usual(server_url) else { return Sync::Unseen };
    match monitor::variables::<Variables>(&url, timeout).await {
        Ok(variables) if variables.server_id == server_id => collected(variables.sync()),
        _ => Sync::Unseen,
    }
}

fn collected(seen: impl IntoIterator<Item = ServerSync>) -> Sync {
    let mut seen: Vec<ServerSync> = seen.into_iter().collect();
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    if seen.is_empty() { Sync::Unseen } else { Sync::Seen(seen) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sync(jetstream: serde_json::Value) -> Option<ServerSync> {
        let variables = json!({ "server_id": "N1", "server_name": "n1", "jetstream": jetstream });
        serde_json::from_value::<Variables>(variables).unwrap().sync()
    }

    #[test]
    fn reads_what_a_server_tells() {
        let named = |interval| Some(ServerSync { name: "n1".to_owned(), interval });
        let always = json!({ "config": { "sync_interval": 120_000_000_000_u64, "sync_always": true } });
        assert_eq!(sync(always), named(None));
        let lazy = json!({ "config": { "sync_interval": 120_000_000_000_u64 } });
        assert_eq!(sync(lazy), named(Some(Duration::from_secs(120))));
        assert_eq!(sync(json!({})), None);
    }
}
