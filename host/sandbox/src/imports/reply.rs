//! The reply to a request: kept until the run commits.

use bytes::Bytes;
use waxwing_event::{Reply, decode};

use crate::{
    contract::waxwing::events::reply::{Attribute, Host, ReplyError},
    guest::Guest,
};

impl Host for Guest {
    fn is_asked(&mut self) -> bool {
        self.is_asked
    }

    fn respond(
        &mut self,
        data: Vec<u8>,
        content_type: Option<String>,
        attributes: Vec<Attribute>,
    ) -> Result<(), ReplyError> {
        if !self.is_asked {
            return Err(ReplyError::NotAsked);
        }
        if self.effects.has_reply() {
            return Err(ReplyError::Replied);
        }
        check(content_type.as_deref(), &attributes)?;
        let attributes: Vec<_> = attributes.into_iter().map(|a| (a.name, a.value)).collect();
        let reply = Reply { data: Bytes::from(data), content_type, attributes };
        let (bytes, limits) = (size_bytes(&reply), &self.handler.limits);
        if bytes > limits.entry_bytes {
            return Err(ReplyError::TooLarge(limits.entry_bytes));
        }
        self.effects.reply(reply, bytes, limits).map_err(|overflow| ReplyError::TooMany(overflow.limit()))
    }
}

fn check(content_type: Option<&str>, attributes: &[Attribute]) -> Result<(), ReplyError> {
    if let Some(content_type) = content_type {
        check_value("content-type", content_type)?;
        if content_type.is_empty() {
            return Err(invalid("content-type", "it is empty: leave it out"));
        }
    }
    for (i, attribute) in attributes.iter().enumerate() {
        decode::check_name(&attribute.name).map_err(|why| invalid(&attribute.name, why))?;
        check_value(&attribute.name, &attribute.value)?;
        if attributes.iter().take(i).any(|earlier| earlier.name == attribute.name) {
            return Err(invalid(&attribute.name, "it is there twice"));
        }
    }
    Ok(())
}

/// Values go as headers, which end at a line break and lose the white space at their ends.
fn check_value(name: &str, value: &str) -> Result<(), ReplyError> {
    if value.chars().any(char::is_control) {
        return Err(invalid(name, "its value contains a control character"));
    }
    if value.trim() != value {
        return Err(invalid(name, "its value begins or ends with white space"));
    }
    Ok(())
}

fn invalid(name: &str, why: &str) -> ReplyError {
    ReplyError::InvalidAttribute(format!("`{name}`: {why}"))
}

fn size_bytes(reply: &Reply) -> u64 {
    let attributes: usize = reply.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    (reply.data.len() + reply.content_type.as_ref().map_or(0, String::len) + attributes) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, value: &str) -> Attribute {
        Attribute { name: name.into(), value: value.into() }
    }

    #[test]
    fn takes_attributes_that_a_header_can_carry() {
        assert!(check(Some("text/plain; charset=utf-8"), &[attribute("status", "")]).is_ok());
        assert!(check(None, &[attribute("a", "ü x"), attribute("b", "1")]).is_ok());
        for (name, value) in [("Status", "1"), ("", "1"), ("a", "1\r\n"), ("a", " 1"), ("a", "1 ")] {
            assert!(check(None, &[attribute(name, value)]).is_err(), "{name:?} {value:?}");
        }
        assert!(check(None, &[attribute("a", "1"), attribute("a", "2")]).is_err());
        for content_type in ["", "a\n", " a"] {
            assert!(check(Some(content_type), &[]).is_err(), "{content_type:?}");
        }
    }
}
