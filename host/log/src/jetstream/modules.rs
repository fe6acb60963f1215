//! The app's modules: an object store of JetStream (ADR-20), one object a module, named by its digest.
//!
//! The bucket `wx-<app>-modules` is made when the first module is stored. Its stream compresses what it keeps.

use std::io::Cursor;

use async_nats::jetstream::{
    self as client,
    object_store::{Config, GetErrorKind, InfoErrorKind, ObjectStore},
    stream::StorageType,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;
use waxwing_event::Digest;

use super::{
    Link, Server,
    connect::{ConnectError, connect},
    options::Storage,
};

/// The largest module that is stored or loaded from a store.
pub const MAX_MODULE_BYTES: u64 = 128 << 20;

/// Why the store of an app's modules did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// NATS cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no such module.
    #[error("the store `{bucket}` has no module {digest}: it was removed, or never deployed")]
    Missing {
        /// The store.
        bucket: String,
        /// The module.
        digest: Digest,
    },
    /// What is stored is not what its name says.
    #[error(
        "the store `{bucket}` has other bytes under {digest}: somebody has written to it; deploy the module again"
    )]
    Forged {
        /// The store.
        bucket: String,
        /// The module.
        digest: Digest,
    },
    /// More than is ever loaded.
    #[error("the module {digest} has {bytes} bytes: at most {MAX_MODULE_BYTES} are taken")]
    TooLarge {
        /// The module.
        digest: Digest,
        /// Its size.
        bytes: u64,
    },
    /// The store cannot be reached or refuses.
    #[error("the store `{bucket}` cannot be used: {why}")]
    Store {
        /// The store.
        bucket: String,
        /// What it said.
        why: String,
    },
}

/// A module in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredModule {
    /// Which.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// The modules of an app.
#[derive(Debug, Clone)]
pub struct ModuleStore {
    server: Server,
    bucket: String,
}

impl ModuleStore {
    /// The store with this bucket; nothing is connected or made yet.
    pub fn new(server: Server, bucket: String) -> ModuleStore {
        ModuleStore { server, bucket }
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Stores a module under its digest, in a bucket made as the log is where there is none; false where it was there.
    pub async fn put(
        &self,
        digest: Digest,
        module: &[u8],
        (storage, replicas): (Storage, usize),
    ) -> Result<bool, ModuleError> {
        let bytes = module.len() as u64;
        if bytes > MAX_MODULE_BYTES {
            return Err(ModuleError::TooLarge { digest, bytes });
        }
        let link = self.connect().await?;
        let context = client::new(link.client().clone());
        let store = match context.get_object_store(&self.bucket).await {
            Ok(store) => store,
            Err(_) => context
                .create_object_store(self.config(storage, replicas))
                .await
                .map_err(|e| self.failed(e))?,
        };
        if self.is_there(&store, digest).await? {
            return Ok(false);
        }
        let name = digest.to_string();
        store.put(name.as_str(), &mut Cursor::new(module)).await.map_err(|error| self.failed(error))?;
        Ok(true)
    }

    /// A module, whose digest was checked.
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, ModuleError> {
        let link = self.connect().await?;
        let store = self.open(&link).await?;
        self.read(&store, digest).await
    }

    /// True where the store says that it has a module. (Whoever reads it checks it.)
    async fn is_there(&self, store: &ObjectStore, digest: Digest) -> Result<bool, ModuleError> {
        match store.info(&digest.to_string()).await {
            Ok(found) => Ok(!found.deleted && found.digest == Some(written(digest))),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// All modules, by digest; none where nothing was ever stored.
    pub async fn list(&self) -> Result<Vec<StoredModule>, ModuleError> {
        let link = self.connect().await?;
        let Ok(store) = client::new(link.client().clone()).get_object_store(&self.bucket).await else {
            return Ok(Vec::new());
        };
        let listed = store.list().await.map_err(|error| self.failed(error))?;
        let objects: Vec<_> = listed.try_collect().await.map_err(|error| self.failed(error))?;
        let modules = objects.iter().filter(|object| !object.deleted).filter_map(|object| {
            Some(StoredModule { digest: object.name.parse().ok()?, bytes: object.size as u64 })
        });
        let mut modules: Vec<StoredModule> = modules.collect();
        modules.sort_by_key(|module| module.digest.0);
        Ok(modules)
    }

    /// Removes a module; one that is not there is no error.
    pub async fn remove(&self, digest: Digest) -> Result<(), ModuleError> {
        let link = self.connect().await?;
        let store = self.open(&link).await?;
        let name = digest.to_string();
        match store.info(&name).await {
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed(error)),
            Ok(_) => store.delete(&name).await.map_err(|error| self.failed(error)),
        }
    }

    async fn read(&self, store: &ObjectStore, digest: Digest) -> Result<Vec<u8>, ModuleError> {
        let bucket = self.bucket.clone();
        let mut object = match store.get(digest.to_string()).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => {
                return Err(ModuleError::Missing { bucket, digest });
            }
            Err(error) => return Err(self.failed(error)),
        };
        let bytes = object.info().size as u64;
        if bytes > MAX_MODULE_BYTES {
            return Err(ModuleError::TooLarge { digest, bytes });
        }
        let mut module = Vec::new();
        // Also where the store lies about the size.
        let mut bounded = (&mut object).take(MAX_MODULE_BYTES);
        match bounded.read_to_end(&mut module).await {
            Ok(_) if digest_of(&module) == digest => Ok(module),
            Ok(_) => Err(ModuleError::Forged { bucket, digest }),
            // The client's own check of what it has read.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(ModuleError::Forged { bucket, digest })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn connect(&self) -> Result<Link, ModuleError> {
        Ok(connect(&self.server, "modules").await?)
    }

    async fn open(&self, link: &Link) -> Result<ObjectStore, ModuleError> {
        let store = client::new(link.client().clone()).get_object_store(&self.bucket).await;
        store.map_err(|error| self.failed(error))
    }

    fn config(&self, storage: Storage, replicas: usize) -> Config {
        Config {
            bucket: self.bucket.clone(),
            description: Some("Waxwing: the modules of an app, by digest".to_owned()),
            storage: match storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            num_replicas: replicas,
            compression: true,
            ..Config::default()
        }
    }

    fn failed(&self, error: impl std::error::Error) -> ModuleError {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        ModuleError::Store { bucket: self.bucket.clone(), why }
    }
}

/// A digest as object stores write it (ADR-20).
fn written(digest: Digest) -> String {
    format!("SHA-256={}", URL_SAFE.encode(digest.0))
}

/// What a module is called.
pub fn digest_of(module: &[u8]) -> Digest {
    Digest(Sha256::digest(module).into())
}
