//! What shells and `man` are given: completions and pages, of every command.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn waxwing(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_waxwing")).args(arguments).output().unwrap()
}

#[test]
fn each_shell_can_complete_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = waxwing(&["completions", shell]);
        let text = String::from_utf8(script.stdout).unwrap();
        assert!(script.status.success() && text.contains("redrive") && text.contains("--canary"), "{shell}");
    }
    assert_eq!(waxwing(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn bash_completes_a_command() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("waxwing");
    fs::write(&script, waxwing(&["completions", "bash"]).stdout).unwrap();
    let ask = format!(
        "source {} && COMP_WORDS=(waxwing dead red) COMP_CWORD=2 && _waxwing waxwing red dead && echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let answer = Command::new("bash").args(["-c", &ask]).stderr(Stdio::inherit()).output().unwrap();
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "redrive\n");
}

#[test]
fn each_command_has_a_page() {
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man1");
    assert!(waxwing(&["man", "--dir", pages.to_str().unwrap()]).status.success());
    for (name, text) in [
        ("waxwing.1", "waxwing\\-deploy(1)"),
        ("waxwing-dead-redrive.1", "waxwing dead redrive"),
        ("waxwing-new.1", "waxwing new shop"),
    ] {
        let page = fs::read_to_string(pages.join(name)).unwrap();
        assert!(page.starts_with(".ie") && page.contains(text), "{name}: {page}");
    }
    let alone = waxwing(&["man"]);
    assert_eq!(alone.stdout, fs::read(pages.join("waxwing.1")).unwrap());
}
