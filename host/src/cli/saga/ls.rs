//! `waxwing saga ls`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use waxwing_event::HandlerName;

use super::{
    super::{
        General,
        listed::say_that_there_may_be_more,
        output::{self, Output, say},
        place::Place,
    },
    instance::{self, Instance},
};

/// Lists sagas by handler and key, and keys for whose start events wait
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    waxwing saga ls\n  \
    waxwing saga ls purchase --status cancelled\n  \
    waxwing saga ls purchase --output json")]
pub(super) struct Ls {
    /// Only those of this handler
    handler: Option<HandlerName>,
    /// Only those with this status: running, completed or cancelled; waiting: not started yet
    #[arg(
        long,
        value_name = "STATUS",
        value_parser = ["running", "completed", "cancelled", instance::WAITS],
        hide_possible_values = true
    )]
    status: Option<String>,
    /// The most sagas to list
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    limit: usize,
}

impl Ls {
    pub(super) async fn execute(&self, place: &Place, general: &General) -> Result<ExitCode> {
        let instances = self.find(place).await?;
        match general.output {
            Output::Json => output::json(&instances)?,
            Output::Text => show(&instances)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn find(&self, place: &Place) -> Result<Vec<Instance>> {
        let handlers = match &self.handler {
            Some(handler) => {
                place.expect(std::slice::from_ref(handler)).await?;
                vec![handler.clone()]
            }
            None => place.handlers().await?.into_iter().collect(),
        };
        let mut found = Vec::new();
        for handler in &handlers {
            for key in instance::keys(place, handler).await? {
                let Some(instance) = Instance::find(place, handler, &key).await? else { continue };
                if self.status.as_ref().is_some_and(|status| *status != instance.record.status) {
                    continue;
                }
                if found.len() >= self.limit {
                    say_that_there_may_be_more(found.len());
                    return Ok(found);
                }
                found.push(instance);
            }
        }
        Ok(found)
    }
}

fn show(instances: &[Instance]) -> Result<()> {
    if instances.is_empty() {
        return Ok(say!("no sagas")?);
    }
    let mut table = output::table(&["handler", "key", "status", "step", "started", "written", "waiting"]);
    for Instance { handler, key, record, written, waiting, .. } in instances {
        table.add_row([
            handler.to_string(),
            output::line(key),
            output::line(&record.status),
            output::line(record.step.as_deref().unwrap_or_default()),
            output::line(record.started.as_deref().unwrap_or_default()),
            format!("{written:.0}"),
            waiting.len().to_string(),
        ]);
    }
    Ok(say!("{table}")?)
}
