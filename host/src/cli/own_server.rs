//! A NATS server of a command's own, which keeps its streams beside the manifest. One process at a time has it; what a
//! killed one has left running is stopped first, as two servers would spoil one store.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use cap_std::fs::{Dir, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::{
    nats::Target,
    nats_server::{self, NatsServer},
};

/// How long a server that was left behind may take to answer, and to end.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running server, and the right to its store.
pub(super) struct OwnServer {
    server: NatsServer,
    /// Its lock ends with the process, however that ends.
    file: File,
}

/// Which server runs on a store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    url: String,
    process: u32,
    /// The id that the server itself has chosen: no other process has it.
    id: String,
}

/// What becomes of what the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It is there again.
    Kept,
    /// It is removed.
    Removed,
}

impl OwnServer {
    /// Starts a server on `store` in the folder, which lies at `at`.
    pub(super) async fn start(
        program: &Path,
        (folder, at): (&Dir, &Path),
        store: &str,
        before: Before,
    ) -> Result<OwnServer> {
        let file = claim(folder, store)?;
        stop_left_behind(program, &file).await;
        if before == Before::Removed && folder.is_dir(store) {
            let removed = folder.remove_dir_all(store);
            removed.with_context(|| format!("what the last run has left in {store} cannot be removed"))?;
        }
        let made = folder.create_dir_all(store);
        made.with_context(|| format!("the folder {store} beside the manifest cannot be made"))?;
        let server = NatsServer::start(program, &at.join(store), None).await?;
        let mut own = OwnServer { server, file };
        own.note().await?;
        Ok(own)
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// Ends it in good order.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.server.stop().await?;
        Ok(self.file.set_len(0)?)
    }

    /// Notes which server runs, for whoever comes after a kill.
    async fn note(&mut self) -> Result<()> {
        let url = self.server.url();
        let link = Target::at(&url).connect("looking").await?;
        let id = link.client().server_info().server_id;
        let process = self.server.id().context("the server has ended")?;
        let record = serde_json::to_vec(&Record { url, process, id })?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file.write_all(&record)?)
    }
}

/// Takes the right to a store.
fn claim(folder: &Dir, store: &str) -> Result<File> {
    let name = format!("{store}.lock");
    if let Some(parent) = Path::new(store).parent() {
        folder.create_dir_all(parent)?;
    }
    let opened = folder.open_with(&name, OpenOptions::new().read(true).write(true).create(true));
    let file = opened.with_context(|| format!("{name} beside the manifest cannot be opened"))?.into_std();
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another process has the server of {store}: end that one, or name a server with --server")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{name} cannot be locked")),
    }
}

/// Stops the server that the file tells of, if it still runs.
async fn stop_left_behind(program: &Path, mut file: &File) {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let Ok(record) = read.map_err(drop).and_then(|_| serde_json::from_str::<Record>(&text).map_err(drop))
    else {
        return;
    };
    if !runs(&record).await {
        return;
    }
    nats_server::terminate(program, record.process).await;
    let ended = async {
        while runs(&record).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(ENDS_WITHIN, ended).await.is_err() {
        tracing::warn!(process = record.process, "a server that was left behind does not end");
    }
}

/// True where this very server answers.
async fn runs(record: &Record) -> bool {
    let target = Target { timeout: ANSWERS_WITHIN, ..Target::at(&record.url) };
    let link = target.connect("looking").await;
    link.is_ok_and(|link| link.client().server_info().server_id == record.id)
}
