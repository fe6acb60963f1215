//! Pulling and pushing: one manifest, its config, and one layer, which is the module.

use std::{env, time::Duration};

use futures::StreamExt;
use jiff::Timestamp;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer, SizedStream},
    errors::{OciDistributionError, OciErrorCode},
    manifest::{OciDescriptor, OciImageManifest, OciManifest},
};
use serde_json::json;
use waxwing_event::Digest;
use waxwing_log::jetstream::modules::{MAX_MODULE_BYTES, digest_of};

use super::{Address, Pulled, RegistryError, credentials};
use crate::tls;

/// The media type of the config.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The media type of the module.
const LAYER: &str = "application/wasm";

/// Registries that are spoken to without TLS beside those on this machine, commas between them.
const PLAIN: &str = "WAXWING_OCI_PLAIN_HTTP";

/// How long a connection may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);

/// How long a registry may be silent.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// Pulls a module. A tag stands for what it names at this moment; the result says which that is.
pub async fn pull(address: &Address) -> Result<Pulled, RegistryError> {
    let (client, reference) = (client(address), reference(address));
    let auth = credentials::find(address)?;
    let failed = |error| explained(address, error);
    let (manifest, digest) = client.pull_manifest(&reference, &auth).await.map_err(failed)?;
    let layer = layer(address, &manifest)?;
    let SizedStream { mut stream, .. } = client.pull_blob_stream(&reference, layer).await.map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        // What it says of the digest comes as an error of the stream's end.
        let chunk = chunk.map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<oci_client::errors::DigestError>() => {
                RegistryError::OtherBytes(address.clone())
            }
            _ => RegistryError::Failed { address: address.clone(), why: error.to_string() },
        })?;
        bytes.extend_from_slice(&chunk);
        within(address, bytes.len() as u64)?;
    }
    if digest_of(&bytes).to_string() != layer.digest {
        return Err(RegistryError::OtherBytes(address.clone()));
    }
    let digest =
        digest.parse::<Digest>().map_err(|_| not_wasm(address, "its manifest has no SHA-256 digest"))?;
    Ok(Pulled { address: address.pinned(digest), bytes: bytes.into() })
}

/// Pushes a module, which is a component of the contract; gives its address by digest.
pub async fn push(address: &Address, module: &[u8]) -> Result<Address, RegistryError> {
    let (client, reference) = (client(address), reference(address));
    let auth = credentials::find(address)?;
    let layer = ImageLayer::new(module.to_vec(), LAYER.to_owned(), None);
    let config = Config::new(described(module), CONFIG.to_owned(), None);
    let manifest = OciImageManifest::build(std::slice::from_ref(&layer), &config, None);
    let failed = |error| explained(address, error);
    client.push(&reference, &[layer], config, &auth, Some(manifest)).await.map_err(failed)?;
    let digest = client.fetch_manifest_digest(&reference, &auth).await.map_err(failed)?;
    let digest = digest.parse().map_err(|_| not_wasm(address, "its manifest has no SHA-256 digest"))?;
    Ok(address.pinned(digest))
}

/// The config of an artefact, as the guidance for WebAssembly in OCI has it.
fn described(module: &[u8]) -> Vec<u8> {
    let contract = waxwing_sandbox::check(module).ok();
    let (imports, exports) =
        contract.map(|contract| (contract.imports, vec![contract.handler])).unwrap_or_default();
    let config = json!({
        "created": Timestamp::now().to_string(),
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest_of(module).to_string()],
        "component": { "exports": exports, "imports": imports },
    });
    config.to_string().into_bytes()
}

fn client(address: &Address) -> Client {
    tls::begin();
    let plain = env::var(PLAIN).unwrap_or_default();
    let is_plain =
        address.is_local() || plain.split(',').any(|registry| registry.trim() == address.registry());
    let protocol = if is_plain { ClientProtocol::Http } else { ClientProtocol::Https };
    Client::new(ClientConfig {
        protocol,
        // A list of artefacts for several machines is none of a module.
        platform_resolver: None,
        connect_timeout: Some(CONNECTED_WITHIN),
        read_timeout: Some(SILENT_FOR),
        user_agent: concat!("waxwing/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

fn reference(address: &Address) -> Reference {
    let (registry, repository) = (address.registry().to_owned(), address.repository().to_owned());
    match (address.tag(), address.digest()) {
        (Some(tag), _) => Reference::with_tag(registry, repository, tag.to_owned()),
        (None, digest) => {
            Reference::with_digest(registry, repository, digest.map(|d| d.to_string()).unwrap_or_default())
        }
    }
}

/// The one layer that is a module.
fn layer<'m>(address: &Address, manifest: &'m OciManifest) -> Result<&'m OciDescriptor, RegistryError> {
    let OciManifest::Image(manifest) = manifest else {
        return Err(not_wasm(address, "it is a list of artefacts"));
    };
    let kind = &manifest.config.media_type;
    if kind != CONFIG {
        return Err(not_wasm(address, &format!("its config is of the type {kind}, not {CONFIG}")));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(not_wasm(address, &format!("it has {} layers, not one", manifest.layers.len())));
    };
    if layer.media_type != LAYER {
        return Err(not_wasm(
            address,
            &format!("its layer is of the type {}, not {LAYER}", layer.media_type),
        ));
    }
    within(address, u64::try_from(layer.size).unwrap_or_default())?;
    Ok(layer)
}

fn within(address: &Address, bytes: u64) -> Result<(), RegistryError> {
    if bytes <= MAX_MODULE_BYTES {
        return Ok(());
    }
    Err(RegistryError::TooLarge { address: address.clone(), bytes, most: MAX_MODULE_BYTES })
}

fn not_wasm(address: &Address, why: &str) -> RegistryError {
    RegistryError::NotWasm { address: address.clone(), why: why.to_owned() }
}

/// What the client's errors mean.
fn explained(address: &Address, error: OciDistributionError) -> RegistryError {
    use OciDistributionError as Error;
    let address = address.clone();
    let said = |codes: &[OciErrorCode]| match &error {
        Error::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| codes.contains(&error.code))
        }
        _ => false,
    };
    let not_there = [
        OciErrorCode::ManifestUnknown,
        OciErrorCode::NameUnknown,
        OciErrorCode::NotFound,
        OciErrorCode::BlobUnknown,
    ];
    let refused = [OciErrorCode::Unauthorized, OciErrorCode::Denied];
    match &error {
        Error::ImageManifestNotFoundError(_) | Error::ServerError { code: 404, .. } => {
            RegistryError::NotFound(address)
        }
        Error::UnauthorizedError { .. }
        | Error::AuthenticationFailure(_)
        | Error::ServerError { code: 401 | 403, .. } => RegistryError::Refused(address),
        Error::DigestError(_) => RegistryError::OtherBytes(address),
        Error::ManifestParsingError(why) | Error::VersionedParsingError(why) => {
            RegistryError::NotWasm { address, why: why.clone() }
        }
        Error::ImageIndexParsingNoPlatformResolverError
        | Error::UnsupportedMediaTypeError(_)
        | Error::UnsupportedSchemaVersionError(_) => {
            RegistryError::NotWasm { address, why: error.to_string() }
        }
        _ if said(&not_there) => RegistryError::NotFound(address),
        _ if said(&refused) => RegistryError::Refused(address),
        _ => RegistryError::Failed { address, why: chain(&error) },
    }
}

/// An error with its causes: that of a connection alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
