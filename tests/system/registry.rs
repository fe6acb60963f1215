//! Modules from registries: a real one, real modules, and everything that can lie there instead.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    manifest::OciImageManifest,
    secrets::RegistryAuth,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::OnceCell,
};
use waxwing_log::jetstream::modules::{MAX_MODULE_BYTES, digest_of};

use crate::{
    app::{self, App, PATIENCE, module},
    debian::Package,
    deploys::{MANIFEST, inputs, ran, variant},
};

const REGISTRY: Package = Package { name: "docker-registry", file: "usr/bin/docker-registry" };

/// `ada:hush`, as the registry wants it.
const HTPASSWD: &str = "ada:$2b$05$abcdefghijklmnopqrstuulzd.YqjLDl8lvpSmVj3De/fioSBHnUa\n";

/// A registry, and what it keeps.
struct Registry {
    folder: TempDir,
    address: String,
    _child: Child,
}

impl Registry {
    async fn open() -> Registry {
        Registry::start("").await
    }

    /// One that asks who one is.
    async fn closed() -> Registry {
        Registry::start("auth:\n  htpasswd:\n    realm: here\n    path: htpasswd\n").await
    }

    async fn start(auth: &str) -> Registry {
        static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
        let install = || async { tokio::task::spawn_blocking(|| REGISTRY.installed()).await.unwrap() };
        let binary = BINARY.get_or_init(install).await;
        let folder = TempDir::new().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: store }} }}\n\
             http: {{ addr: '127.0.0.1:0', secret: test }}\n{auth}"
        );
        fs::write(folder.path().join("config.yml"), config).unwrap();
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let mut command = Command::new(binary);
        command.args(["serve", "config.yml"]).current_dir(folder.path()).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, at)) = line.split_once("listening on ") {
                    return at.split(['"', ' ', ',']).next().unwrap().to_owned();
                }
            }
            panic!("the registry has ended")
        };
        let address = tokio::time::timeout(PATIENCE, listening).await.unwrap();
        // Nobody reads on, and it must not wait for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Registry { folder, address, _child: child }
    }

    fn oci(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }

    /// Pushes whatever, as `waxwing push` would not.
    async fn push(
        &self,
        name: &str,
        config: &str,
        layers: &[ImageLayer],
        change: impl Fn(&mut OciImageManifest),
    ) {
        let client = Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
        let reference: Reference = format!("{}/{name}", self.address).parse().unwrap();
        let config = Config::new(b"{}".to_vec(), config.to_owned(), None);
        let mut manifest = OciImageManifest::build(layers, &config, None);
        change(&mut manifest);
        client.push(&reference, layers, config, &RegistryAuth::Anonymous, Some(manifest)).await.unwrap();
    }

    /// Where it keeps a blob.
    fn blob(&self, bytes: &[u8]) -> PathBuf {
        let hex = digest_of(bytes).hex();
        self.folder
            .path()
            .join("store/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(&hex)
            .join("data")
    }
}

