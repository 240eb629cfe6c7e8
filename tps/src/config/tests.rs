//! The template, the order of the sources, and how mistakes are named.

use super::*;

fn load(text: &str, overrides: &Overrides) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path(), 4, overrides)
}

#[test]
fn the_template_shows_the_built_in_values() {
    assert_eq!(load(CONFIG_TEMPLATE, &Overrides::default()).unwrap(), Config::default());
    let uncommented: String = CONFIG_TEMPLATE
        .lines()
        .filter_map(|line| {
            line.strip_prefix('#').filter(|line| !line.starts_with(' ') && !line.contains("example.com"))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let shown = load(&uncommented, &Overrides::default()).unwrap();
    // What is derived unless it is set shows what is derived from the other built-in values.
    let places = |config: &Config| config.listeners().unwrap().iter().map(|(_, place)| *place).collect::<Vec<_>>();
    assert_eq!(places(&shown), places(&Config::default()));
    let derived =
        Config { operations_listen: None, desk_listen: None, vru_listen: None, vru_http_listen: None, ..shown };
    assert_eq!(derived, Config::default());
    assert_eq!(uncommented.lines().count(), 24);
}

#[test]
fn flags_win_over_the_file() {
    let overrides = Overrides { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overrides::default() };
    let config = load("listen = \"[::1]:5000\"\nworkers = 3\nshards = 4", &overrides).unwrap();
    assert_eq!((config.listen.port(), config.workers), (0, 3));
    assert_eq!(config.engine(4).workers, 3);
}

#[test]
fn mistakes_are_named() {
    for (text, named) in [
        ("lisen = \"[::]:1\"", "lisen"),
        ("listen = \"nowhere\"", "listen"),
        ("workers = -1", "workers"),
        ("workers = 5000", "workers"),
        ("queue_requests = 0", "queue_requests"),
        ("retention_days = 40000", "retention_days"),
        ("shards = 8", "made with 4"),
        ("signature_policy = \"perhaps\"", "signature_policy"),
        ("desk_listen = \"nowhere\"", "IP:PORT or off"),
        ("desk_renewals = \"perhaps\"", "desk_renewals"),
        ("log_level = \"a=b=c\"", "log_level"),
        ("public_addresses = [\"example.com\"]", "example.com"),
        ("operations_listen = \"0.0.0.0:4434\"", "reverse proxy"),
        ("operations_listen = \"on\"", "IP:PORT or off"),
        ("listen = \"127.0.0.1:65535\"", "operations_listen"),
        ("vru_listen = \"somewhere\"", "IP:PORT or off"),
        ("vru_listen = \"0.0.0.0:4435\"", "vru_tls"),
        ("vru_http_listen = \"192.0.2.1:80\"\nvru_http_url = \"https://a\"", "reverse proxy"),
        ("vru_http_listen = \"127.0.0.1:80\"", "vru_http_url"),
        ("vru_http_listen = \"127.0.0.1:80\"\nvru_http_url = \"httpd\"", "vru_http_url"),
        ("vru_public_address = \"a\\nPasscode: 1\"", "vru_public_address"),
        ("pin_digits = 3", "pin_digits"),
        ("not toml", "TOML"),
    ] {
        let error = load(text, &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}
