//! `mts serve`: the shop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mts_plugin::desk::DeskClerk;
use mts_plugin::http::{self, pages};
use mts_plugin::{FolderShop, Home, Merchant, Settings, clock};
use serde_json::json;

use super::{Failure, ServeArguments, print};

/// Where the payment router is mounted.
const PAYMENT_PATH: &str = "/quittance";
/// How often keys are read again, old ones destroyed, and paid orders looked for.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn serve(directory: &Path, arguments: &ServeArguments, as_json: bool) -> Result<(), Failure> {
    let home = Home::open(directory)?;
    let settings = home.settings().clone();
    let shop = Arc::new(FolderShop::open(&arguments.catalogue)?);
    let choices = Settings {
        quote_lifetime_ms: settings.quote_lifetime_seconds.saturating_mul(1_000),
        goods_key_lifetime_ms: settings.goods_key_lifetime_hours.saturating_mul(3_600_000),
        refunds: settings.refunds,
        ..Settings::default()
    };
    let merchant = Arc::new(Merchant::open(home, shop.clone(), choices)?);
    if merchant.id().is_none() {
        tracing::warn!("no valid certificate: nothing is sold until `mts certificate import FILE` brings one");
    }
    let payments = if arguments.frames {
        http::router_with_trace(merchant.clone(), Arc::new(move |frame| trace(frame, as_json)))
    } else {
        http::router(merchant.clone())
    };
    let application = pages::router(shop, settings.name, PAYMENT_PATH.to_owned()).nest(PAYMENT_PATH, payments);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listen = arguments.listen.unwrap_or(settings.listen);
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}: choose another with --listen"))?;
        let address = listener.local_addr()?;
        let value = json!({ "listening": address, "payment_url": format!("http://{address}{PAYMENT_PATH}") });
        print(as_json, &value, &format!("Shop:     http://{address}/\nPayments: http://{address}{PAYMENT_PATH}"));
        tokio::spawn(maintain(merchant.clone()));
        if let Some(minutes) = settings.desk_sync_minutes {
            tokio::spawn(visit_desk(merchant, Duration::from_secs(60 * minutes.max(1))));
        }
        axum::serve(listener, application).with_graceful_shutdown(stop()).await?;
        Ok(())
    })
}

fn trace(frame: &mts_plugin::frames::FrameText, as_json: bool) {
    if as_json {
        match serde_json::to_string(frame) {
            Ok(line) => eprintln!("{line}"),
            Err(error) => tracing::error!("a frame cannot be shown: {error}"),
        }
    } else {
        eprintln!("{frame}");
    }
}

async fn maintain(merchant: Arc<Merchant>) {
    let mut ticks = tokio::time::interval(MAINTENANCE_INTERVAL);
    loop {
        ticks.tick().await;
        let merchant = merchant.clone();
        match tokio::task::spawn_blocking(move || merchant.maintain(clock::now())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("maintenance: {error}"),
            Err(error) => tracing::error!("maintenance: {error}"),
        }
    }
}

/// Hands in what waits for the TPS's desk, now and then. Purchases need none of it.
async fn visit_desk(merchant: Arc<Merchant>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let merchant = merchant.clone();
        let visited = tokio::task::spawn_blocking(move || {
            let report = super::desk::synchronise(&DeskClerk::new(merchant.home(), merchant.store()))?;
            // A new certificate or key set is used at once.
            if report.certificate.is_some() || report.key_set.is_some() {
                merchant.maintain(clock::now())?;
            }
            Ok::<_, anyhow::Error>(report)
        });
        match visited.await {
            Ok(Ok(report)) => tracing::info!(?report, "visited the TPS's desk"),
            Ok(Err(error)) => tracing::warn!("the TPS's desk: {error:#}"),
            Err(error) => tracing::error!("the TPS's desk: {error}"),
        }
    }
}

/// Ends on SIGTERM and Ctrl-C; transfers under way go on to their end.
async fn stop() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
