//! Secrets: values of the host that the handler's manifest grants by name.

use crate::{
    contract::waxwing::events::secrets::{Host, SecretError},
    guest::Guest,
};

impl Host for Guest {
    fn get(&mut self, name: String) -> Result<Vec<u8>, SecretError> {
        let handler = &self.handler;
        let Some(granted) = handler.grants.secrets.iter().find(|granted| granted.as_str() == name) else {
            tracing::warn!(handler = %handler.name, secret = name, "asks for a secret that `secrets` does not grant");
            return Err(SecretError::NotGranted(name));
        };
        match handler.surroundings.secrets.read(granted) {
            Ok(secret) => Ok(secret.expose().to_vec()),
            Err(error) => {
                tracing::warn!(handler = %handler.name, %error, "a secret cannot be read");
                Err(SecretError::Unavailable(name))
            }
        }
    }
}
