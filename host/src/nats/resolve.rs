//! Which setting wins: flags, the context named by a flag, variables, the selected context, defaults.

use std::{env, path::PathBuf, time::Duration};

use anyhow::Result;

use super::{
    context,
    credentials::Layer,
    env as variables,
    flags::Flags,
    target::{DEFAULT_URL, Target},
};

/// What lies around the process: variables and folders. Taken apart for tests.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: Vec<(String, String)>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The folder of configurations, in which `nats/` lies.
    pub config: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn here() -> Surroundings {
        let home = env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Surroundings {
            variables: env::vars_os()
                .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            config: config.or_else(|| Some(home.as_ref()?.join(".config"))),
            home,
        }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        let found = self.variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }
}

/// How NATS is to be reached.
pub fn resolve(flags: &Flags, around: &Surroundings) -> Result<Target> {
    let mut layer = flags.layer();
    match &flags.context {
        Some(name) => layer = layer.over(context::layer(name, around)?).over(variables::layer(around)),
        None => layer = layer.over(variables::layer(around)).over(usual_context(around)?),
    }
    let is_chosen = layer.servers.is_some();
    let servers = layer.servers.unwrap_or_else(|| DEFAULT_URL.to_owned());
    Ok(Target {
        servers: servers
            .split(',')
            .map(|server| server.trim().to_owned())
            .filter(|s| !s.is_empty())
            .collect(),
        is_chosen,
        credentials: layer.credentials.unwrap_or_default(),
        tls: layer.tls,
        timeout: flags.timeout.unwrap_or(Duration::from_secs(5)),
    })
}

/// The context of `NATS_CONTEXT`, else the selected one, else nothing.
fn usual_context(around: &Surroundings) -> Result<Layer> {
    let name = match around.variable("NATS_CONTEXT") {
        Some(name) => Some(name),
        None => context::selected(around)?,
    };
    name.map_or_else(|| Ok(Layer::default()), |name| context::layer(&name, around))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::nats::Credentials;

    fn around(variables: &[(&str, &str)]) -> (tempfile::TempDir, Surroundings) {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("nats/context");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.json"), r#"{"url":"nats://a:1","creds":"~/a.creds","description":"x"}"#)
            .unwrap();
        fs::write(folder.join("b.json"), r#"{"url":"nats://b:1, nats://b:2","user":"u","password":"p"}"#)
            .unwrap();
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let surroundings =
            Surroundings { variables, home: Some("/home/x".into()), config: Some(temp.path().to_owned()) };
        (temp, surroundings)
    }

    fn select(temp: &tempfile::TempDir, name: &str) {
        fs::write(temp.path().join("nats/context.txt"), format!("{name}\n")).unwrap();
    }

    #[test]
    fn takes_the_default_where_nothing_is_said() {
        let target = resolve(&Flags::default(), &around(&[]).1).unwrap();
        assert_eq!((target.servers, target.is_chosen), (vec![DEFAULT_URL.to_owned()], false));
    }

    #[test]
    fn puts_the_sources_in_order() {
        let (temp, mut surroundings) = around(&[]);
        select(&temp, "a");
        let mut flags = Flags::default();
        let servers = |flags: &Flags, around: &Surroundings| resolve(flags, around).unwrap().servers;
        assert_eq!(servers(&flags, &surroundings), ["nats://a:1"]);
        surroundings.variables.push(("NATS_URL".into(), "nats://env:1".into()));
        assert_eq!(servers(&flags, &surroundings), ["nats://env:1"]);
        flags.context = Some("b".into());
        assert_eq!(servers(&flags, &surroundings), ["nats://b:1", "nats://b:2"]);
        flags.server = Some("nats://flag:1".into());
        assert_eq!(servers(&flags, &surroundings), ["nats://flag:1"]);
    }

    #[test]
    fn takes_credentials_whole_from_one_source() {
        let (temp, surroundings) = around(&[("NATS_TOKEN", "secret")]);
        select(&temp, "a");
        let target = resolve(&Flags::default(), &surroundings).unwrap();
        assert_eq!(target.servers, ["nats://a:1"]);
        assert_eq!(target.credentials, Credentials::Token("secret".into()));
        assert!(!format!("{target:?}").contains("secret"));
    }

    #[test]
    fn reads_a_context_with_paths_from_home() {
        let (_temp, surroundings) = around(&[("NATS_CONTEXT", "a")]);
        let target = resolve(&Flags::default(), &surroundings).unwrap();
        assert_eq!(target.credentials, Credentials::File("/home/x/a.creds".into()));
    }

    #[test]
    fn refuses_a_context_that_is_not_there() {
        let (_temp, surroundings) = around(&[]);
        let flags = |name: &str| Flags { context: Some(name.into()), ..Flags::default() };
        let why = resolve(&flags("c"), &surroundings).unwrap_err().to_string();
        assert_eq!(why, "there is no context `c`: list them with `nats context ls`");
        assert!(resolve(&flags("../x"), &surroundings).is_err());
    }
}
