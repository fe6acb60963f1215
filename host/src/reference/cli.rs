//! `docs/reference/cli.md`, from the command line as clap reads it.

use std::fmt::Write;

use clap::{Arg, Command};

use super::{begin, cell};

/// The page.
pub fn cli() -> String {
    let mut root = crate::cli::command();
    root.build();
    let mut page = begin("Command line", "host/src/cli/");
    command(&mut page, &mut root, &|arg| !arg.is_hide_set());
    page
}

/// A command and those below it, the outer one first. What all take stands at the root alone.
fn command(page: &mut String, command: &mut Command, is_shown: &dyn Fn(&Arg) -> bool) {
    let path = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    write(page, format_args!("\n## {path}\n\n{}\n\n```text\n{usage}\n```\n", about.trim()));
    let shown: Vec<&Arg> = command.get_arguments().filter(|arg| is_shown(arg)).collect();
    if !shown.is_empty() {
        page.push_str("\n| argument | meaning |\n| --- | --- |\n");
    }
    for arg in shown {
        write(page, format_args!("| `{}` | {} |\n", name(arg), cell(&meaning(arg))));
    }
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    examples(page, &after.unwrap_or_default());
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
        self::command(page, inner, &|arg| {
            !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help"
        });
    }
}

fn name(arg: &Arg) -> String {
    let values: Vec<String> = match arg.get_value_names() {
        Some(names) if arg.get_action().takes_values() => {
            names.iter().map(|name| format!("<{name}>")).collect()
        }
        _ => Vec::new(),
    };
    let dots = if matches!(arg.get_action(), clap::ArgAction::Append) { "…" } else { "" };
    let switches =
        [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))];
    let switches: Vec<String> = switches.into_iter().flatten().collect();
    [switches.join(", "), values.join(" ")].join(" ").trim().to_owned() + dots
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![help];
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() && !arg.is_hide_possible_values_set() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        parts.push(format!("({})", values.join(", ")));
    }
    let usual: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !usual.is_empty() && !arg.is_hide_default_value_set() {
        parts.push(format!("[default: {}]", usual.join(" ")));
    }
    let variable = arg.get_env().map(|variable| variable.to_string_lossy().into_owned());
    // Some helps say it themselves, where it would not be shown.
    let variable = variable.filter(|variable| parts.iter().all(|part| !part.contains(variable)));
    parts.extend(variable.map(|variable| format!("[env: {variable}]")));
    parts.join(" ").trim().to_owned()
}

/// What stands behind a command's help: examples as code, everything else as it is.
fn examples(page: &mut String, after: &str) {
    let (before, code) = after.split_once("Examples:\n").unwrap_or((after, ""));
    let (code, behind) = code.split_once("\n\n").unwrap_or((code, ""));
    for text in [before, behind].map(str::trim).into_iter().filter(|text| !text.is_empty()) {
        write(page, format_args!("\n{}\n", text.replace('\n', "\\\n")));
    }
    if !code.is_empty() {
        let code: Vec<&str> = code.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
        write(page, format_args!("\n```sh\n{}\n```\n", code.join("\n")));
    }
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = page.write_fmt(text);
}
