//! Signatures: a host that requires them runs nothing else, whoever may write the log.

use std::{fs, path::PathBuf};

use nkeys::KeyPair;
use serde_json::{Value, json};
use waxwing::{
    deploy::{
        deployed::{self, decision},
        written::{self, Fate, Wanted},
    },
    signature::{Claim, Signer},
};
use waxwing_engine::entry::version::{Signature, Version, VersionNumber};
use waxwing_event::{AppName, HandlerName};
use waxwing_log::{JetStreamLog, jetstream::Storage, jetstream::modules::digest_of};

use crate::{
    app::{App, HostProcess, PATIENCE},
    deploys::{MANIFEST, count, deploy, deployed, inputs, store, variant},
};

/// The variable by which a host requires signatures.
const REQUIRED: &str = "WAXWING_HOST_REQUIRE_SIGNATURE";

/// A key, its seed in a file of the app's folder.
struct Key {
    public: String,
    file: PathBuf,
    signer: Signer,
}

impl Key {
    fn new(app: &App, name: &str) -> Key {
        let pair = KeyPair::new_user();
        let file = app.path().join(name);
        fs::write(&file, format!("{}\n", pair.seed().unwrap())).unwrap();
        Key { public: pair.public_key(), signer: Signer::of_file(&file).unwrap(), file }
    }

    fn sign(&self) -> String {
        format!("--sign={}", self.file.display())
    }
}

async fn demanding(app: &App, arguments: &[&str], key: &Key) -> HostProcess {
    let mut host = app.launch_with(arguments, &[(REQUIRED, &key.public)]);
    host.ready().await;
    host
}

async fn version(app: &App, log: &JetStreamLog, number: u32) -> Version {
    deployed::version(log, &app.layout, &count(), VersionNumber(number)).await.unwrap()
}

