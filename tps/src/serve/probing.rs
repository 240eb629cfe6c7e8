//! Asks the pipeline again and again whether it makes progress, and tells the service manager each time it does.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::notify;
use crate::operations::Observation;
use crate::operations::progress::{FlowSeen, probe};

/// How often the pipeline is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Asks until `stop` becomes true. There is one question at a time: a pipeline that is stuck is not asked again.
pub(super) async fn run(observation: Arc<Observation>, network: Handle, mut stop: watch::Receiver<bool>) {
    // Three chances in the time that the service manager allows.
    let interval = notify::watchdog_interval().map_or(INTERVAL, |allowed| INTERVAL.min(allowed / 3));
    let mut interval = tokio::time::interval(interval.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = FlowSeen::now(observation.engine());
    loop {
        let asked = async {
            interval.tick().await;
            ask(&observation, &network, &mut seen).await;
        };
        tokio::select! {
            () = asked => {}
            () = super::housekeeping::stopped(&mut stop) => return,
        }
    }
}

async fn ask(observation: &Arc<Observation>, network: &Handle, seen: &mut FlowSeen) {
    if network.spawn(async {}).await.is_err() {
        return;
    }
    let asked = Arc::clone(observation);
    let answer = tokio::task::spawn_blocking(move || probe(asked.engine(), asked.constants().shards)).await;
    let now = FlowSeen::now(observation.engine());
    let moved = now.moved_since(std::mem::replace(seen, now));
    if let Ok(Some(holdings)) = answer
        && moved
    {
        observation.answered(holdings);
        notify::alive();
    }
}
