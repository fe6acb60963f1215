//! `http` in `[handlers.NAME.grants]`, and `[handlers.NAME.http]`: what may be called, and within which limits.

use std::{net::IpAddr, num::NonZeroU32, ops::RangeInclusive, time::Duration};

use waxwing_event::{
    address::is_public,
    http::{Addresses, HttpGrant, HttpLimits, Method},
    origin::{Host, Origin},
};

use super::{
    document::{Kind, Value},
    forms::{self, Placed},
    keys,
    problem::Problems,
    quantity::show_duration,
    section::{Keys, Section},
};

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const BODY_BYTES: RangeInclusive<u64> = 1..=64 << 20;

/// The origins that may be called: texts, or tables with `origin`, `methods` and `private`.
pub(super) fn read_grants(grants: &Section<'_>, problems: &mut Problems) -> Vec<HttpGrant> {
    let items = grants.read("http", forms::items, problems).unwrap_or_default();
    let mut read: Vec<HttpGrant> = Vec::new();
    for item in &items {
        let Some(Placed { value: grant, place }) = read_grant(grants, item, problems) else { continue };
        let title = grants.title();
        if read.iter().any(|earlier| earlier.origin == grant.origin) {
            let text = format!("`http` in {title} has `{}` twice: remove one", grant.origin);
            problems.error(&place, text);
        }
        if grant.reach == Addresses::Public && is_own(grant.origin.host()) {
            let text = format!(
                "`http` in {title}: `{origin}` is on this machine or its network: where it is meant, write {{ origin = \
                 \"{origin}\", private = true }}",
                origin = grant.origin
            );
            problems.error(&place, text);
        }
        read.push(grant);
    }
    read
}

fn read_grant(grants: &Section<'_>, item: &Value, problems: &mut Problems) -> Option<Placed<HttpGrant>> {
    let Kind::Table(table) = &item.kind else {
        let origin = grants.of("http", item, forms::parsed::<Origin>, problems)?;
        return Some(Placed { value: HttpGrant::new(origin), place: item.place.clone() });
    };
    let title = format!("{}.http]", grants.title().trim_end_matches(']'));
    let section = Section::new(title, table, item.place.clone(), Keys::Only(keys::HTTP_GRANT), problems);
    let origin = section.require("origin", "\"https://api.example.com\"", forms::parsed::<Origin>, problems);
    let methods = section.read("methods", forms::list::<Method>, problems);
    if let (Some([]), Some(written)) = (methods.as_deref(), section.value("methods")) {
        let text = format!("`methods` in {} is empty: leave it out for all methods", section.title());
        problems.error(&written.place, text);
    }
    let private = section.read("private", forms::flag, problems).unwrap_or_default();
    let reach = if private { Addresses::All } else { Addresses::Public };
    let methods = methods.unwrap_or_default().into_iter().map(|method| method.value).collect();
    Some(Placed { value: HttpGrant { origin: origin?, methods, reach }, place: item.place.clone() })
}

/// True where no address of the host can be one of the internet.
fn is_own(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::V4(address) => !is_public(IpAddr::V4(*address)),
        Host::V6(address) => !is_public(IpAddr::V6(*address)),
    }
}

/// What calls may use up.
pub(super) fn read_limits(handler: &Section<'_>, deadline: Duration, problems: &mut Problems) -> HttpLimits {
    let http = handler.section("http", Keys::Only(keys::HTTP), problems);
    let usual = HttpLimits::default();
    let timeout = http.read("timeout", |v| forms::duration(v, TIMEOUT), problems);
    if let (Some(written), Some(timeout)) = (http.value("timeout"), timeout)
        && timeout >= deadline
    {
        let text = format!(
            "`timeout` in {} is never reached: the handler's `deadline` of {} ends the run before, so raise that",
            http.title(),
            show_duration(deadline)
        );
        problems.warn(&written.place, text);
    }
    let mut size = |key, usual| http.read(key, |v| forms::size(v, BODY_BYTES), problems).unwrap_or(usual);
    let (request_bytes, response_bytes) =
        (size("request-bytes", usual.request_bytes), size("response-bytes", usual.response_bytes));
    let mut count = |key, bounds| http.read(key, |v| forms::count(v, bounds), problems);
    let max_calls = count("max-calls", 1..=1_000).unwrap_or(usual.max_calls);
    let attempts = count("attempts", 1..=10).and_then(NonZeroU32::new).unwrap_or(usual.attempts);
    HttpLimits {
        timeout: timeout.unwrap_or(usual.timeout),
        max_calls,
        request_bytes,
        response_bytes,
        attempts,
    }
}
