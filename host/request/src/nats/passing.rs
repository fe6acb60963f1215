//! A message on its way from the host that got it to the one that owns its partition.
//!
//! It keeps its headers and payload; headers of our own say what it is, on which subject it came and who waits
//! for the answer. Its reply address is ours: the server uses it to tell that nobody listens.

use async_nats::HeaderMap;
use bytes::Bytes;
use waxwing_engine::{
    entry::Partition,
    port::requests::{Kind, Message},
};
use waxwing_event::{AppName, HandlerName, Headers, Subject};

use super::headers;

const KIND: &str = "wx-kind";
const SUBJECT: &str = "wx-subject";
const ADDRESS: &str = "wx-address";

const REQUEST: &str = "request";
const LIVE: &str = "live";

/// Where the owner of a partition listens: outside what any app's log keeps.
pub(super) fn subject(app: &AppName, handler: &HandlerName, partition: Partition) -> String {
    format!("wxr.{app}.{handler}.{}", partition.0)
}

/// A message ready to be sent.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// Where the server tells that nobody listens.
    pub(super) reply: String,
    /// Who waits for the answer.
    pub(super) address: Option<String>,
}

/// Makes a message ready for its way. `inbox` is where this host hears that nobody listens.
pub(super) fn write(message: Message, inbox: &str, handler: &HandlerName) -> Passing {
    let Message { kind, subject, headers, payload, sender } = message;
    let address = sender.map(|sender| sender.address().to_owned());
    let mut map = headers::to_nats(&headers);
    map.insert(KIND, if kind == Kind::Request { REQUEST } else { LIVE });
    map.insert(SUBJECT, subject.as_str());
    let returned = match &address {
        Some(address) => {
            map.insert(ADDRESS, address.as_str());
            Return::Request { handler: handler.clone(), address: address.clone() }
        }
        None => {
            // Whoever published this may have set it.
            map.insert(ADDRESS, "");
            Return::Live { handler: handler.clone() }
        }
    };
    Passing { headers: map, payload, reply: returned.subject(inbox), address }
}

/// A message that was passed on to this host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) address: Option<String>,
}

/// Reads what [`write`] wrote; none where it is something else.
pub(super) fn read(message: async_nats::Message) -> Option<Passed> {
    let all = headers::from_nats(message.headers.as_ref()?);
    let kind = match all.get(KIND)? {
        REQUEST => Kind::Request,
        LIVE => Kind::Live,
        _ => return None,
    };
    let subject = all.get(SUBJECT)?.parse().ok()?;
    let address = all.get(ADDRESS).filter(|address| !address.is_empty()).map(str::to_owned);
    let theirs = all.iter().filter(|(name, _)| ![KIND, SUBJECT, ADDRESS].contains(name));
    let headers = theirs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Passed { kind, subject, headers, payload: message.payload, address })
}

/// What came back, as nobody listened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Return {
    /// A request; its requester waits at this address.
    Request {
        /// Whose request.
        handler: HandlerName,
        /// Who waits.
        address: String,
    },
    /// A message for which nobody waits.
    Live {
        /// Whose message.
        handler: HandlerName,
    },
}

impl Return {
    fn subject(&self, inbox: &str) -> String {
        match self {
            Return::Request { handler, address } => format!("{inbox}.r.{handler}.{address}"),
            Return::Live { handler } => format!("{inbox}.l.{handler}"),
        }
    }

    /// Reads the subject on which the server told of it.
    pub(super) fn read(inbox: &str, subject: &str) -> Option<Return> {
        let (kind, rest) = subject.strip_prefix(inbox)?.strip_prefix('.')?.split_once('.')?;
        match kind {
            "r" => {
                let (handler, address) = rest.split_once('.')?;
                Some(Return::Request { handler: handler.parse().ok()?, address: address.to_owned() })
            }
            "l" => Some(Return::Live { handler: rest.parse().ok()? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use waxwing_engine::port::requests::{Answer, Sender};

    use super::*;

    struct Nobody;

    impl Sender for Nobody {
        fn address(&self) -> &str {
            "_INBOX.x.7"
        }

        fn answer(self: Box<Self>, _: &Answer) {}
    }

    fn passed(kind: Kind, sender: Option<Box<dyn Sender>>) -> (Passed, Return) {
        let headers: Headers =
            [("Nats-Msg-Id", "1"), ("wx-address", "forged"), ("a", "b")].into_iter().collect();
        let subject = Subject::from_checked("cmd.basket.show");
        let message = Message { kind, subject, headers, payload: Bytes::from_static(b"x"), sender };
        let handler = "basket".parse().unwrap();
        let Passing { headers, payload, reply, .. } = write(message, "_INBOX.me", &handler);
        let message = async_nats::Message {
            subject: "wxr.shop.basket.0".into(),
            reply: Some(reply.as_str().into()),
            payload,
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        };
        (read(message).unwrap(), Return::read("_INBOX.me", &reply).unwrap())
    }

    #[test]
    fn keeps_a_message_as_it_came_and_says_who_waits() {
        let (passed, returned) = passed(Kind::Request, Some(Box::new(Nobody)));
        assert_eq!(passed.address.as_deref(), Some("_INBOX.x.7"));
        assert_eq!((passed.kind, passed.subject.as_str()), (Kind::Request, "cmd.basket.show"));
        assert_eq!(passed.headers.iter().collect::<Vec<_>>(), [("Nats-Msg-Id", "1"), ("a", "b")]);
        let expected = Return::Request { handler: "basket".parse().unwrap(), address: "_INBOX.x.7".into() };
        assert_eq!(returned, expected);
    }

    #[test]
    fn believes_nobody_who_claims_to_wait() {
        let (passed, returned) = passed(Kind::Live, None);
        assert_eq!((passed.kind, passed.address), (Kind::Live, None));
        assert_eq!(returned, Return::Live { handler: "basket".parse().unwrap() });
    }

    #[test]
    fn reads_no_other_subjects() {
        for subject in
            ["_INBOX.me", "_INBOX.me.", "_INBOX.me.x.a", "_INBOX.other.l.basket", "_INBOX.me.r.basket"]
        {
            assert_eq!(Return::read("_INBOX.me", subject), None, "{subject}");
        }
    }
}
