//! The command line: one file a command. Only this module writes to the terminal.

mod backing;
mod capture;
mod check;
mod check_health;
mod completions;
mod dead;
mod demo;
mod deploy;
mod dev;
mod doctor;
mod emit;
mod found;
mod fresh;
mod generation;
mod history;
mod hosts;
mod inspect;
mod interrupt;
mod listed;
mod logging;
mod ls;
mod man;
mod meant;
mod new;
mod original;
mod outbox;
mod output;
mod own_server;
mod parked;
mod pause;
mod payload;
mod place;
mod progress;
mod prune;
mod push;
mod rebuild;
mod replay;
mod request;
mod resume;
mod rollback;
mod run;
mod run_event;
mod saga;
mod stage;
mod state;
mod style;
mod test;
mod time;
mod timer;
mod trace;
mod trial;
mod versions;
mod watch;
mod watching;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

use self::{
    logging::LogFormat,
    output::{Output, Unwritable},
};
use crate::nats;

/// Hosts event handlers as WebAssembly sandboxes on NATS, and makes every run a transaction.
#[derive(Debug, Parser)]
#[command(
    name = "waxwing",
    version,
    propagate_version = false,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage.\n\
        WAXWING_… variables override the manifest: WAXWING_HANDLERS_BASKET_CONCURRENCY=8"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    general: General,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct General {
    /// The manifest, or its folder [default: waxwing.toml here or above]
    #[arg(long, short = 'C', global = true, value_name = "PATH")]
    manifest: Option<PathBuf>,
    /// How results are written: text or json
    #[arg(
        long,
        short = 'o',
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    output: Output,
    /// How the log is written: text or json
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    log_format: LogFormat,
    /// Show more: each event that a handler handles
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(flatten)]
    nats: nats::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Run(run::Run),
    Check(check::Check),
    Dev(dev::Dev),
    Test(test::Test),
    Inspect(inspect::Inspect),
    Demo(demo::Demo),
    Emit(emit::Emit),
    Request(request::Request),
    State(state::State),
    History(history::History),
    Trace(trace::Trace),
    Replay(replay::Replay),
    Capture(capture::Capture),
    RunEvent(run_event::RunEvent),
    Rebuild(rebuild::Rebuild),
    Deploy(deploy::Deploy),
    Versions(versions::Versions),
    Rollback(rollback::Rollback),
    Prune(prune::Prune),
    Push(push::Push),
    Ls(ls::Ls),
    CheckHealth(check_health::CheckHealth),
    Hosts(hosts::Hosts),
    Dead(dead::Dead),
    Parked(parked::Parked),
    Timer(timer::Timers),
    Saga(saga::Saga),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Doctor(doctor::Doctor),
    Outbox(outbox::Outbox),
    Completions(completions::Completions),
    Man(man::Manual),
}

/// The command line, as the program reads it: what its help, its completions and its manual are made of.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let Cli { command, general } = Cli::parse();
    match start(command, &general) {
        Ok(code) => code,
        Err(error) if error.downcast_ref().is_some_and(Unwritable::is_closed) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("{}error:{} {error:#}", style::BAD, style::END);
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command, general: &General) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(execute(command, general));
    // A task that does not end must not keep the process.
    runtime.shutdown_background();
    done
}

async fn execute(command: Command, general: &General) -> Result<ExitCode> {
    match command {
        Command::New(new) => new.execute(general),
        Command::Run(run) => run.execute(general).await,
        Command::Check(check) => check.execute(general),
        Command::Dev(dev) => dev.execute(general).await,
        Command::Test(test) => test.execute(general).await,
        Command::Inspect(inspect) => inspect.execute(general).await,
        Command::Demo(demo) => demo.execute(general).await,
        Command::Emit(emit) => emit.execute(general).await,
        Command::Request(request) => request.execute(general).await,
        Command::State(state) => state.execute(general).await,
        Command::History(history) => history.execute(general).await,
        Command::Trace(trace) => trace.execute(general).await,
        Command::Replay(replay) => replay.execute(general).await,
        Command::Capture(capture) => capture.execute(general).await,
        Command::RunEvent(run_event) => run_event.execute(general).await,
        Command::Rebuild(rebuild) => rebuild.execute(general).await,
        Command::Deploy(deploy) => deploy.execute(general).await,
        Command::Versions(versions) => versions.execute(general).await,
        Command::Rollback(rollback) => rollback.execute(general).await,
        Command::Prune(prune) => prune.execute(general).await,
        Command::Push(push) => push.execute(general).await,
        Command::Ls(ls) => ls.execute(general).await,
        Command::CheckHealth(check) => check.execute(general).await,
        Command::Hosts(hosts) => hosts.execute(general).await,
        Command::Dead(dead) => dead.execute(general).await,
        Command::Parked(parked) => parked.execute(general).await,
        Command::Timer(timer) => timer.execute(general).await,
        Command::Saga(saga) => saga.execute(general).await,
        Command::Pause(pause) => pause.execute(general).await,
        Command::Resume(resume) => resume.execute(general).await,
        Command::Doctor(doctor) => doctor.execute(general).await,
        Command::Outbox(outbox) => outbox.execute(general).await,
        Command::Completions(completions) => completions.execute(),
        Command::Man(manual) => manual.execute(general),
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    #[test]
    fn the_command_line_is_well_formed() {
        super::command().debug_assert();
    }

    /// The commands below one that have no commands below them, and no examples in their help.
    fn without_examples(command: &Command, path: &str) -> Vec<String> {
        let mut below = command.get_subcommands().peekable();
        if below.peek().is_none() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let has_one = help.starts_with("Examples:\n  ") && help.contains(path);
            return if has_one { Vec::new() } else { vec![path.to_owned()] };
        }
        below.flat_map(|inner| without_examples(inner, &format!("{path} {}", inner.get_name()))).collect()
    }

    #[test]
    fn every_command_has_help_with_examples() {
        assert_eq!(without_examples(&super::command(), "waxwing"), Vec::<String>::new());
    }
}
