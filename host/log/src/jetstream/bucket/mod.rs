//! Buckets: the state of a handler as any NATS client reads it. A bucket is a second stream that takes the handler's
//! state out of the log's. The server keeps it; no host writes to it, and nobody else can, as it has no subjects.

mod settings;

use serde_json::Value;
use waxwing_engine::{
    entry::{Layout, generation::Generations},
    port::log::Part,
};
use waxwing_event::{HandlerName, Position};

use self::settings::Config;
use super::{
    api::{Api, ApiError, code},
    found::Found,
    options::Options,
    settings::Breach,
    stored::Stored,
    stream::{self, OpenError},
};

/// The header that tells of the entry that an entry was taken from: the stream, then the position.
const SOURCE_HEADER: &str = "Nats-Stream-Source";

/// Makes the buckets that are asked for, or makes sure that those there follow the log, whose stream is there.
pub(super) async fn ensure_all(api: &Api, options: &Options) -> Result<(), OpenError> {
    for handler in &options.buckets {
        ensure(api, options, handler).await?;
    }
    Ok(())
}

/// How the bucket of a handler's state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenBucket {
    /// As it should be.
    Fine,
    /// There is none; a host makes it.
    Missing,
    /// It is another one, for which a host refuses to start.
    Another(Breach),
    /// It has what is not in the log; a host makes it anew.
    OfAnotherLog,
    /// It follows a generation of the handler that is not live; a host makes it anew.
    OfAnotherGeneration,
}

/// Looks at the bucket of a handler's state, and changes nothing.
pub(super) async fn look(
    api: &Api,
    options: &Options,
    handler: &HandlerName,
) -> Result<SeenBucket, ApiError> {
    let layout = live(api, options, handler).await?;
    let asked = Config::asked(options, &layout, handler);
    let Some(found) = Found::<Config>::get(api, &asked.name).await? else { return Ok(SeenBucket::Missing) };
    if found.known.follows_another_generation(options, &layout, handler) {
        return Ok(SeenBucket::OfAnotherGeneration);
    }
    if let Some(breach) = found.known.breaches(&asked).into_iter().next() {
        return Ok(SeenBucket::Another(breach));
    }
    let is_of_another = is_of_another_log(api, options, &found).await?;
    Ok(if is_of_another { SeenBucket::OfAnotherLog } else { SeenBucket::Fine })
}

async fn ensure(api: &Api, options: &Options, handler: &HandlerName) -> Result<(), OpenError> {
    let failed = |source| stream::explained(&options.stream(), source);
    let layout = live(api, options, handler).await.map_err(failed)?;
    let asked = Config::asked(options, &layout, handler);
    let failed = |source| stream::explained(&asked.name, source);
    let mut found = Found::get_or_create(api, &asked.name, &asked).await.map_err(failed)?;
    if found.known.follows_another_generation(options, &layout, handler) {
        tracing::info!(
            stream = asked.name,
            "the bucket is made anew: another generation of the handler is live"
        );
        found = anew(api, &asked).await.map_err(failed)?;
    }
    if let Some(Breach { what, way_out }) = found.known.breaches(&asked).into_iter().next() {
        let bucket = asked.name.trim_start_matches("KV_").to_owned();
        return Err(OpenError::Bucket {
            bucket,
            handler: handler.clone(),
            what,
            way_out: way_out.to_owned(),
        });
    }
    let found = if is_of_another_log(api, options, &found).await.map_err(failed)? {
        tracing::warn!(stream = asked.name, "the bucket has followed another log: it is made anew");
        anew(api, &asked).await.map_err(failed)?
    } else {
        found
    };
    let corrections = found.known.corrections(&asked);
    found.update(api, &asked.name, corrections).await.map_err(failed)?;
    Ok(())
}

/// The layout with the generation whose state is to be shown.
async fn live(api: &Api, options: &Options, handler: &HandlerName) -> Result<Layout, ApiError> {
    let layout = Layout::new(options.app.clone());
    let stored = Stored::new(api.clone(), &options.stream());
    let entry = stored.last(layout.generations(handler).as_str(), Part::Whole).await?;
    let live = entry.and_then(|entry| Generations::read(&entry).ok()).unwrap_or_default().live;
    Ok(layout.at(handler, live))
}

/// True where it has what is not in the log, which was made anew or is an older copy: the server would go on after
/// what it has taken, and leave out what stands before that.
async fn is_of_another_log(api: &Api, options: &Options, found: &Found<Config>) -> Result<bool, ApiError> {
    let last = if found.last == Position::NONE {
        None
    } else {
        Stored::new(api.clone(), &found.known.name).at(found.last, Part::Headers).await?
    };
    let taken = last.as_ref().and_then(|entry| entry.headers.get(SOURCE_HEADER)).and_then(position);
    // After the bucket, which is behind the log.
    let log = stream::look(api, &options.stream()).await?;
    Ok(log.made > found.made || taken.is_some_and(|taken| taken > log.state.bounds().last))
}

fn position(source: &str) -> Option<Position> {
    source.split(' ').nth(1)?.parse().ok().map(Position)
}

async fn anew(api: &Api, asked: &Config) -> Result<Found<Config>, ApiError> {
    let removed = api.call::<Value>(&format!("STREAM.DELETE.{}", asked.name), &Value::Null).await;
    match removed {
        Err(error) if !error.is(code::NO_STREAM) => Err(error),
        _ => Found::get_or_create(api, &asked.name, asked).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_header_tells_which_entry_it_was() {
        let header = "wx-shop 9 wx.shop.state.basket.> $KV.shop-basket.> wx.shop.state.basket.a hSHAYKSz";
        assert_eq!(position(header), Some(Position(9)));
        assert_eq!((position("wx-shop"), position("wx-shop x")), (None, None));
    }
}
