//! Modules of the handlers that are written in other languages, built as their READMEs say.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    npm,
    once::{self, target_folder},
    venv::Package,
};

const COMPONENTIZE_PY: Package =
    Package { name: "componentize-py", version: "0.25.1", file: "componentize-py" };

/// A handler in another language.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Its folder in `handlers/`.
    pub name: &'static str,
    source: &'static str,
}

pub const JAVASCRIPT: Script = Script { name: "price-watch-js", source: "handler.js" };
pub const PYTHON: Script = Script { name: "price-watch-py", source: "handler.py" };

impl Script {
    /// Its module, built where its source or the contract has changed. Blocks.
    pub fn module(self) -> PathBuf {
        let folder = target_folder().join("scripts").join(self.name);
        let module = folder.join(format!("{}.wasm", self.name));
        once::made(&folder, &self.fingerprint(), || {
            let mut command = self.command(&module);
            let built = command.current_dir(self.folder()).status().is_ok_and(|status| status.success());
            assert!(built, "{} is not built: {command:?}", self.name);
        });
        module
    }

    fn command(self, module: &Path) -> Command {
        if self.name == PYTHON.name {
            let mut command = Command::new(COMPONENTIZE_PY.installed());
            command.args(["-d", "../../wit", "-w", "event-handler", "componentize", "handler", "-o"]);
            command.arg(module);
            command
        } else {
            let mut command = Command::new(npm::installed(&self.folder()).join("componentize-js"));
            command.args(["handler.js", "--wit", "../../wit", "--world-name", "event-handler"]);
            command.args(["--disable", "http", "fetch-event", "-o"]).arg(module);
            command
        }
    }

    fn folder(self) -> PathBuf {
        root().join("handlers").join(self.name)
    }

    /// Another one for each change of what it is built from.
    fn fingerprint(self) -> String {
        let mut hasher = DefaultHasher::new();
        let contract = root().join("wit").read_dir().unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<PathBuf> = contract.filter(|path| path.is_file()).collect();
        files.extend([self.folder().join(self.source), self.folder().join("package-lock.json")]);
        files.sort();
        for file in files {
            fs::read(file).ok().hash(&mut hasher);
        }
        COMPONENTIZE_PY.version.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
