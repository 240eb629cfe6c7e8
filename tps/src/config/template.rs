//! What `tps init` writes into `tps.toml`.

/// What `tps init` writes into `tps.toml`.
pub const CONFIG_TEMPLATE: &str = "\
# Configuration of this TPS. Every key can also be set in the environment (TPS_LISTEN=...). Lines below show the
# built-in values; remove the # to change one. `tps config print` shows what is in force and where it comes from,
# `tps config check` finds mistakes without starting.

# UDP address to listen on.
#listen = \"[::]:4433\"

# Address on this machine for /live, /ready, /metrics and /version, or \"off\". Unless set, it is 127.0.0.1 with the port
# after that of `listen`.
#operations_listen = \"127.0.0.1:4434\"

# host:port under which customers reach this server, best first; enrolment bundles carry them.
#public_addresses = [\"pay.example.com:4433\"]

# TCP address of the desk, where merchants hand in refunds and renewals: that of `listen` unless said, or
# \"off\". What it does with a certified merchant's request for its next certificate: \"automatic\" or \"review\".
#desk_listen = \"[::]:4433\"
#desk_renewals = \"automatic\"

# Threads that open, verify and prove; 0 means one per processor.
#workers = 0

# Requests that may wait for a worker; one more is answered `Overloaded`.
#queue_requests = 16384

# Whether customers' requests must be signed: \"required\" or \"optional\".
#signature_policy = \"required\"

# When they are checked: \"live\", before money moves, or \"deferred\": in spare time. A bad one then holds the instrument and is
# reported, but the payment stands.
#signature_check = \"live\"

# New payments are refused when less disk space than this is free.
#disk_low_bytes = 536870912

# Days that transactions stay in the ledger; then they move to signed files in DATA/archive, which audits and statements
# go on reading. 0 keeps everything in the ledger.
#retention_days = 0

# Bounds against floods.
#connections_max = 20000
#open_requests_per_connection_max = 4096
#open_requests_per_address_max = 65536

# What opens the keys where `tps key protect` sealed them: a file, for the server's user alone (or TPS_KEY_FILE,
# TPS_PASSPHRASE_FILE, the systemd credential tps-key, or the passphrase typed at the terminal).
# key_file = \"/etc/quittance/tps.key\"
# passphrase_file = \"/etc/quittance/tps.passphrase\"

# The VRU, the customers' second channel: TCP address on which it takes calls (two ports above `listen` on 127.0.0.1 unless
# said; or \"off\"), TLS (needed beyond this machine), and what mailers tell customers to call.
#vru_listen = \"127.0.0.1:4435\"
#vru_tls = false
#vru_public_address = \"\"

# Webhooks of a telephony provider for the VRU (docs/vru.md): a loopback address or \"off\", and the provider's URL for it.
#vru_http_listen = \"off\"
#vru_http_url = \"\"

# Digits of the PINs that the VRU gives, 4 to 12.
#pin_digits = 6

# Logs go to standard error: \"text\" or \"json\"; error, warn, info, debug, trace or a filter such as \"tps=debug,info\".
#log_format = \"text\"
#log_level = \"info\"

# Public key of the funding agency: with it, instructions are taken from DATA/funding/in and lists of payouts put into
# DATA/funding/out. `tps funding new-key` makes the agency's key and prints this line.
# funding_key = \"64 hexadecimal digits\"

# Settlement of merchants: hours between two cut-offs, and minutes of the cut-off after midnight UTC.
#[settlement]
#cycle_hours = 24
#cut_off_minutes = 0

# Fees of an asset, one such table for each: a share of payments in millionths, an amount for every payment; payouts are
# multiples of the payout unit, the rest is carried over.
# [[settlement.fees]]
# asset = \"USD6\"
# share_ppm = 2500
# per_payment = \"0.0001\"
# payout_unit = \"0.01\"
";
