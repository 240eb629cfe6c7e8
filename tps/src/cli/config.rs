//! `tps config`.

use clap::Subcommand;
use serde_json::json;

use super::Context;
use super::output::table;
use crate::admin::AdminError;
use crate::config::{Config, Overrides, Place};
use crate::data_directory::DataDirectory;
use crate::keys::issued;
use crate::serve;

/// `tps config …`
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print what is in force and where each value comes from
    Print,
    /// Look for mistakes in the file, the environment and the keys, without starting
    Check,
}

impl ConfigCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        let data = context.data()?;
        match self {
            Self::Print => print(context, &data),
            Self::Check => check(context, &data),
        }
    }
}

fn print(context: &Context, data: &DataDirectory) -> Result<(), AdminError> {
    let file = data.config_file();
    let config = Config::load(&file, data.realm()?.shards, &Overrides::default())?;
    let unprintable = |error: toml::ser::Error| AdminError::bad_input(error.to_string());
    let mut values = toml::Table::try_from(&config).map_err(unprintable)?;
    let mut origins = Config::origins(&file);
    for (kind, address) in config.listeners()? {
        if !values.contains_key(kind.key) {
            let place = address.map_or_else(|| "off".to_owned(), |address| address.to_string());
            values.insert(kind.key.to_owned(), place.into());
            if kind.place != Place::Nowhere {
                origins.insert(kind.key.to_owned(), "derived from `listen`".to_owned());
            }
        }
    }
    let origin = |key: &str| origins.get(key).map_or("built in", String::as_str);
    let rows: Vec<Vec<String>> =
        values.iter().map(|(key, value)| vec![format!("{key} = {value}"), format!("# {}", origin(key))]).collect();
    let told: serde_json::Map<String, serde_json::Value> =
        values.iter().map(|(key, value)| (key.clone(), json!({ "value": value, "from": origin(key) }))).collect();
    context.output.told(&json!(told), &table(&rows));
    Ok(())
}

fn check(context: &Context, data: &DataDirectory) -> Result<(), AdminError> {
    let (listen, listeners) = serve::check(data, &data.realm()?)?;
    let sets = issued(data)?;
    let payments = ("payments", "listen", format!("udp {listen}"));
    let beside = listeners.into_iter().map(|(kind, address)| {
        (kind.name, kind.key, address.map_or_else(|| "off".to_owned(), |address| format!("tcp {address}")))
    });
    let places: Vec<_> = std::iter::once(payments).chain(beside).collect();
    let told: Vec<_> =
        places.iter().map(|(name, key, place)| json!({ "name": name, "key": key, "place": place })).collect();
    let mut rows = vec![["LISTENER", "PLACE", "KEY"].map(str::to_owned).to_vec()];
    rows.extend(places.iter().map(|(name, key, place)| vec![(*name).to_owned(), place.clone(), (*key).to_owned()]));
    let text = format!(
        "The configuration has no mistake. A server would start with key sets number {} and listen here:\n\n{}",
        sets.number,
        table(&rows)
    );
    context.output.told(&json!({ "result": "valid", "listeners": told, "key_set_number": sets.number }), &text);
    Ok(())
}
