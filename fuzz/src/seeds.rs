//! Inputs to begin with: well-formed ones, from which the fuzzer makes others.

use std::{fs, path::Path};

use crate::puppet::{self, order};

/// The folder into which seeds are written; none: nowhere.
const FOLDER: &str = "WAXWING_FUZZ_SEEDS";

/// Writes seeds where the environment says.
pub fn write(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    for (number, seed) in seeds().into_iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{number}"));
        fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Binary and structured mode, the plain envelope, a plain message, and attributes of every form.
pub fn event() -> Vec<Vec<u8>> {
    [
        "NATS/1.0\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-subject: Euro%20%E2%82%AC\r\n\
         ce-time: 2026-11-20T10:00:00Z\r\nce-region: \"north \\\"x\\\"\"\r\nce-correlationid: c\r\nCE-CausationId: d\r\n\
         ce-datacontenttype: application/json\r\nce-dataschema: urn:x\r\nce-traceparent: 00-1-2-01\r\n\r\n\
         {\"id\":7,\"order\":{\"id\":\"k\"}}",
        "NATS/1.0\r\nContent-Type: application/cloudevents+json\r\n\r\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\
         \"type\":\"t\",\"subject\":\"x\",\"time\":\"2026-11-20T10:00:00+01:00\",\"region\":true,\"sequence\":3,\
         \"correlationid\":\"c\",\"causationid\":null,\"data\":{\"order\":{\"id\":\"k\"}}}",
        "NATS/1.0\r\nContent-Type: application/cloudevents\r\n\r\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\
         \"type\":\"t\",\"datacontenttype\":\"text/plain\",\"data_base64\":\"aGVsbG8=\"}",
        "NATS/1.0\r\nNats-Msg-Id: 4711\r\nContent-Type: text/plain\r\n\r\nhello",
        "NATS/1.0 503\r\n folded\r\n\r\n",
        "\r\n\r\n{\"eventId\":\"1\",\"eventType\":\"t\",\"eventVersion\":2,\"timestamp\":\"2026-11-20T10:00:00Z\",\
         \"correlationId\":\"c\",\"causationId\":\"d\",\"producer\":\"p\",\"data\":{\"id\":\"k\"}}",
        "\r\n\r\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Patterns and subjects, names and places of keys.
pub fn subject() -> Vec<Vec<u8>> {
    [
        "a.*.c\na.>\na.b.c",
        "orders.>\norders.*\norders.placed",
        "basket-2_x\n>\na",
        "data.order.id\n*\n$JS.API",
        "subject.2\n*.b\na.b",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// The manifests of the tests, good and bad, and one with variables.
pub fn manifest() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/system/manifests");
    let files =
        fs::read_dir(folder).expect("the manifests of the tests").map(|file| file.expect("a file").path());
    let mut texts: Vec<Vec<u8>> = files
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| fs::read(path).expect("a file"))
        .collect();
    texts.sort();
    let with_variables = "[app]\nname = \"shop\"\nevents = [\"a.>\"]\n[handlers.one]\nmodule = \"one.wasm\"\non = \"a.b\"\n\
                          \0WAXWING_HANDLERS_ONE_CONCURRENCY=8\0WAXWING_APP_RETENTION=30d\0WAXWING_APP_EVENTS=[\"a.>\", \"b.>\"]";
    texts.push(with_variables.as_bytes().to_vec());
    texts
}

/// One of each of the host's entries.
pub fn entry() -> Vec<Vec<u8>> {
    let original = r#""handler":"basket","position":7,"subject":"orders.placed","eventId":"e1","key":"k","headers":[["a","b"]],"headersOmitted":true"#;
    let digest = format!("sha256:{}", "07".repeat(32));
    let time = "2026-11-20T10:00:00Z";
    let dead = format!(
        r#"{{{original},"kind":"trap","reason":"x","backtrace":"f","attempts":1,"module":"{digest}","time":"{time}","holdsKey":true}}"#
    );
    let failure = format!(r#"{{"attempt":1,"time":"{time}","kind":"retry","reason":"later"}}"#);
    let parked =
        format!(r#"{{{original},"attempts":1,"due":"{time}","since":"{time}","failures":[{failure}]}}"#);
    let checkpoint = format!(
        r#"{{"watermark":7,"handled":[9,11],"marksAfter":6,"origin":{{"stream":"ORDERS","made":"{time}"}}}}"#
    );
    [
        (0, "basket 0 17 2 12 13,15".to_owned()),
        (1, checkpoint),
        (2, r#"{"host":"host-1"}"#.to_owned()),
        (3, format!("{dead}\npayload")),
        (4, "basket/42 a@b.c".to_owned()),
        (4, "a=40b.c".to_owned()),
        (5, format!("{parked}\npayload")),
        (6, format!(r#"{{"since":"{time}","reason":"no database"}}"#)),
        (6, r#"{"upTo":7}"#.to_owned()),
        (7, "[[\"Content-Type\",\"text/plain\"]]\npayload".to_owned()),
        (8, "stream audit.orders\npayload".to_owned()),
    ]
    .into_iter()
    .map(|(kind, text)| [&[kind], text.as_bytes()].concat())
    .collect()
}

/// A whole component, and one of the core language.
pub fn module() -> Vec<Vec<u8>> {
    vec![puppet::component(), b"\0asm\x01\0\0\0".to_vec(), b"\0asm\x0d\0\x01\0".to_vec()]
}

/// Each order once, with arguments that are right.
pub fn guest() -> Vec<Vec<u8>> {
    // Behind the orders stand the texts that they name: `(1, n)` is the place n bytes into the data.
    const TEXTS: u16 = 200;
    let (none, text, free) = ((0, 0), (1, TEXTS), (2, 0));
    let mut emit = vec![text, (0, 5)];
    emit.extend([none; 16]);
    emit[16] = (1, TEXTS);
    emit[17] = (0, 5);
    let list = [
        order("emit", &emit),
        order("get", &[(1, TEXTS + 5), (0, 2), free]),
        order("get", &[(1, TEXTS + 15), (0, 5), free]),
        order("set", &[(1, TEXTS + 5), (0, 2), text, (0, 5), free]),
        order("delete", &[(1, TEXTS + 5), (0, 2), free]),
        order("keys", &[text, none, free]),
        order("setting", &[(1, TEXTS + 7), (0, 8), free]),
        order("settings", &[free]),
        order("log", &[(0, 2), text, (0, 5), none, none]),
        order("poke", &[free, (0, 7)]),
        order("grow", &[(0, 1)]),
        order("return", &[(0, 0x100)]),
        order("trap", &[]),
        order("emit-raw", &[free, free]),
        order("answer", &[(3, 1)]),
        order("is-asked", &[]),
        order("respond", &[text, (0, 5), none, none, none, none, none, free]),
        order("secret", &[(1, TEXTS + 20), (0, 4), free]),
    ];
    let seed = |orders: &[u8]| {
        // The run ends before it takes the texts for orders.
        let mut bytes = [orders, &order("return", &[(0, 0x100)])].concat();
        bytes.resize(usize::from(TEXTS), 0);
        bytes.extend(b"out.ak1currencylargehush");
        bytes
    };
    let kinds = list.iter().enumerate();
    kinds
        .map(|(number, orders)| {
            [&[u8::try_from(number % 2).unwrap_or_default()], seed(orders).as_slice()].concat()
        })
        .collect()
}