/// What a command says, and whether it is content. It finds the credentials of this folder.
async fn told(app: &App, credentials: &Path, arguments: &[&str]) -> (bool, String) {
    let output = app.command(arguments).env("DOCKER_CONFIG", credentials).output().await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_pushed_and_deployed_from_there_and_its_tag_may_move() {
    let (app, registry) = (App::new(MANIFEST).await, Registry::open().await);
    let none = app.path().to_owned();
    let tag = registry.oci("shop/count:1.0");
    let push = async |module: &Path| {
        let (fine, said) = told(&app, &none, &["push", module.to_str().unwrap(), &tag, "-o", "json"]).await;
        assert!(fine, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["address"].as_str().unwrap().to_owned()
    };
    let (first, second) = (variant(&app, 1), variant(&app, 2));
    let pinned = push(&first).await;
    assert!(pinned.starts_with(&registry.oci("shop/count@sha256:")), "{pinned}");
    let _host = app.host().await;
    let (fine, said) = told(&app, &none, &["deploy", &format!("count={tag}")]).await;
    assert!(fine && said.contains(&pinned) && said.contains("version 1 runs"), "{said}");
    // The tag moves, and what was deployed by it does not; nor does the registry matter any more.
    assert_ne!(push(&second).await, pinned);
    let (fine, said) = told(&app, &none, &["deploy", &format!("count={pinned}")]).await;
    assert!(fine && said.contains("nothing to deploy"), "{said}");
    let (fine, said) = told(&app, &none, &["deploy", &format!("count={tag}")]).await;
    assert!(fine && said.contains("version 2 runs"), "{said}");
    let versions: Value = serde_json::from_str(&app.run(&["versions", "-o", "json"]).await).unwrap();
    assert_eq!(versions[0]["from"], pinned.as_str());
    assert_eq!(versions[0]["module"], digest_of(&fs::read(&first).unwrap()).to_string());
    assert_eq!(versions[1]["module"], digest_of(&fs::read(&second).unwrap()).to_string());
    let last = app.publish(&inputs(0, 10)).await;
    app.handled("count", last).await;
    assert_eq!(ran(&app::entries(&app.log().await).await).len(), 10);
    // In a manifest, too.
    let manifest = MANIFEST.replace("counter.wasm", &tag);
    fs::write(app.path().join("waxwing.toml"), manifest).unwrap();
    let (fine, said) = told(&app, &none, &["check"]).await;
    assert!(fine && said.contains(&registry.oci("shop/count@sha256:")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_module_or_another_or_too_large_is_refused() {
    // What the client does by itself in the program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (app, registry) = (App::new(MANIFEST).await, Registry::open().await);
    let (config, layer) = ("application/vnd.wasm.config.v0+json", "application/wasm");
    let bytes = fs::read(variant(&app, 1)).unwrap();
    let wasm = || ImageLayer::new(bytes.clone(), layer.to_owned(), None);
    let same = |_: &mut OciImageManifest| {};
    registry.push("image:1", "application/vnd.oci.image.config.v1+json", &[wasm()], same).await;
    let archive = ImageLayer::oci_v1(b"no module".to_vec(), None);
    registry.push("archive:1", config, &[archive], same).await;
    let other = ImageLayer::new(b"another".to_vec(), layer.to_owned(), None);
    registry.push("two:1", config, &[wasm(), other], same).await;
    let size = i64::try_from(MAX_MODULE_BYTES).unwrap() + 1;
    registry.push("huge:1", config, &[wasm()], |manifest| manifest.layers[0].size = size).await;
    let junk = ImageLayer::new(b"junk".to_vec(), layer.to_owned(), None);
    registry.push("junk:1", config, &[junk], same).await;
    let exchanged = b"\0asm what it should be";
    let exchange = ImageLayer::new(exchanged.to_vec(), layer.to_owned(), None);
    registry.push("exchanged:1", config, &[exchange], same).await;
    fs::write(registry.blob(exchanged), b"\0asm what it shall be ").unwrap();
    let cases = [
        (
            "image:1",
            "is no WebAssembly module: its config is of the type application/vnd.oci.image.config.v1+json",
        ),
        ("archive:1", "its layer is of the type application/vnd.oci.image.layer.v1.tar"),
        ("two:1", "it has 2 layers, not one"),
        ("huge:1", "has 134217729 bytes or more: at most 134217728 are taken"),
        ("junk:1", "it is not WebAssembly"),
        ("exchanged:1", "has sent other bytes than those"),
        ("image:2", "is not there"),
        ("nowhere:1", "is not there"),
    ];
    for (name, expected) in cases {
        let (fine, said) =
            told(&app, app.path(), &["deploy", &format!("count={}", registry.oci(name))]).await;
        assert!(!fine && said.contains(expected), "{name}: {said}");
    }
    let nobody = "count=oci://127.0.0.1:1/nowhere:1";
    let (fine, said) = told(&app, app.path(), &["deploy", nobody]).await;
    assert!(!fine && said.contains("oci://127.0.0.1:1/nowhere:1: "), "{said}");
    let (fine, said) =
        told(&app, app.path(), &["push", module("no-handler").to_str().unwrap(), &registry.oci("a:1")]).await;
    assert!(!fine && said.contains("is no handler"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_asks_gets_the_credentials_of_docker_login() {
    let (app, registry) = (App::new(MANIFEST).await, Registry::closed().await);
    let credentials = app.path().join("docker");
    fs::create_dir(&credentials).unwrap();
    let (path, tag) = (variant(&app, 1), registry.oci("count:1"));
    let push = ["push", path.to_str().unwrap(), &tag];
    let sign_in = |pair: &str| {
        let auth = STANDARD.encode(pair);
        let config = serde_json::json!({ "auths": { registry.address.as_str(): { "auth": auth } } });
        fs::write(credentials.join("config.json"), config.to_string()).unwrap();
    };
    let refused = async || {
        let (fine, said) = told(&app, &credentials, &push).await;
        assert!(!fine && said.contains("the registry refuses") && said.contains("docker login"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    };
    refused().await;
    sign_in("ada:hush hush");
    refused().await;
    sign_in("ada:hush");
    let (fine, said) = told(&app, &credentials, &push).await;
    assert!(fine, "{said}");
    let (fine, said) = told(&app, &credentials, &["deploy", "--dry-run", &format!("count={tag}")]).await;
    assert!(fine && said.contains(&registry.oci("count@sha256:")), "{said}");
}