/// Writes to the log what the command line would not, and expects that the host declines it.
async fn is_declined(app: &App, log: &JetStreamLog, version: &Version, signatures: Vec<Signature>) -> String {
    let wanted = Wanted {
        handler: count(),
        module: version.module,
        bytes: version.bytes,
        imports: version.imports.clone(),
        manifest: version.manifest.clone(),
        from: "test".into(),
        signatures,
        replaces: decision(log, &app.layout, &count()).await.unwrap(),
    };
    let decisions = written::deploy(log, &app.layout, &[wanted], "test").await.unwrap();
    let fate = written::fate(log, &app.layout, &decisions[0], PATIENCE).await.unwrap();
    let Fate::Declined(declined) = fate else { panic!("{fate:?}") };
    assert_eq!(declined.instead, Some(VersionNumber(1)));
    let back = written::take_back(log, &app.layout, &decisions[0], &declined, "test").await.unwrap();
    assert_eq!(back.deployment.version, Some(VersionNumber(1)));
    declined.why
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_as_a_host_requires_never_replaces_what_runs() {
    let app = App::new(MANIFEST).await;
    let (ours, theirs) = (Key::new(&app, "ours.nk"), Key::new(&app, "theirs.nk"));
    let host = demanding(&app, &[], &ours).await;
    let said = deployed(&app, &[&ours.sign()]).await;
    assert!(
        said.contains(&format!("signed by {}", ours.public)) && said.contains("version 1 runs"),
        "{said}"
    );
    let log = app.log().await;

    // By the command line: without a signature, and by another key.
    let other = format!("count={}", variant(&app, 1).display());
    for (arguments, expected) in [
        (vec![other.as_str()], "is not signed"),
        (vec![&other, &theirs.sign()], "of whom this host requires none"),
    ] {
        let (fine, said, error) = deploy(&app, &arguments).await;
        assert!(!fine && said.contains(expected), "{said}{error}");
        assert!(said.contains("version 1 goes on"), "{said}");
    }

    // Past it, as somebody would who may write the log: signatures over something else, and no signatures.
    let first = version(&app, &log, 1).await;
    let good = first.signatures[0].clone();
    let bytes = fs::read(variant(&app, 2)).unwrap();
    store(&app).put(digest_of(&bytes), &bytes, (Storage::File, 1)).await.unwrap();
    let second = Version { module: digest_of(&bytes), ..first.clone() };
    let mut wider = second.clone();
    wider.manifest["grants"]["http"] = json!(["https://elsewhere.example"]);
    let app_name = app.layout.app();
    let (other_app, other_handler): (AppName, HandlerName) =
        ("staging".parse().unwrap(), "sum".parse().unwrap());
    let handler = count();
    let claim = Claim::of(app_name, &handler, &second);
    let sign = |claim: Claim<'_>| ours.signer.sign(&claim).unwrap();
    let mut tampered = sign(claim);
    let swapped = if tampered.signature.starts_with('A') { "B" } else { "A" };
    tampered.signature.replace_range(..1, swapped);
    let borrowed = Signature { key: ours.public.clone(), ..theirs.signer.sign(&claim).unwrap() };
    let cases = [
        ("no signature", &second, vec![]),
        ("another module's", &second, vec![good]),
        ("another app's", &second, vec![sign(Claim { app: &other_app, ..claim })]),
        ("another handler's", &second, vec![sign(Claim { handler: &other_handler, ..claim })]),
        ("a narrower manifest's", &wider, vec![sign(claim)]),
        ("tampered with", &second, vec![tampered]),
        ("by another key, under this one's name", &second, vec![borrowed]),
        ("nonsense", &second, vec![Signature { key: "U".into(), signature: "?".into() }]),
        ("by another key", &second, vec![theirs.signer.sign(&claim).unwrap()]),
    ];
    let mut handled = 0;
    for (what, version, signatures) in cases {
        let expected = match (what, signatures.len()) {
            (_, 0) => "is not signed",
            ("by another key", _) => "of whom this host requires none",
            _ => "its signature is not good",
        };
        let why = is_declined(&app, &log, version, signatures).await;
        assert!(why.contains(expected), "{what}: {why}");
        let last = app.publish(&inputs(handled, 1)).await;
        app.handled("count", last).await;
        handled += 1;
    }

    // And nobody takes this one back: hosts that start anew, with the manifest and without, run the version before.
    let replaces = decision(&log, &app.layout, &count()).await.unwrap();
    let (deployment, at) = replaces.unwrap();
    let unsigned = (Some(VersionNumber(2)), waxwing_engine::entry::deploy::Reason::RolledBack);
    let changed = (&handler, &deployment, at);
    written::change(&log, &app.layout, changed, unsigned, "test").await.unwrap();
    assert!(host.stop().await);
    for arguments in [&[][..], &["--app", "moving"]] {
        let host = demanding(&app, arguments, &ours).await;
        let last = app.publish(&inputs(handled, 1)).await;
        app.handled("count", last).await;
        handled += 1;
        assert!(host.stop().await);
    }
    let ran = crate::deploys::ran(&crate::app::entries(&log).await);
    assert_eq!(ran.len() as u64, handled);
    assert!(ran.values().all(|version| *version == Some(VersionNumber(1))), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_version_is_shown_and_keeps_its_signature_when_somebody_goes_back_to_it() {
    let app = App::new(MANIFEST).await;
    let (ours, second) = (Key::new(&app, "ours.nk"), Key::new(&app, "second.nk"));
    let _host = demanding(&app, &[], &ours).await;
    // What runs unsigned elsewhere is deployed again when it is signed, by a variable for where there are no files.
    assert!(!deploy(&app, &[]).await.0);
    let seed = fs::read_to_string(&ours.file).unwrap();
    let by_variable = async |arguments: &[&str]| {
        let output = app.command(arguments).env("WAXWING_SIGN_SEED", seed.trim()).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}\n{}", app.host_log());
        said
    };
    let said = by_variable(&["deploy", &second.sign()]).await;
    assert!(said.contains("version 2 runs") && said.contains(&second.public), "{said}");
    assert!(by_variable(&["deploy"]).await.contains("nothing to deploy"));
    let path = variant(&app, 1);
    assert!(by_variable(&["deploy", &format!("count={}", path.display())]).await.contains("version 3 runs"));
    assert!(app.run(&["rollback", "count"]).await.contains("version 2 runs"));
    let said: Value = serde_json::from_str(&app.run(&["versions", "-o", "json"]).await).unwrap();
    assert_eq!(said[0]["signatures"], Value::Null);
    let mut both =
        vec![json!({ "key": ours.public, "good": true }), json!({ "key": second.public, "good": true })];
    both.sort_by_key(|signed| signed["key"].to_string());
    assert_eq!(said[1]["signatures"], json!(both));
    assert!(app.run(&["versions"]).await.contains(&ours.public[..8]));
    // Going back to what is not signed is declined, as deploying it was.
    let output = app.command(&["rollback", "count", "--to", "1"]).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("is not signed"), "{said}");
    assert!(said.contains("version 2 goes on"), "{said}");
    // Nothing of the seed stands anywhere.
    let entries = crate::app::entries(&app.log().await).await;
    let holds =
        |bytes: &[u8]| bytes.windows(seed.trim().len()).any(|window| window == seed.trim().as_bytes());
    assert!(!entries.iter().any(|entry| holds(&entry.payload)) && !holds(app.host_log().as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_that_is_none_is_refused_before_anything_is_read_or_shown() {
    let app = App::new(MANIFEST).await;
    let public = app.path().join("public.nk");
    fs::write(&public, KeyPair::new_user().public_key()).unwrap();
    for (file, expected) in
        [(public, "there is no nkey seed in"), (app.path().join("nowhere"), "cannot be read")]
    {
        let (fine, _, error) = deploy(&app, &["--sign", &file.display().to_string()]).await;
        assert!(!fine && error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_signs_what_it_deploys_and_switches_to_nothing_that_hosts_would_decline() {
    let app = App::new(MANIFEST).await;
    let ours = Key::new(&app, "ours.nk");
    let _host = demanding(&app, &[], &ours).await;
    deployed(&app, &[&ours.sign()]).await;
    let last = app.publish(&inputs(0, 20)).await;
    app.handled("count", last).await;
    fs::copy(variant(&app, 1), app.path().join("counter.wasm")).unwrap();
    let rebuild = async |arguments: &[&str]| {
        let arguments = [&["rebuild", "count"], arguments].concat();
        let output = app.command(&arguments).env(REQUIRED, &ours.public).output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };
    let (fine, said) = rebuild(&[]).await;
    assert!(!fine && said.contains("not switched") && said.contains("is not signed"), "{said}");
    let (fine, said) = rebuild(&[&ours.sign()]).await;
    assert!(fine, "{said}\n{}", app.host_log());
    let taken_up = async {
        loop {
            let said: Value = serde_json::from_str(&app.run(&["versions", "-o", "json"]).await).unwrap();
            if said[1]["runs"].is_object() {
                return said;
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, taken_up).await.unwrap();
    assert_eq!(said[1]["signatures"], json!([{ "key": ours.public, "good": true }]));
    assert_eq!(said[1]["deployed"], true);
}
