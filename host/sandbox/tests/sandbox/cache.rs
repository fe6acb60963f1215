//! Compiled code on disk.

use std::{fs, path::PathBuf};

use cap_std::{ambient_authority, fs::Dir};
use tempfile::TempDir;
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    guest::guest,
    host::{State, done, run, spec},
};

fn run_with(cache: &TempDir) {
    let dir = Dir::open_ambient_dir(cache.path(), ambient_authority()).unwrap();
    let options =
        Options { cache: Some(dir), workers: 1.try_into().unwrap(), instances: 4, ..Options::default() };
    let sandbox = Sandbox::new(options).unwrap();
    let handler = sandbox.load(&spec(), &guest("(call $emit_one)")).unwrap();
    assert_eq!(done(run(&handler, b"", State::Away)).len(), 1);
}

fn only_file(cache: &TempDir) -> PathBuf {
    let files: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

#[test]
fn is_used_again() {
    let cache = tempfile::tempdir().unwrap();
    run_with(&cache);
    let written = fs::metadata(only_file(&cache)).unwrap().modified().unwrap();
    run_with(&cache);
    assert_eq!(fs::metadata(only_file(&cache)).unwrap().modified().unwrap(), written);
}

#[test]
fn is_compiled_again_where_it_is_damaged() {
    let cache = tempfile::tempdir().unwrap();
    run_with(&cache);
    let good = fs::read(only_file(&cache)).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for damaged in [flipped, good[..good.len() - 1].to_vec(), Vec::new()] {
        fs::write(only_file(&cache), damaged).unwrap();
        run_with(&cache);
        assert_eq!(fs::read(only_file(&cache)).unwrap().len(), good.len());
    }
}
